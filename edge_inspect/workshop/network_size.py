"""Size of the network's image that keeps the part's own proportions: a part squeezed into a square loses detail along its length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from edge_inspect.cameras.pictures import read_picture
from edge_inspect.config import Recipe
from edge_inspect.errors import CameraError
from edge_inspect.workshop.good_images import Given

LOOKED_AT = 50
"""Pictures that tell the proportions, spread over all that are given."""


def fitting_size(images: Sequence[Given], recipe: Recipe, *, width: int, height: int, multiple: int = 32) -> tuple[int, int]:
    """Width and height [px] of about as many pixels as `width` x `height`, as long and wide as what the network is shown.

    That is the locator's rectangle, else the region of interest, else the whole frame (the median, where frames differ). An image
    that cannot be read tells nothing; if none can, the size stays as it is.
    """
    ratio = _ratio(images, recipe)
    if ratio is None:
        return width, height
    area = width * height
    return _whole(math.sqrt(area * ratio), multiple), _whole(math.sqrt(area / ratio), multiple)


def _ratio(images: Sequence[Given], recipe: Recipe) -> float | None:
    """Width by height of what is shown."""
    for shown in (recipe.locator, recipe.region_of_interest):
        if shown is not None:
            return shown.width / shown.height
    step = max(1, len(images) // LOOKED_AT)
    ratios = [ratio for ratio in map(_of_one, images[::step]) if ratio is not None]
    return median(ratios) if ratios else None


def _of_one(image: Given) -> float | None:
    try:
        height, width = (image[1] if isinstance(image, tuple) else read_picture(image)).shape[:2]
    except CameraError:
        return None
    return float(width / height)


def _whole(side: float, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple
