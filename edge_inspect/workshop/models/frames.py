"""The first and the last layers of every graph: from the camera's pixels to planes, from a raw score map to the smoothed one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.workshop.gaussian import gaussian_kernel


def planes_from_frames(frames: Tensor) -> Tensor:
    """Frames (n, H, W, C) uint8 to planes (n, C, H, W) float32, 0 to 255. The cast comes first: TensorRT takes nothing else on uint8."""
    return frames.to(torch.float32).permute(0, 3, 1, 2)


def three_planes(planes: Tensor) -> Tensor:
    """A grey plane three times, colour as it is: (n, 1 or 3, H, W) to (n, 3, H, W)."""
    return planes if planes.shape[1] == 3 else torch.cat([planes] * 3, dim=1)


class GaussianFilter(nn.Module):
    """Gaussian filter of maps (n, c, h, w), out to three sigma; the edge is continued, not darkened."""

    weights: Tensor

    def __init__(self, sigma: float) -> None:
        """Sigma in cells of the map."""
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(gaussian_kernel(sigma)), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Two passes, one along each side; every channel by itself."""
        channels, reach = maps.shape[1], len(self.weights) // 2
        rows = self.weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        columns = self.weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        continued = functional.pad(maps, (reach, reach, reach, reach), mode="replicate")
        return functional.conv2d(functional.conv2d(continued, rows, groups=channels), columns, groups=channels)


def maximum(maps: Tensor) -> Tensor:
    """The image score of a map without a better one: (n, 1, h, w) to (n,)."""
    return maps.amax(dim=(1, 2, 3))


def mean_of_highest(maps: Tensor, cells: int) -> Tensor:
    """Mean of so many cells of a map, the highest: (n, 1, h, w) to (n,). What `decision.mean_of_highest` computes on the line."""
    return maps.flatten(1).topk(cells, dim=1).values.mean(dim=1) if cells > 1 else maximum(maps)


def enlarged(maps: Tensor, factor: int) -> Tensor:
    """Bilinear, pixel centres kept (half-pixel): (n, c, h, w) to (n, c, h * factor, w * factor)."""
    return functional.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False) if factor > 1 else maps
