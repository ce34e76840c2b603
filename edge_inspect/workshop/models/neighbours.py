"""How far every neighbourhood lies from the nearest one that good parts have, wherever on the part that is.

Source: Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler 2022, PatchCore (arXiv 2106.08265): locally averaged features of a frozen
backbone, a memory thinned out by greedy k-centre selection, distance to the nearest entry. Gaussians by position know where a
part's features belong; on a surface that lies anyhow under the camera there is no such place, and this is what finds.

Ours: neighbourhoods are compared after whitening by good parts' covariance. A direction in which good parts hardly vary then counts
as much as one in which they vary widely, as it does in Gaussians by position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CANDIDATES = 20_000
"""Neighbourhoods that the memory's entries are picked from, drawn from all of the good parts'."""
SKETCH = 64
"""Dimensions that the picking is done in (a random projection, as PatchCore's); the entries keep all of theirs."""


class NeighbourMemory(nn.Module):
    """Distance to the nearest of `entries` neighbourhoods of good parts, at the coarsest level's grid."""

    memory: Tensor
    lengths: Tensor
    whitener: Tensor

    def __init__(self, channels: int, strides: Sequence[int], *, entries: int, whitening: float = 0.0) -> None:
        """Channels of all levels together; strides of the levels in cells of the finest; nothing remembered yet.

        `whitening` is the share of the mean variance by which each direction's is raised; 0 leaves neighbourhoods as they are.
        """
        super().__init__()
        self.whitening = whitening
        self.strides = tuple(strides)
        self.coarsest = max(strides)
        self.register_buffer("memory", torch.zeros(entries, channels))
        self.register_buffer("lengths", torch.zeros(entries))
        self.register_buffer("whitener", torch.eye(channels))

    def fit(self, pairs: Iterable[tuple[Sequence[Tensor], Sequence[Tensor]]]) -> None:
        """Pick the entries from good parts' levels (what an autoencoder makes of them is not looked at)."""
        cells = torch.cat([self._neighbourhoods(levels).permute(0, 2, 3, 1).flatten(0, 2) for levels, _ in pairs])
        if self.whitening:
            self.whitener.copy_(whitener_of(cells, self.whitening))
            cells = cells @ self.whitener
        drawing = torch.Generator().manual_seed(0)
        candidates = cells[torch.randperm(len(cells), generator=drawing)[:CANDIDATES].to(cells.device)]
        sketch = torch.randn(cells.shape[1], SKETCH, generator=drawing) / SKETCH**0.5
        chosen = k_centres(candidates @ sketch.to(cells.device), len(self.memory))
        self.memory.copy_(candidates[chosen])
        self.lengths.copy_((self.memory**2).sum(dim=1))

    def forward(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> Tensor:  # noqa: ARG002 - called as the errors are
        """(n, 1, h, w) at the coarsest level's grid: min_j |x - m_j|, from |x|^2 - 2 x.m_j + |m_j|^2."""
        near = self._neighbourhoods(levels)
        cells = near.flatten(2).transpose(1, 2)
        if self.whitening:
            cells = torch.matmul(cells, self.whitener)
        apart = self.lengths - 2 * torch.matmul(cells, self.memory.t())
        nearest = apart.amin(dim=2) + (cells**2).sum(dim=2)
        return torch.sqrt(torch.clamp(nearest, min=0.0)).reshape(-1, 1, *near.shape[2:])

    def _neighbourhoods(self, levels: Sequence[Tensor]) -> Tensor:
        """All levels on the coarsest grid, each cell averaged with its eight neighbours; at the border with those there are."""
        shrunk = [functional.avg_pool2d(level, self.coarsest // stride) for level, stride in zip(levels, self.strides, strict=True)]
        return functional.avg_pool2d(torch.cat(shrunk, dim=1), 3, stride=1, padding=1, count_include_pad=False)


def whitener_of(points: Tensor, raised: float) -> Tensor:
    """The symmetric matrix (d, d) after which points (n, d) have covariance one, but for `raised` x the mean variance added to each.

    No mean is taken off: only differences of points are measured.
    """
    variances, directions = torch.linalg.eigh(torch.cov(points.double().T))
    scales = torch.rsqrt(variances.clamp(min=0) + raised * variances.mean())
    whitener: Tensor = (directions * scales) @ directions.T
    return whitener.to(points.dtype)


def k_centres(points: Tensor, count: int) -> Tensor:
    """Indices of points (n, d), each the farthest from all picked before it; where there are fewer points they come again.

    Source: Sener, Savarese 2018 (arXiv 1708.00489), algorithm 1, beginning with the first point.
    """
    nearest = torch.full((len(points),), torch.inf, device=points.device)
    chosen = [0]
    for _ in range(min(count, len(points)) - 1):
        nearest = torch.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(dim=1))
        chosen.append(int(nearest.argmax()))
    return torch.tensor([chosen[index % len(chosen)] for index in range(count)], device=points.device)
