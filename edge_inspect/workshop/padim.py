"""A Gaussian for every position of the feature map, and how far a part lies from it.

Source: Defard, Setkov, Loesch, Audigier 2021, PaDiM (arXiv 2011.08785). Two things are ours: the covariance is shared by a
block of neighbouring positions while every position keeps its own mean, and the features are first embedded with
orthogonal columns instead of dropping channels (Kim et al. 2021). Both are measured in docs/results/teach.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
"""Embedded features (n, d, h, w) float32."""

EPSILON = 0.01
"""Source: Defard et al. 2021, eq. 1: the regularisation that makes every covariance invertible."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """The Gaussians as the graph uses them.

    Attributes:
        mean: (d, h, w) float32, one for every position.
        whitening: (blocks, d, d) float32; a row vector times it has unit covariance. Blocks run row by row.
        block: side of the square of positions that shares a whitening.
    """

    mean: npt.NDArray[np.float32]
    whitening: npt.NDArray[np.float32]
    block: int


@dataclass(slots=True, kw_only=True)
class GaussianFit:
    """Sums over good parts, fed batch by batch, so that memory does not grow with their number.

    Attributes:
        block: side of the square of positions that shares a covariance; divides h and w.
    """

    block: int
    _count: int = 0
    _origin: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _sum: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _products: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def add(self, features: Features) -> None:
        """Take in the features of some good parts (n, d, h, w)."""
        if self._count == 0:
            self._start(features)
        shifted = (features - self._origin).astype(np.float32)
        self._count += len(features)
        self._sum += shifted.sum(axis=0, dtype=np.float64)
        rows = block_rows(shifted, self.block)
        self._products += np.matmul(rows.transpose(0, 2, 1), rows)

    def finish(self, *, epsilon: float = EPSILON, pooling: float = 0.0) -> Head:
        """Mean and whitening of what was taken in; at least two parts.

        Args:
            epsilon: regularisation.
            pooling: share of every covariance that is the mean over all blocks.
        """
        return self.head(self.covariance(epsilon=epsilon, pooling=pooling))

    def covariance(self, *, epsilon: float = EPSILON, pooling: float = 0.0) -> npt.NDArray[np.float64]:
        """Covariance of every block (blocks, d, d); the arguments are those of `finish`.

        Source: Defard et al. 2021, eq. 1, with the covariance averaged over a block:
        Sigma = 1 / (N - 1) sum (x - mu)(x - mu)^T + epsilon I.
        """
        rows = block_rows((self._sum / self._count)[None], self.block)
        scatter = self._products - self._count * np.matmul(rows.transpose(0, 2, 1), rows)
        covariance = scatter / ((self._count - 1) * self.block**2)
        pooled: npt.NDArray[np.float64] = (1 - pooling) * covariance + pooling * covariance.mean(axis=0)
        return pooled + epsilon * np.eye(scatter.shape[1])

    def head(self, covariance: npt.NDArray[np.float64]) -> Head:
        """The mean of what was taken in, with the whitening of a covariance (blocks, d, d)."""
        mean = (self._sum / self._count + self._origin).astype(np.float32)
        return Head(mean=mean, whitening=_whitening(covariance), block=self.block)

    def _start(self, features: Features) -> None:
        """Sums run about the first batch's mean: differences of large numbers would cost the digits that matter."""
        _, channels, height, width = features.shape
        self._origin = features.mean(axis=0, dtype=np.float64)
        self._sum = np.zeros((channels, height, width))
        self._products = np.zeros((height * width // self.block**2, channels, channels))


def block_rows(features: npt.NDArray[np.floating], block: int) -> npt.NDArray[np.floating]:
    """Features (n, d, h, w) as rows by block: (h/block * w/block, n * block * block, d)."""
    count, channels, height, width = features.shape
    split = features.reshape(count, channels, height // block, block, width // block, block)
    return split.transpose(2, 4, 0, 3, 5, 1).reshape(-1, count * block * block, channels)


def distance(features: Features, head: Head) -> npt.NDArray[np.float32]:
    """Mahalanobis distance of every position: (n, d, h, w) to (n, h, w). The graph's arithmetic in plain numpy.

    Source: Defard et al. 2021, eq. 2.
    """
    count, _, height, width = features.shape
    block = head.block
    whitened = np.matmul(block_rows(features - head.mean, block), head.whitening)
    lengths = np.sqrt(np.square(whitened).sum(axis=2))
    split = lengths.reshape(height // block, width // block, count, block, block)
    by_part: npt.NDArray[np.float32] = split.transpose(2, 0, 3, 1, 4).reshape(count, height, width)
    return by_part


def embedding(channels: int, dimensions: int, *, seed: int) -> npt.NDArray[np.float32]:
    """A random matrix with orthonormal columns (channels, dimensions), the same for the same seed.

    Source: Kim et al. 2021, semi-orthogonal embedding (arXiv 2105.14737), section 3: QR of a Gaussian matrix.
    """
    gaussian = np.random.default_rng(seed).standard_normal((channels, dimensions))
    orthogonal, triangular = np.linalg.qr(gaussian)
    columns: npt.NDArray[np.float32] = (orthogonal * np.sign(np.diag(triangular))).astype(np.float32)
    return columns


def _whitening(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """With Sigma = L L^T, the length of (x - mu) L^-T is the Mahalanobis distance."""
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    return np.ascontiguousarray(inverse.transpose(0, 2, 1)).astype(np.float32)
