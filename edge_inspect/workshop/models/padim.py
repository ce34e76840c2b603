"""PaDiM: the graph `edge-inspect teach` writes, as a trainable system; nothing is trained, Gaussians are fitted.

Source: Defard, Setkov, Loesch, Audigier 2021. The same features, embedding, Gaussians and filter as `teach` (a test holds one
against the other); here with any of the frozen backbones and illumination normalisations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.backbone import MULTIPLE
from edge_inspect.workshop.graph import SMOOTHING_CELLS
from edge_inspect.workshop.models.backbones import Lite, LiteBackbone
from edge_inspect.workshop.models.frames import GaussianFilter, enlarged, maximum, planes_from_frames
from edge_inspect.workshop.models.gaussians import Gaussians
from edge_inspect.workshop.models.illumination import open_illumination
from edge_inspect.workshop.models.system import Batches, Prepared, SystemConfig
from edge_inspect.workshop.padim import embedding


class PadimConfig(SystemConfig):
    """As `teach` has it (docs/results/teach.md).

    Attributes:
        backbone: frozen network.
        dimensions: of the orthogonal random embedding.
        block: side of the square of positions that shares a covariance.
        pooling: share of every covariance that is the mean over all.
        embedding_seed: of the embedding.
    """

    backbone: Lite = "lite0"
    dimensions: int = Field(default=100, ge=1)
    block: int = Field(default=2, ge=1)
    pooling: float = Field(default=0.1, ge=0, le=1)
    embedding_seed: int = 0
    smoothing_cells: float = Field(default=SMOOTHING_CELLS, gt=0, le=32)
    epochs: int = Field(default=0, ge=0, le=0)


class Padim(nn.Module):
    """See the module's docstring."""

    Config = PadimConfig
    config: PadimConfig
    image_score: Literal["map maximum", "own"] = "map maximum"
    score_meaning = "largest Mahalanobis distance of a neighbourhood to the good parts at its position (PaDiM), after the Gaussian filter"
    embed: Tensor

    def __init__(self, config: PadimConfig, size: ImageSize) -> None:
        """Not fitted yet.

        Raises:
            ConfigError: the image's size is no multiple of 16, or of what shares a covariance.
        """
        super().__init__()
        refuse_uneven(size, MULTIPLE * max(1, config.block // 2))
        self.config = config
        self.illumination = open_illumination(config.illumination)
        self.backbone = LiteBackbone(config.backbone)
        matrix = embedding(sum(self.backbone.channels), config.dimensions, seed=config.embedding_seed)
        self.register_buffer("embed", torch.from_numpy(np.ascontiguousarray(matrix.T))[:, :, None, None])
        self.gaussians = Gaussians(config.dimensions, size.height // 8, size.width // 8, block=config.block)
        self.smooth = GaussianFilter(config.smoothing_cells)

    def optimizers(self) -> Mapping[str, Optimizer]:
        """None: nothing is trained."""
        return {}

    def prepare(self, frames: Tensor, random: np.random.Generator) -> Prepared:  # noqa: ARG002 - nothing is drawn
        """Embedded features (n, d, h, w)."""
        return (self.features(frames),)

    def start_epoch(self, epoch: int, batches: Batches) -> None:
        """Nothing: there are no epochs."""

    def step(self, rows: Prepared, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:  # noqa: ARG002
        """Never called: there are no epochs."""
        return {}

    def stop_loss(self, rows: Prepared) -> float:
        """Mean distance of good rows."""
        return float(self.gaussians(rows[0]).mean())

    def settle(self, batches: Batches) -> None:
        """Fit the Gaussians."""
        self.gaussians.fit((rows[0] for rows in batches()), pooling=self.config.pooling)

    def features(self, frames: Tensor) -> Tensor:
        """Frames (n, H, W, C) uint8 to embedded features (n, d, H/8, W/8); every level is embedded at its own size and added."""
        fine, middle, coarse = self.backbone(self.illumination(planes_from_frames(frames)))
        rows = torch.split(self.embed, list(self.backbone.channels), dim=1)
        near = functional.conv2d(functional.avg_pool2d(fine, 2), rows[0]) + functional.conv2d(middle, rows[1])
        return near + enlarged(functional.conv2d(coarse, rows[2]), 2)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Score map (n, 1, H/4, W/4) and its maximum (n,)."""
        score_map = self.smooth(enlarged(self.gaussians(self.features(frames)), 2))
        return score_map, maximum(score_map)


def refuse_uneven(size: ImageSize, multiple: int) -> None:
    """Refuse an image whose coarsest level would not have whole cells.

    Raises:
        ConfigError: width or height is no multiple.
    """
    if size.width % multiple or size.height % multiple:
        raise ConfigError(f"network image {size.width} x {size.height}: width and height must be multiples of {multiple}; write 256 x 256")
