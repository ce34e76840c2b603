"""The discriminator: says of every cell whether it is as in good parts. Source: An, Wu, Li 2026, section 3.2, eq. 10, 11, 13."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_inspect.workshop.models.attention import SelfAttention
from edge_inspect.workshop.models.frames import enlarged


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each cell, from plain operators: TensorRT 8.2 has none."""

    def __init__(self, channels: int) -> None:
        """Starts as the plain norm."""
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) to the same."""
        apart = maps - maps.mean(dim=1, keepdim=True)
        spread = torch.sqrt((apart * apart).mean(dim=1, keepdim=True) + 1e-5)
        return apart / spread * self.gain + self.shift


class CellDiscriminator(nn.Module):
    """Levels on one grid to a logit for every cell: its own neighbourhood, and, with attention, what all cells of the part are like.

    The paper's discriminator says one thing of a whole image; one for every cell is what a map needs (deviation). Layer norm over
    channels and attention as there.
    """

    def __init__(self, channels: int, *, width: int, heads: int, attention: bool) -> None:
        """Channels that come in, and width inside."""
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(channels, width, 1), ChannelNorm(width), nn.LeakyReLU(0.2))
        self.around = _block(width, width, stride=2)
        self.attention = SelfAttention(width, heads=heads, inner=width // 2, pool=1) if attention else nn.Identity()
        self.join = nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.LeakyReLU(0.2))
        self.near = _block(width, width, stride=1)
        self.judge = nn.Conv2d(width, 1, 1)

    def forward(self, joined: Tensor) -> tuple[Tensor, Tensor]:
        """(n, channels, h, w) to logits (n, 1, h, w), above 0 anomalous, and the features they are judged by."""
        own = self.enter(joined)
        whole = enlarged(self.attention(self.around(own)), 2)
        features = self.join(torch.cat([own, whole], dim=1))
        features = features + self.near(features)
        return self.judge(features), features


def _block(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.2))
