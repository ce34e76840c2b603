"""Generator and discriminator of the skip self-attention GAN.

Source: Sun, Liu, Ma, Na, Zhang 2025, section 3.2 and figure 4; Liu et al. 2021 (Skip-Attention GAN) for the separable
convolutions; Radford et al. 2015 (DCGAN) for the discriminator; Akcay et al. 2019 (Skip-GANomaly) for batch norm and leaky ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.workshop.models.attention import SelfAttention
from edge_inspect.workshop.models.frames import enlarged

LEAK = 0.2
"""Slope of the leaky ReLU below zero. Source: Radford et al. 2015, section 3."""
LAST_CELLS = 4
"""Short side of the discriminator's last feature map. Source: Radford et al. 2015, figure 1."""


def separable(incoming: int, outgoing: int) -> nn.Sequential:
    """Depthwise 3x3, then 1x1 over the channels, batch norm, leaky ReLU: (n, incoming, h, w) to (n, outgoing, h, w)."""
    depthwise = nn.Conv2d(incoming, incoming, 3, padding=1, groups=incoming, bias=False)
    pointwise = nn.Conv2d(incoming, outgoing, 1, bias=False)
    return nn.Sequential(depthwise, pointwise, nn.BatchNorm2d(outgoing), nn.LeakyReLU(LEAK))


def two_separable(incoming: int, outgoing: int) -> nn.Sequential:
    """Two after another; the first changes the number of channels."""
    return nn.Sequential(separable(incoming, outgoing), separable(outgoing, outgoing))


class EncoderLevel(nn.Module):
    """Two separable convolutions, self-attention; the attended map is the skip connection, and halved what the next level takes."""

    def __init__(self, incoming: int, outgoing: int, *, attention: nn.Module) -> None:
        """Attention: on `outgoing` channels, or the identity."""
        super().__init__()
        self.convolutions = two_separable(incoming, outgoing)
        self.attention = attention

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """(n, incoming, h, w) to the attended map (n, outgoing, h, w) and its 2x2 maximum."""
        attended: Tensor = self.attention(self.convolutions(maps))
        return attended, functional.max_pool2d(attended, 2)


class DecoderLevel(nn.Module):
    """Bilinear enlarging by two, the encoder's attended map beside it, two separable convolutions."""

    def __init__(self, incoming: int, skipped: int, outgoing: int) -> None:
        """Channels from below, from the encoder, and out."""
        super().__init__()
        self.convolutions = two_separable(incoming + skipped, outgoing)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """(n, incoming, h, w) and (n, skipped, 2h, 2w) to (n, outgoing, 2h, 2w)."""
        joined: Tensor = self.convolutions(torch.cat([enlarged(maps, 2), skip], dim=1))
        return joined


class Generator(nn.Module):
    """U-net: images (n, c, h, w) in -1 to 1 to the same; h and w multiples of 2 to the number of levels."""

    def __init__(self, channels: int, *, widths: Sequence[int], attentions: Sequence[nn.Module]) -> None:
        """Widths: channels of every encoder level, fine to coarse; attentions: one module for each."""
        super().__init__()
        incoming = [channels, *widths[:-1]]
        self.encoder = nn.ModuleList(
            EncoderLevel(*sides, attention=attention)
            for sides, attention in zip(zip(incoming, widths, strict=True), attentions, strict=True)
        )
        self.bottleneck = two_separable(widths[-1], widths[-1])
        below = [widths[-1], *reversed(widths[1:])]
        self.decoder = nn.ModuleList(DecoderLevel(one, own, own) for one, own in zip(below, reversed(widths), strict=True))
        self.image = nn.Conv2d(widths[0], channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The image as the generator would have it; tanh keeps it in -1 to 1."""
        skips: list[Tensor] = []
        maps = images
        for level in self.encoder:
            attended, maps = level(maps)
            skips.append(attended)
        maps = self.bottleneck(maps)
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            maps = level(maps, skip)
        return torch.tanh(self.image(maps))


class Discriminator(nn.Module):
    """DCGAN: 4x4 convolutions of stride two, batch norm (not on the first), leaky ReLU, until 4 cells are left; then one number."""

    def __init__(self, channels: int, height: int, width: int, *, first_width: int, most_width: int) -> None:
        """First width: channels of the first convolution, doubled by each to at most `most_width`."""
        super().__init__()
        halvings = max(1, int(math.log2(min(height, width) / LAST_CELLS)))
        widths = [min(first_width * 2**level, most_width) for level in range(halvings)]
        incoming = [channels, *widths[:-1]]
        self.features = nn.Sequential(
            *(_halving(one, other, norm=level > 0) for level, (one, other) in enumerate(zip(incoming, widths, strict=True)))
        )
        self.verdict = nn.Conv2d(widths[-1], 1, (height >> halvings, width >> halvings))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, c, h, w) in -1 to 1 to the logit of being real (n,) and f(x), the last convolution's features (n, d, h', w')."""
        latent: Tensor = self.features(images)
        return self.verdict(latent).flatten(), latent


def open_attentions(widths: Sequence[int], pools: Sequence[int], *, share: int) -> list[nn.Module]:
    """One self-attention a level; queries, keys and values have `1 / share` of its channels."""
    return [SelfAttention(width, inner=max(1, width // share), pool=pool) for width, pool in zip(widths, pools, strict=True)]


def _halving(incoming: int, outgoing: int, *, norm: bool) -> nn.Sequential:
    """Half the side: convolution, batch norm where asked, leaky ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(incoming, outgoing, 4, stride=2, padding=1, bias=not norm)]
    if norm:
        layers.append(nn.BatchNorm2d(outgoing))
    return nn.Sequential(*layers, nn.LeakyReLU(LEAK))


def start_like_dcgan(module: nn.Module) -> None:
    """Convolutions normal around 0, batch norms around 1, sigma 0.02; for `module.apply`. Source: Radford et al. 2015, section 3."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
