"""The autoencoder of Kumar, Malik, Puglisi 2025: encoder, bottleneck, decoder, and what is trained and scored with it.

encoder    four 3x3 convolutions, each followed by 2x2 max pooling; or VGG16's convolutions; or ResNet50
bottleneck none: the latent is the encoder's output; dense: one dense layer there and one back
decoder    five 3x3 convolutions with four upsamplings between them, the last convolution restoring the image's channels
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from edge_inspect.workshop.models.initialise import xavier_uniform
from edge_inspect.workshop.models.ssim import LocalSsim

MID_GREY = 0.5
"""Where a reconstruction starts: from 0 hundreds of steps go by until it is as bright as a part."""


class PlainEncoder(nn.Module):
    """3x3 convolution, ReLU and 2x2 max pooling, once for every width. Source: Kumar 2025, section 3.3."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        """From images of `channels` to maps of `widths[-1]`."""
        super().__init__()
        pairs = itertools.pairwise((channels, *widths))
        self.layers = nn.Sequential(*(layer for pair in pairs for layer in (_convolution(*pair), nn.ReLU(), nn.MaxPool2d(2))))
        self.channels = widths[-1]
        self.apply(xavier_uniform)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, H, W) to (n, widths[-1], H/16, W/16)."""
        features: Tensor = self.layers(images)
        return features


class Decoder(nn.Module):
    """Five 3x3 convolutions with four nearest upsamplings between them, the encoder's widths backwards. Source: Kumar 2025, section 3.3."""

    def __init__(self, features: int, widths: Sequence[int], channels: int, *, coarser: int = 1) -> None:
        """From maps of `features` to images of `channels`; `coarser`: how much larger the maps must become before they are decoded."""
        super().__init__()
        first = [nn.Upsample(scale_factor=coarser)] if coarser > 1 else []
        last = _convolution(widths[0], channels)
        self.layers = nn.Sequential(*first, *_decoder_layers(features, widths), last)
        self.apply(xavier_uniform)
        nn.init.constant_(last.bias, MID_GREY)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """(n, features, h, w) to (n, channels, H, W); not squashed into 0 to 1."""
        images: Tensor = self.layers(features)
        return images


class DenseBottleneck(nn.Module):
    """z = W vec(features) + b, and back to maps of the decoder's width: relu(V z + d). Source: Kumar 2025, figure 3."""

    def __init__(self, channels: int, latent: int, grid: tuple[int, int, int]) -> None:
        """From (channels, h, w) through `latent` numbers to `grid` = (c, h, w)."""
        super().__init__()
        self.grid = grid
        self.narrow = nn.Linear(channels * grid[1] * grid[2], latent)
        self.widen = nn.Linear(latent, grid[0] * grid[1] * grid[2])
        self.apply(xavier_uniform)

    def encode(self, features: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, latent)."""
        latent: Tensor = self.narrow(features.flatten(1))
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """(n, latent) to (n, *grid)."""
        return torch.relu(self.widen(latent)).reshape(-1, *self.grid)


class Autoencoder(nn.Module):
    """Encoder, bottleneck (or none) and decoder in one."""

    def __init__(self, encoder: nn.Module, bottleneck: DenseBottleneck | None, decoder: Decoder) -> None:
        """What fits together."""
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = encoder, bottleneck, decoder

    def encode(self, images: Tensor) -> Tensor:
        """The latent z of images (n, c, H, W): (n, latent) or the encoder's maps."""
        features: Tensor = self.encoder(images)
        return features if self.bottleneck is None else self.bottleneck.encode(features)

    def decode(self, latent: Tensor) -> Tensor:
        """Images (n, c, H, W) of a latent."""
        images: Tensor = self.decoder(latent if self.bottleneck is None else self.bottleneck.decode(latent))
        return images

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction of images (n, c, H, W)."""
        return self.decode(self.encode(images))


class SquaredError(nn.Module):
    """(x - y)^2, mean over the channels; its mean over the image is Kumar 2025, eq. 1."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """(n, c, h, w) twice to (n, 1, h, w)."""
        return (one - other).square().mean(dim=1, keepdim=True)


class Dissimilarity(nn.Module):
    """1 - SSIM(x, y) in the neighbourhood of each cell, mean over the channels. Source: Kumar 2025, eq. 2."""

    def __init__(self) -> None:
        """The window of Wang et al. 2004 (Gaussian, sigma 1.5), values in 0 to 1."""
        super().__init__()
        self.ssim = LocalSsim()

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """(n, c, h, w) twice to (n, 1, h, w), from 0 (alike) to 2."""
        alike: Tensor = self.ssim(one, other)
        return 1.0 - alike.mean(dim=1, keepdim=True)


def contractive_penalty(latent: Tensor, images: Tensor, projections: int) -> Tensor:
    """||dz/dx||_F^2, mean over the images, estimated: the mean of ||J^T v||^2 over random signs v, since E v v^T = 1.

    Args:
        latent: (n, ...), computed from `images`.
        images: (n, ...), which must require gradients.
        projections: how many v are drawn from torch's global generator; each costs one way back through the encoder.

    Returns:
        A scalar that can be differentiated.

    Source: Kumar 2025, section 3.3.2, the norm (Rifai et al. 2011); Hutchinson 1990, the estimate.
    """
    drawn = (torch.randint(0, 2, latent.shape, device=latent.device).to(latent.dtype) * 2 - 1 for _ in range(projections))
    return torch.stack([projected_norm(latent, images, signs) for signs in drawn]).mean()


def projected_norm(latent: Tensor, images: Tensor, signs: Tensor) -> Tensor:
    """||J^T v||^2 for one v = `signs` (latent's shape), mean over the images (n, ...); a scalar that can be differentiated."""
    (gradient,) = torch.autograd.grad(latent, images, grad_outputs=signs, create_graph=True)
    return gradient.square().sum() / len(images)


def _convolution(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1)


def _decoder_layers(features: int, widths: Sequence[int]) -> Iterator[nn.Module]:
    for pair in itertools.pairwise((features, *reversed(widths))):
        yield from (_convolution(*pair), nn.ReLU(), nn.Upsample(scale_factor=2))
