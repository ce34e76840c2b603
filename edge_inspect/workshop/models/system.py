"""What a trainable system is: one module from the camera's uint8 pixels to score map and image score.

Everything that moves a score is inside `forward`: cast, illumination normalisation, network, score map, Gaussian filter. Training,
calibration and the exported graph run the same module, so that none of them can differ by pre- or post-processing.

The one training loop (`training.py`) drives every system through this protocol:

    prepare      once for every frame: what training does not change (features of a frozen backbone) is computed and kept
    start_epoch  before every epoch, for what depends on all of them (a centre after the warm-up)
    step         one batch: losses, gradients, optimiser steps
    stop_loss    on held-out good frames: when it stops falling, training stops
    settle       once at the end: what the graph takes from good parts as constants (prototype, mean, statistics by position)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from edge_inspect.config import Written
from edge_inspect.model_folder import ImageScore

Prepared = tuple[Tensor, ...]
"""What `prepare` made of some frames: tensors of one length, row i of each belongs together."""

Batches = Callable[[], Iterator[Prepared]]
"""Goes through all prepared training rows once, unshuffled, in batches."""

Illumination = Literal["none", "contrast", "homomorphic", "both"]


class SystemConfig(Written):
    """What every system's configuration has. Defaults of a family are its paper's; what is ours is said beside the field.

    Attributes:
        width, height: of the network's image [px].
        illumination: normalisation before everything, see `illumination.py`.
        smoothing_cells: sigma of the Gaussian filter on the score map [cells].
        epochs: at most so many.
        batch: rows in a step.
        learning_rate: of the optimiser.
        patience: epochs without a better stop loss before training stops; 0 never stops early.
    """

    width: int = Field(default=256, ge=16, le=2048)
    height: int = Field(default=256, ge=16, le=2048)
    illumination: Illumination = "none"
    smoothing_cells: float = Field(default=1.0, gt=0, le=32)
    epochs: int = Field(default=50, ge=0)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    patience: int = Field(default=10, ge=0)


@runtime_checkable
class System(Protocol):
    """An `nn.Module` with these methods, made as `Class(config, size)`; weights are drawn from torch's global generator.

    Attributes:
        Config: the class of its configuration.
        config: what it was made from.
        image_score: what the graph's second output is, as `model_folder.Manifest` says it.
        score_meaning: one line for the manifest: what a score measures.
    """

    Config: type[SystemConfig]
    config: SystemConfig
    image_score: ImageScore
    score_meaning: str

    def optimizers(self) -> Mapping[str, Optimizer]:
        """The optimisers of one training, by name; empty for a system that is only fitted."""
        ...

    def prepare(self, frames: Tensor, random: np.random.Generator) -> Prepared:
        """What training works on, without gradient.

        Args:
            frames: (n, H, W, C) uint8.
            random: for what is drawn once (augmented copies, planted anomalies).

        Returns:
            Tensors with the same number of rows, n or a multiple of it. Keep them small: all are held in memory.
        """
        ...

    def start_epoch(self, epoch: int, batches: Batches) -> None:
        """Called before every epoch, counted from 0."""
        ...

    def step(self, rows: Prepared, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
        """Learn from one batch; random numbers come from torch's global generator. Gives the losses by name."""
        ...

    def stop_loss(self, rows: Prepared) -> float:
        """How badly held-out good rows are modelled, deterministic; lower is better."""
        ...

    def settle(self, batches: Batches) -> None:
        """Take from the good training rows what the graph holds as constants (buffers)."""
        ...

    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """From frames (n, H, W, C) uint8 to score map (n, 1, h, w) and image score (n,), float32."""
        ...
