"""Train any system of `models/` on good images: what is learnt from, what decides when to stop, what is written.

images -> place and warp as the line does -> split: held out for the threshold (30 % of the parts, never looked at here),
stop part (10 % of the rest), training part -> prepare once -> `loop.py`: epochs of shuffled batches, checkpoints
-> best weights -> settle over the training rows -> trained folder
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_inspect import __version__
from edge_inspect.config import Recipe
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Training
from edge_inspect.workshop.checkpoints import remove_checkpoint
from edge_inspect.workshop.finishing import counted, silent
from edge_inspect.workshop.good_images import Given, GoodImages, place_good_images
from edge_inspect.workshop.loop import Loop, Progress
from edge_inspect.workshop.models.catalogue import make_system
from edge_inspect.workshop.models.system import SystemConfig
from edge_inspect.workshop.repeatable import named, repeatable
from edge_inspect.workshop.rows import Rows, prepare_rows
from edge_inspect.workshop.splits import split_parts
from edge_inspect.workshop.trained_folder import Record, TrainedFolder, hash_of, view_of, write_trained_folder

STOP_SHARE = 0.1
"""Of the parts that are not held out: they decide when to stop, and nothing is learnt from them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A finished training.

    Attributes:
        folder: what was written.
        fitted: images that weights and constants were learnt from.
        epochs: how many were run.
        best_epoch: the one whose weights were kept, counted from 0; -1 where there was none.
        history: of every epoch its losses, `stop_loss` where there is one, and seconds.
        stopped: why training stopped.
        refused: images that could not be read, with the reason.
        seconds: how long this run took [s].
    """

    folder: TrainedFolder
    fitted: int
    epochs: int
    best_epoch: int
    history: list[dict[str, Any]]
    stopped: str
    refused: tuple[str, ...]
    seconds: float

    @property
    def weights_sha256(self) -> str:
        """Over the tensors: equal for the same data, configuration, seed, thread count and machine."""
        return self.folder.record.weights_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Indices of the images that are learnt from, that decide when to stop, and that are held out by physical part."""

    fit: tuple[int, ...]
    stop: tuple[int, ...]
    held_out: tuple[tuple[int, ...], ...]


def train(
    images: Iterable[Given],
    *,
    name: str,
    config: SystemConfig,
    recipe: Recipe,
    out: Path,
    seed: int = 0,
    part_of: re.Pattern[str] | None = None,
    progress: Progress = silent,
    threads: int | None = None,
    fresh: bool = False,
) -> Trained:
    """Train one system on good images and write its trained folder.

    Args:
        images: good images, as paths or as (name, pixels (H, W, C) uint8).
        name: of the system, see `models/catalogue.py`.
        config: its configuration, from `configure`.
        recipe: its region of interest and locator decide what the network sees.
        out: the trained folder; a checkpoint in it is gone on with.
        seed: of the split, the weights and everything drawn.
        part_of: finds the physical part in an image's name (first group), so that no part is on two sides of the split.
        progress: called as the work goes on.
        threads: for one operation on the CPU; None leaves it to torch.
        fresh: start over, whatever checkpoint there is.

    Raises:
        ConfigError: too few or unfit images, a size the network cannot take, a checkpoint of another training, or the
            folder cannot be written.
        EngineError: the loss is not a finite number any more.
    """
    started = time.monotonic()
    good = place_good_images(counted(images, progress), recipe, width=config.width, height=config.height)
    shares = share_images(good, config, seed=seed, part_of=part_of)
    if fresh:
        remove_checkpoint(out)
    with repeatable(seed, threads) as device, torch.no_grad():
        record = _record(good, shares, name=name, config=config, recipe=recipe, seed=seed, device=device)
        system: Any = make_system(name, config, good.size)
        system.to(device).eval()
        fit, stop = _rows(system, good, shares, seed=seed, device=device, progress=progress)
        loop = Loop(system, fit=fit, stop=stop, out=out, begun_with=_begun_with(record, good, shares))
        stopped = loop.run(progress)
        system.eval()
        system.settle(fit.in_order)
        state = system.state_dict()
        _refuse_unsound(state)
    record = record.model_copy(update={"weights_sha256": hash_of(state)})
    standing = loop.standing
    history = {"stopped": stopped, "best_epoch": standing.best_epoch, "epochs": standing.history, **_named_shares(good, shares)}
    taught = [good.hashes[index] for index in (*shares.fit, *shares.stop)]
    folder = write_trained_folder(out, record=record, state=state, good=good, parts=shares.held_out, history=history, taught=taught)
    remove_checkpoint(out)
    return Trained(
        folder=folder,
        fitted=len(shares.fit),
        epochs=len(standing.history),
        best_epoch=standing.best_epoch,
        history=standing.history,
        stopped=stopped,
        refused=good.refused,
        seconds=time.monotonic() - started,
    )


def share_images(good: GoodImages, config: SystemConfig, *, seed: int, part_of: re.Pattern[str] | None) -> Shares:
    """Hold out as `teach` does; a stop part only where it will be asked.

    Raises:
        ConfigError: too few physical parts.
    """
    split = split_parts(good.names, seed=seed, part_of=part_of)
    if config.epochs == 0 or config.patience == 0:
        return Shares(fit=split.fit, stop=(), held_out=split.held_out)
    inner = split_parts([good.names[index] for index in split.fit], seed=seed, part_of=part_of, share=STOP_SHARE)
    stop = tuple(sorted(split.fit[index] for part in inner.held_out for index in part))
    return Shares(fit=tuple(split.fit[index] for index in inner.fit), stop=stop, held_out=split.held_out)


def _rows(
    system: Any, good: GoodImages, shares: Shares, *, seed: int, device: torch.device, progress: Progress
) -> tuple[Rows, Rows | None]:
    """Training rows, and those of the stop part where there is one."""
    total = len(shares.fit) + len(shares.stop)
    batch = system.config.batch
    fit = prepare_rows(system, good.pixels, shares.fit, seed=seed, device=device, told=lambda done: progress("preparing", done, total))
    if not shares.stop:
        return Rows(fit, batch=batch, device=device), None
    stop = prepare_rows(
        system,
        good.pixels,
        shares.stop,
        seed=seed + 1,
        device=device,
        told=lambda done: progress("preparing", len(shares.fit) + done, total),
    )
    return Rows(fit, batch=batch, device=device), Rows(stop, batch=batch, device=device)


def _record(
    good: GoodImages, shares: Shares, *, name: str, config: SystemConfig, recipe: Recipe, seed: int, device: torch.device
) -> Record:
    """What is trained with what, before there are weights."""
    return Record(
        system=name,
        config=config.model_dump(mode="json"),
        size=good.size,
        seed=seed,
        view=view_of(recipe),
        training=Training(images=len(shares.fit), fingerprint=good.fingerprint(shares.fit)),
        stop_images=len(shares.stop),
        held_out_images=sum(map(len, shares.held_out)),
        weights_sha256="",
        files={},
        software=f"edge-inspect {__version__}",
        torch=str(torch.__version__),
        threads=torch.get_num_threads(),
        device=named(device),
        created_at=datetime.now(timezone.utc),
    )


def _begun_with(record: Record, good: GoodImages, shares: Shares) -> dict[str, str]:
    """What a checkpoint must have been begun with: all that moves the weights."""
    return {
        "model": record.system,
        "configuration": json.dumps(record.config, sort_keys=True),
        "seed": str(record.seed),
        "training images": record.training.fingerprint[:12],
        "stop images": good.fingerprint(shares.stop)[:12],
        "view": json.dumps(record.view, sort_keys=True),
        "threads": str(record.threads),
        "device": record.device,
        "torch": record.torch,
        "software": record.software,
    }


def _named_shares(good: GoodImages, shares: Shares) -> dict[str, list[str]]:
    return {
        "trained_on": [good.names[index] for index in shares.fit],
        "stopped_on": [good.names[index] for index in shares.stop],
        "held_out": [good.names[index] for part in shares.held_out for index in part],
    }


def _refuse_unsound(state: Mapping[str, Tensor]) -> None:
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise EngineError(f"{name}: holds values that are not finite numbers after training; lower learning_rate and train again")
