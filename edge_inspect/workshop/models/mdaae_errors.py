"""The error of a reconstruction, cell by cell: eq. 7 of An, Wu, Li 2026, and two others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edge_inspect.workshop.models.frames import enlarged
from edge_inspect.workshop.models.gaussians import Gaussians
from edge_inspect.workshop.models.mdaae_sagan_config import MdaaeSaganConfig
from edge_inspect.workshop.models.ssim import LocalSsim
from edge_inspect.workshop.padim import embedding

Pair = tuple[list[Tensor], list[Tensor]]
"""Levels, and the same levels reconstructed."""

VALUE_RANGE = 6.0
"""Standardised levels lie mostly within three deviations: the dynamic range that steadies SSIM."""


class SsimError(nn.Module):
    """Eq. 7: sum over l of alpha_l (1 - SSIM_local(F_l, F^_l)), alpha_l alike; SSIM in a Gaussian window, mean over channels."""

    def __init__(self) -> None:
        """No statistics."""
        super().__init__()
        self.ssim = LocalSsim(sigma=1.5, value_range=VALUE_RANGE)

    def fit(self, pairs: Iterable[Pair]) -> None:
        """Nothing to fit."""

    def forward(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> Tensor:
        """(n, 1, h, w)."""
        return _mean_of([1 - self.ssim(level, other).mean(dim=1, keepdim=True) for level, other in zip(levels, again, strict=True)])


class SquaredError(nn.Module):
    """Mean squared difference over channels, levels alike."""

    def fit(self, pairs: Iterable[Pair]) -> None:
        """Nothing to fit."""

    def forward(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> Tensor:
        """(n, 1, h, w)."""
        return _mean_of([((level - other) ** 2).mean(dim=1, keepdim=True) for level, other in zip(levels, again, strict=True)])


class WhitenedError(nn.Module):
    """Mahalanobis length of the embedded difference at its position: what good parts' errors are like is taken out.

    With an autoencoder that gave the mean everywhere this would be PaDiM; one that follows the part leaves less to explain.
    """

    embed: Tensor

    def __init__(self, channels: int, grid: tuple[int, int], *, dimensions: int, block: int, pooling: float) -> None:
        """Channels of all levels, and the grid (h, w)."""
        super().__init__()
        matrix = embedding(channels, min(dimensions, channels), seed=0)
        self.register_buffer("embed", torch.from_numpy(np.ascontiguousarray(matrix.T))[:, :, None, None])
        self.gaussians = Gaussians(matrix.shape[1], *grid, block=block)
        self.pooling = pooling

    def fit(self, pairs: Iterable[Pair]) -> None:
        """Mean and covariance of the differences by position."""
        self.gaussians.fit((self._embedded(*pair) for pair in pairs), pooling=self.pooling)

    def forward(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> Tensor:
        """(n, 1, h, w)."""
        distance: Tensor = self.gaussians(self._embedded(levels, again))
        return distance

    def _embedded(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> Tensor:
        """Embedded level by level at its own size, then added on one grid: half the work of joining first."""
        height = max(level.shape[2] for level in levels)
        rows = torch.split(self.embed, [level.shape[1] for level in levels], dim=1)
        embedded = [
            enlarged(nn.functional.conv2d(level - other, part), height // level.shape[2])
            for level, other, part in zip(levels, again, rows, strict=True)
        ]
        return torch.stack(embedded).sum(dim=0)


def open_error(config: MdaaeSaganConfig, channels: int, grid: tuple[int, int]) -> SsimError | SquaredError | WhitenedError:
    """The error of that name."""
    if config.error == "whitened":
        return WhitenedError(channels, grid, dimensions=config.dimensions, block=config.block, pooling=config.pooling)
    return SsimError() if config.error == "ssim" else SquaredError()


def _mean_of(maps: Sequence[Tensor]) -> Tensor:
    """Mean over levels on the finest grid."""
    height = max(each.shape[2] for each in maps)
    return torch.stack([enlarged(each, height // each.shape[2]) for each in maps]).mean(dim=0)
