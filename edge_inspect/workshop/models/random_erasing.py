"""Random erasing: a box of random size and place in every good patch is filled, which makes the negative of a triplet.

Source: Zhong, Zheng, Kang, Li, Yang 2020, algorithm 1; Tayeh et al. 2020, section IV.B, takes it to stand in for defects. Ours: every
patch is erased (their probability is 1 here), a box larger than the patch is cut to it instead of drawn again, and besides their
fill (noise in every pixel) a box may be one grey level or a piece of another patch, which look more like a real defect.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Fill = Literal["noise", "level", "paste"]
"""What stands in the box: a random value in every pixel (the paper's), one random value, or what stands there in another patch."""

LEAST_SHARE = 0.02
MOST_SHARE = 0.4
"""Of the patch's area. Source: Zhong et al. 2020, section 4.2: s_l and s_h."""
FLATTEST = 0.3
"""Height over width of the box lies between this and one over it. Source: Zhong et al. 2020, section 4.2: r_1 and r_2."""


def erased(patches: Tensor, *, fill: Fill) -> Tensor:
    """Patches (n, c, h, w) in 0 to 1 with one box each filled; the given tensor is left alone."""
    return torch.where(boxes(patches), filling(patches, fill), patches)


def boxes(patches: Tensor) -> Tensor:
    """Where to erase: (n, 1, h, w) bool, one box in every patch (n, c, h, w).

    Source: Zhong et al. 2020, algorithm 1: H_e = sqrt(S_e r_e), W_e = sqrt(S_e / r_e) with area S_e and aspect r_e drawn evenly.
    """
    count, _, height, width = patches.shape
    area = _drawn(patches, LEAST_SHARE, MOST_SHARE) * height * width
    aspect = _drawn(patches, FLATTEST, 1 / FLATTEST)
    rows = _span(torch.sqrt(area * aspect), height)
    columns = _span(torch.sqrt(area / aspect), width)
    return rows.view(count, 1, height, 1) & columns.view(count, 1, 1, width)


def filling(patches: Tensor, fill: Fill) -> Tensor:
    """What stands in the boxes, as large as the patches or broadcast to them."""
    if fill == "noise":
        return torch.rand_like(patches)
    if fill == "level":
        return torch.rand_like(patches[:, :, :1, :1])
    return patches.roll(1, dims=0).flip(3)


def _span(length: Tensor, side: int) -> Tensor:
    """A stretch of about that length in every row of (n, side) bool, at a random place."""
    whole = length.round().clamp(1, side)
    start = torch.floor(torch.rand_like(whole) * (side - whole + 1))
    places = torch.arange(side, device=length.device)
    return (places >= start) & (places < start + whole)


def _drawn(patches: Tensor, least: float, most: float) -> Tensor:
    """One number for every patch: (n, 1)."""
    return least + (most - least) * torch.rand(len(patches), 1, device=patches.device)
