"""Does a model bear bad parts among its "good" ones? Train on a contaminated set and measure which parts it finds.

    auroc          of the pictures that were trained on: Cheng 2021's figure, who scores the unlabelled set that he learns from
    auroc_unseen   of pictures that were not: what a line sees

Nothing is chosen by either: settings are the paper's, the budget is chosen by the time it takes. Warm-up and the halving of the
learning rate keep their share of the epochs (20 and 50 of 250) where there are fewer.

Source: Cheng et al. 2021, section 4.3; what the text leaves open as in its published code (github.com/wogong/pt-iaead): the whole data
set, training and test part, as one pool; rho n / (1 - rho) bad among n good; 28 x 28 with a black rim of two.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_inspect.datatypes import UInt8Image
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.contaminated_sets import ContaminatedSet, Flags
from edge_inspect.workshop.loop import Loop
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.models.iaead import Iaead
from edge_inspect.workshop.models.iaead_config import CAE, DEEP_SVDD, IaeadConfig
from edge_inspect.workshop.repeatable import repeatable
from edge_inspect.workshop.rows import Rows, prepare_rows
from edge_inspect.workshop.teach_study import auroc

METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"iaead": {"score": "global"}, "cae": CAE, "deep_svdd": DEEP_SVDD, "iaead_map": {"score": "map"}}
)
"""Settings of `iaead` by the name they are reported under."""
WARM_UP_SHARE = 20 / 250
HALVE_SHARE = 50 / 250
"""Source: Cheng et al. 2021, section 4.3."""
AT_A_TIME = 256
"""Pictures scored at a time, at most."""

Scores = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long is trained.

    Attributes:
        epochs, batch: the paper's are 250 and 256.
        seed: of weights and order.
        threads: for one operation; None is torch's choice.
        settings: of the system, over the paper's and the method's.
    """

    epochs: int = 250
    batch: int = 256
    seed: int = 0
    threads: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def config(self, method: str, size: ImageSize) -> IaeadConfig:
        """The method's configuration with warm-up and halving in proportion to the epochs."""
        schedule = {"warm_up_epochs": _part(self.epochs, WARM_UP_SHARE), "halve_every_epochs": _part(self.epochs, HALVE_SHARE)}
        given = {"width": size.width, "height": size.height, "epochs": self.epochs, "batch": self.batch, **schedule}
        config = configure("iaead", {**METHODS[method], **given, **self.settings})
        assert isinstance(config, IaeadConfig)
        return config


def measure(trained_on: ContaminatedSet, method: str, budget: Budget) -> dict[str, Any]:
    """Train one method on one set and judge it.

    Returns:
        AUROCs by the method's own score, and by both scores that its network has; None where one side is empty.

    Raises:
        ConfigError: settings that the system does not take.
        EngineError: training diverged.
    """
    started = time.process_time()
    with repeatable(budget.seed, budget.threads) as device, torch.no_grad():
        system = _trained(trained_on.train, method, budget, device)
        own, known, unseen = system.config.score, *(_scores(system, p, device) for p in (trained_on.train, trained_on.unseen))
    return {
        "auroc": _auroc(known[own], trained_on.train_bad),
        "auroc_unseen": _auroc(unseen[own], trained_on.unseen_bad),
        "by_score": {kind: [_auroc(known[kind], trained_on.train_bad), _auroc(unseen[kind], trained_on.unseen_bad)] for kind in known},
        "steps": budget.epochs * -(-len(trained_on.train) // budget.batch),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def _trained(train: UInt8Image, method: str, budget: Budget, device: torch.device) -> Iaead:
    size = ImageSize(width=train.shape[2], height=train.shape[1], channels=1 if train.shape[3] == 1 else 3)
    system: Any = Iaead(budget.config(method, size), size)
    system.to(device, memory_format=torch.channels_last)  # a sixth faster on a CPU
    every = range(len(train))
    prepared = prepare_rows(system.eval(), train, every, seed=budget.seed, device=device, told=lambda _: None)
    rows = Rows(prepared, batch=budget.batch, device=device)
    with tempfile.TemporaryDirectory() as folder:
        Loop(system, fit=rows, stop=None, out=Path(folder), begun_with={}).run(lambda *_: None)
    system.settle(rows.in_order)
    trained: Iaead = system.eval()
    return trained


def _scores(system: Iaead, pixels: UInt8Image, device: torch.device) -> Scores:
    """By distance, by reconstruction, and as the graph says it where it is neither."""
    found: dict[str, list[Tensor]] = {}
    for frames in _batches(pixels, device):
        for kind, scores in _scores_of_batch(system, frames).items():
            found.setdefault(kind, []).append(scores.cpu())
    return {kind: torch.cat(scores).numpy() for kind, scores in found.items()}


def _scores_of_batch(system: Iaead, frames: Tensor) -> dict[str, Tensor]:
    if system.config.score == "map":
        return {"map": system(frames)[1]}
    planes = system.planes(frames)
    embedded = system.encoder(planes)
    return {"global": system.distances(embedded)[:, 0, 0], "reconstruction": system.errors(planes, embedded).mean(dim=(1, 2, 3))}


def _batches(pixels: UInt8Image, device: torch.device) -> Iterator[Tensor]:
    at_a_time = max(1, AT_A_TIME * 32 * 32 // (pixels.shape[1] * pixels.shape[2]))
    for start in range(0, len(pixels), min(at_a_time, AT_A_TIME)):
        yield torch.from_numpy(pixels[start : start + min(at_a_time, AT_A_TIME)]).to(device)


def _auroc(scores: np.ndarray[Any, np.dtype[np.float32]], bad: Flags) -> float | None:
    return round(auroc(scores[~bad], scores[bad]), 4) if bad.any() and not bad.all() else None


def _part(epochs: int, share: float) -> int:
    return max(1, round(epochs * share))
