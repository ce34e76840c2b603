"""A Gaussian for every position, in torch: fitted by `padim.GaussianFit`, written into the graph as constants."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from edge_inspect.workshop.padim import EPSILON, GaussianFit


class Gaussians(nn.Module):
    """Mahalanobis distance of every position from the good parts'. Source: Defard et al. 2021, eq. 1 and 2."""

    mean: Tensor
    whitening: Tensor

    def __init__(self, dimensions: int, height: int, width: int, *, block: int) -> None:
        """Not fitted yet; `block`: side of the square of positions that shares a covariance, divides height and width."""
        super().__init__()
        self.block = block
        blocks = (height // block) * (width // block)
        self.register_buffer("mean", torch.zeros(dimensions, height, width))
        self.register_buffer("whitening", torch.eye(dimensions).repeat(blocks, 1, 1))

    def fit(self, batches: Iterable[Tensor], *, pooling: float, epsilon: float = EPSILON) -> None:
        """Take mean and covariances from good parts' features (n, d, h, w), batch by batch; at least two parts."""
        fit = GaussianFit(block=self.block)
        for features in batches:
            fit.add(features.cpu().numpy())
        head = fit.finish(pooling=pooling, epsilon=epsilon)
        self.mean.copy_(torch.from_numpy(head.mean))
        self.whitening.copy_(torch.from_numpy(head.whitening))

    def forward(self, features: Tensor) -> Tensor:
        """(n, d, h, w) to (n, 1, h, w)."""
        (channels, height, width), block = self.mean.shape, self.block
        rows, columns = height // block, width // block
        apart = (features - self.mean).reshape(-1, channels, rows, block, columns, block)
        flat = apart.permute(2, 4, 0, 3, 5, 1).reshape(rows * columns, -1, channels)
        lengths: Tensor = torch.linalg.vector_norm(torch.matmul(flat, self.whitening), dim=2)
        by_part = lengths.reshape(rows, columns, -1, block, block).permute(2, 0, 3, 1, 4)
        return by_part.reshape(-1, 1, height, width)
