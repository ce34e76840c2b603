"""The triplet's network, its patches and its loss; what is made of them on the line stands in `triplet.py`.

Source: Tayeh, Aburakhia, Myers, Shami 2020. Convolutions 3x3, no padding, ReLU: three, max pooling 2x2, seven residual blocks of two.
One cell of the feature map has seen 64 x 64 pixels: a patch gives 1 x 1 cells, 1024 x 1024 pixels give 481 x 481.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM = 3
"""Convolutions before the pooling; each takes one pixel off every side."""
NEVER_ZERO = 1e-8
"""Under the root of a squared distance: its slope at zero is infinite."""
LEAST_RANGE = 1 / 255
"""Of an image that is scaled by its own range: one grey level."""
GREY = (0.299, 0.587, 0.114)
"""Share of red, green and blue in grey. Source: ITU-R BT.601."""


class ResidualBlock(nn.Module):
    """y = crop(x) + relu(conv(relu(conv(x)))): two cells less a side, none with `same_padding`. Source: section IV.C, figure 5."""

    def __init__(self, filters: int, *, same_padding: bool, batch_norm: bool) -> None:
        """Filters come in and go out."""
        super().__init__()
        self.layers = nn.Sequential(*(convolution(filters, filters, same_padding=same_padding, batch_norm=batch_norm) for _ in range(2)))
        self.crop = 0 if same_padding else 2

    def forward(self, maps: Tensor) -> Tensor:
        """(n, filters, h, w) to (n, filters, h - 4, w - 4)."""
        learnt: Tensor = self.layers(maps)
        return cropped(maps, self.crop) + learnt


class TripletNetwork(nn.Sequential):
    """(n, 1, H, W) in 0 to 1 to (n, filters, (H - 6) / 2 - 4 blocks, the same of W); with `same_padding` (n, filters, H / 2, W / 2)."""

    def __init__(self, *, filters: int, blocks: int, same_padding: bool, batch_norm: bool) -> None:
        """As the configuration says."""
        options = {"same_padding": same_padding, "batch_norm": batch_norm}
        stem = [convolution(1 if layer == 0 else filters, filters, **options) for layer in range(STEM)]
        super().__init__(*stem, nn.MaxPool2d(2), *(ResidualBlock(filters, **options) for _ in range(blocks)))


def convolution(incoming: int, outgoing: int, *, same_padding: bool, batch_norm: bool) -> nn.Sequential:
    """3x3, ReLU; batch norm between them is the paper's own suggestion for later."""
    layers: list[nn.Module] = [nn.Conv2d(incoming, outgoing, 3, padding=1 if same_padding else 0)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(outgoing))
    return nn.Sequential(*layers, nn.ReLU())


def seen_px(blocks: int) -> int:
    """Side of what one cell sees without padding [px]: 64 for seven blocks."""
    return 2 * (4 * blocks + 1) + 2 * STEM


def cropped(maps: Tensor, margin: int) -> Tensor:
    """Without `margin` cells on every side."""
    return maps[:, :, margin:-margin, margin:-margin] if margin else maps


def grey_from_planes(planes: Tensor) -> Tensor:
    """(n, 1 or 3, h, w) 0 to 255 to (n, 1, h, w) 0 to 1."""
    if planes.shape[1] == 1:
        return planes / 255.0
    return functional.conv2d(planes / 255.0, planes.new_tensor(GREY).view(1, 3, 1, 1))


def scaled_by_image(grey: Tensor) -> Tensor:
    """Every image of (n, 1, h, w) by its own minimum and maximum to 0 to 1; one of a single level becomes 0. Source: section IV.A."""
    low, high = grey.amin(dim=(1, 2, 3), keepdim=True), grey.amax(dim=(1, 2, 3), keepdim=True)
    return (grey - low) / (high - low).clamp(min=LEAST_RANGE)


def cut_patches(images: Tensor, *, count: int, side: int, same_place: bool) -> Tensor:
    """Cut patches at random places.

    Args:
        images: (n, c, h, w).
        count: patches from each.
        side: of a patch.
        same_place: every image is cut at the same places; else each at its own.

    Returns:
        (n * count, c, side, side), the patches of one image together.
    """
    shape = (1 if same_place else len(images), count)
    tops = torch.randint(images.shape[2] - side + 1, shape).expand(len(images), count).tolist()
    lefts = torch.randint(images.shape[3] - side + 1, shape).expand(len(images), count).tolist()
    return torch.stack(
        [
            image[:, top : top + side, left : left + side]
            for image, of_top, of_left in zip(images, tops, lefts, strict=True)
            for top, left in zip(of_top, of_left, strict=True)
        ]
    )


def distances(features: Tensor, other: Tensor) -> Tensor:
    """How far two feature maps lie apart: (n, filters, h, w) twice to (n,).

    Source: Tayeh et al. 2020, eq. 1 and 2: d = sqrt(sum_i (a_i - p_i)^2). A patch that gives several cells (larger, or same padding)
    counts the mean over its cells under the root, so that the distance does not grow with their number; for 1 x 1 it is the same.
    """
    return torch.sqrt((features - other).square().sum(dim=1).mean(dim=(1, 2)) + NEVER_ZERO)


def triplet_loss(near: Tensor, far: Tensor) -> Tensor:
    """Mean absolute error of softmax(d1, d2) against (0, 1): d1 (n,) small beside d2 (n,). A number.

    Source: Tayeh et al. 2020, section IV.A. The target is printed as [1, 0], which would reward d1 > d2, good patches far from
    each other. The text's intent (anchor near the positive) decides. Since both shares add up to one, the error is sigmoid(d1 - d2).
    """
    shares = torch.softmax(torch.stack([near, far], dim=1), dim=1)
    return functional.l1_loss(shares, shares.new_tensor([0.0, 1.0]).expand_as(shares))
