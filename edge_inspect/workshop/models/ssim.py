"""Structural similarity, local: a map of it, as loss and as score.

Source: Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13; Kumar et al. 2025, eq. 2; An et al. 2026, eq. 7 takes it between feature maps.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.workshop.models.frames import GaussianFilter

K1 = 0.01
K2 = 0.03
"""Source: Wang et al. 2004, section III.B."""


class LocalSsim(nn.Module):
    """SSIM of every neighbourhood: means, variances and covariance in a Gaussian window, the edge continued."""

    def __init__(self, *, sigma: float = 1.5, value_range: float = 1.0) -> None:
        """Sigma of the window [cells]; the range that values have (1 for images in 0 to 1)."""
        super().__init__()
        self.window = GaussianFilter(sigma)
        self.steady_mean = (K1 * value_range) ** 2
        self.steady_variance = (K2 * value_range) ** 2

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """(n, c, h, w) twice to (n, c, h, w), each channel by itself; 1 is alike."""
        mean: Tensor = self.window(one)
        mean_other: Tensor = self.window(other)
        variance = functional.relu(self.window(one * one) - mean * mean)
        variance_other = functional.relu(self.window(other * other) - mean_other * mean_other)
        covariance = self.window(one * other) - mean * mean_other
        alike: Tensor = (2 * mean * mean_other + self.steady_mean) * (2 * covariance + self.steady_variance)
        apart: Tensor = (mean * mean + mean_other * mean_other + self.steady_mean) * (variance + variance_other + self.steady_variance)
        return alike / apart
