"""Multi-level features, their adaptive fusion and the bottleneck autoencoder on them. Source: An, Wu, Li 2026, section 3.1.

The paper's formulas 2 to 7 were pictures; they are reconstructed from the symbols named around them (PAPERS.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.workshop.models.attention import SelfAttention
from edge_inspect.workshop.models.backbones import Lite, LiteBackbone
from edge_inspect.workshop.models.frames import enlarged

CELL_PX = 8
"""Side of a cell of the finest level [px of the network's image]; the score is computed on this grid."""


class FeatureLevels(nn.Module):
    """F_l, eq. 2: levels of a frozen backbone; that at one fourth is averaged to one eighth, a sixteenth stays."""

    def __init__(self, variant: Lite) -> None:
        """Read the backbone's weights."""
        super().__init__()
        self.backbone = LiteBackbone(variant)
        self.channels = self.backbone.channels
        self.strides = (1, 1, 2)

    def forward(self, planes: Tensor) -> list[Tensor]:
        """Planes (n, c, H, W) 0 to 255 to (n, c_l, h / s_l, w / s_l), h = H / 8."""
        fine, middle, coarse = self.backbone(planes)
        return [functional.avg_pool2d(fine, 2), middle, coarse]


class ImageLevel(nn.Module):
    """The image itself as one level: 8 x 8 pixels of it are the channels of a cell. For the systems without a backbone (A, C)."""

    def __init__(self, channels: int) -> None:
        """Channels of the image."""
        super().__init__()
        self.channels = (channels * CELL_PX**2,)
        self.strides = (1,)

    def forward(self, planes: Tensor) -> list[Tensor]:
        """Planes (n, c, H, W) 0 to 255 to (n, 64 c, H / 8, W / 8), -1 to 1."""
        return [functional.pixel_unshuffle((planes - 127.5) / 127.5, CELL_PX)]


class Standard(nn.Module):
    """Levels by channel with mean 0 and deviation 1 over the good training cells: else the loudest channel would be all there is."""

    def __init__(self, channels: Sequence[int]) -> None:
        """Channels of each level; measured later, by `measure`."""
        super().__init__()
        self.means = nn.ParameterList(nn.Parameter(torch.zeros(1, count, 1, 1), requires_grad=False) for count in channels)
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1, count, 1, 1), requires_grad=False) for count in channels)

    def measure(self, levels: Sequence[Sequence[Tensor]]) -> None:
        """Take both from batches of levels."""
        for index, (mean, scale) in enumerate(zip(self.means, self.scales, strict=True)):
            values = torch.cat([batch[index].float() for batch in levels])
            mean.copy_(values.mean(dim=(0, 2, 3), keepdim=True))
            scale.copy_(1 / (values.std(dim=(0, 2, 3), keepdim=True) + 1e-3))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The same shapes."""
        return [(level - mean) * scale for level, mean, scale in zip(levels, self.means, self.scales, strict=True)]


class AdaptiveFusion(nn.Module):
    """Eq. 3 and 4: w_l = softmax over l of (v . GAP(P_l)) / tau, F = conv(concat_l w_l P_l), P_l = proj_l(F_l) at one sixteenth.

    The paper pools F_l itself; levels have different widths here, so the projected ones are pooled.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], *, width: int, temperature: float) -> None:
        """Strides of the levels in cells of the finest; width of each projection and of the fused map."""
        super().__init__()
        self.projections = nn.ModuleList(
            _convolution(count, width, stride=2 // stride) for count, stride in zip(channels, strides, strict=True)
        )
        self.query = nn.Parameter(torch.zeros(width))
        self.temperature = temperature
        self.fuse = nn.Conv2d(width * len(channels), width, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels to the fused map (n, width, h / 2, w / 2)."""
        projected = [project(level) for project, level in zip(self.projections, levels, strict=True)]
        weights = self.weights(projected)
        weighted = [maps * weights[:, index, None, None, None] for index, maps in enumerate(projected)]
        fused: Tensor = self.fuse(torch.cat(weighted, dim=1))
        return fused

    def weights(self, projected: Sequence[Tensor]) -> Tensor:
        """How much each level counts in each image, (n, levels), summing to one."""
        asked = [(maps.mean(dim=(2, 3)) * self.query).sum(dim=1) for maps in projected]
        return torch.softmax(torch.stack(asked, dim=1) / self.temperature, dim=1)


class LevelAutoencoder(nn.Module):
    """Eq. 5: fused map, code z at one thirty-second, and every level again from z.

    With attention (eq. 10 and 11) every cell of the code sees all others: the generator of systems C and E.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], *, width: int, code: int, heads: int, temperature: float, attention: bool
    ) -> None:
        """Width of the fused map, channels of the code, heads of its attention."""
        super().__init__()
        self.strides = tuple(strides)
        self.fusion = AdaptiveFusion(channels, strides, width=width, temperature=temperature)
        self.encode = nn.Sequential(_convolution(width, width, stride=2), nn.Conv2d(width, code, 1))
        self.attention = SelfAttention(code, heads=heads) if attention else nn.Identity()
        self.deepest = _convolution(code, width)
        self.coarse = _convolution(width, width)
        narrow = width // 3
        self.fine = nn.Sequential(nn.Conv2d(width, narrow, 1), nn.Upsample(scale_factor=2, mode="bilinear"), _convolution(narrow, narrow))
        self.heads = nn.ModuleList(
            nn.Conv2d(narrow if stride == 1 else width, count, 1) for count, stride in zip(channels, strides, strict=True)
        )

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Levels to the same levels again, and the code (n, code, h / 4, w / 4)."""
        code = self.attention(self.encode(self.fusion(levels)))
        coarse = self.coarse(enlarged(self.deepest(code), 2))
        fine = self.fine(coarse)
        return [head(fine if stride == 1 else coarse) for head, stride in zip(self.heads, self.strides, strict=True)], code


def on_one_grid(levels: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """All levels at one eighth, (n, sum of channels, h, w)."""
    return torch.cat([enlarged(level, stride) for level, stride in zip(levels, strides, strict=True)], dim=1)


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
