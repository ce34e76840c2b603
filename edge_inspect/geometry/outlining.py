"""The outline of the one part in a small grey image: what stands out from a plain background."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.config import PartBackground
from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import PartNotLocated

Outline = npt.NDArray[np.float64]
"""Column and row of the outermost pixels of something (n, 2), in their order around it [px]."""

Grey = npt.NDArray[np.uint8]
"""Grey levels in whatever shape."""

SURROUNDINGS = np.ones((5, 5), np.uint8)
"""Widens the first mask of a part in an image of 128 px to about as much background as part; 3 and 9 do as well."""

LEAST_CONTRAST = 10.0
"""Between part and background [grey levels]. Otsu splits mere noise into halves 1.6 sigma apart; after block means it is far less."""

LEAST_AREA_PX = 20.0
"""Inside an outline [px]; anything smaller is a speck."""

LARGEST_SECOND = 0.5
"""Of the largest outline's area: what is smaller is dirt, what is larger is another part."""


SHADE_SHARE = 0.25
"""Sigma of the background's own smoothness, as a part of the side of what is filled over (DECISIONS 141)."""


def outline_part(image: UInt8Image, background: PartBackground) -> Outline:
    """Outline what stands out from the background, its holes and glints filled.

    Otsu's threshold parts the image, and then once more the surroundings of what it found, where part and background are
    about as large: the first takes a soft shadow for the part, the second for the background.

    Args:
        image: (h, w, 1) uint8, about 128 px.
        background: `light` or `dark`, as the recipe says.

    Raises:
        PartNotLocated: nothing stands out, or it reaches over the image's edge, or there are two.

    Source: Otsu 1979, A Threshold Selection Method from Gray-Level Histograms.
    """
    grey = 255 - image[:, :, 0] if background == "light" else image[:, :, 0]
    outlines, _ = cv2.findContours(_bright_part(grey), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea)
    _refuse_speck(cv2.contourArea(largest))
    _refuse_second(sum(cv2.contourArea(outline) > LARGEST_SECOND * cv2.contourArea(largest) for outline in outlines))
    outline = np.asarray(largest, np.float64).reshape(-1, 2)
    _refuse_cut_off(outline, grey.shape[1], grey.shape[0])
    return outline


def even_light(image: UInt8Image, background: PartBackground, widest_px: float) -> UInt8Image:
    """The image as it would be if its background were as bright everywhere as where it is brightest.

    The background is what is left of the image when everything narrower than `widest_px` is filled over with what lies about it.

    Args:
        image: (h, w, 1) uint8, about 128 px.
        background: `light` or `dark`; a dark one is evened out in the negative, in which it is light.
        widest_px: a part is narrower than this across its axis [px of the image].

    Source: Gonzalez, Woods, Digital Image Processing, shading correction by closing.
    """
    light = image[:, :, 0] if background == "light" else 255 - image[:, :, 0]
    side = 2 * math.ceil(widest_px / 2) + 1
    filled = cv2.morphologyEx(light, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE)
    shade = cv2.GaussianBlur(filled, (0, 0), SHADE_SHARE * side, borderType=cv2.BORDER_REPLICATE).astype(np.float32)
    evened: UInt8Image = np.clip(light * (shade.max() / np.maximum(shade, 1)), 0, 255).astype(np.uint8)[:, :, np.newaxis]
    return evened if background == "light" else 255 - evened


def _bright_part(grey: Grey) -> Grey:
    """The part's pixels (h, w): 1, the others 0."""
    first = (grey > _otsu(grey)).astype(np.uint8)
    around = grey[cv2.dilate(first, SURROUNDINGS) > 0]
    level = _otsu(around)
    _refuse_faint(around[around > level], around[around <= level])
    return (grey > level).astype(np.uint8)


def _otsu(grey: Grey) -> float:
    """The level that parts these pixels best; none of them is above it where all are equal."""
    if not grey.size or grey.min() == grey.max():
        return 255.0
    level, _ = cv2.threshold(grey.reshape(1, -1), 0, 255, cv2.THRESH_OTSU)
    return level


def _refuse_faint(part: Grey, background: Grey) -> None:
    contrast = float(part.mean()) - float(background.mean()) if part.size and background.size else 0.0
    if contrast < LEAST_CONTRAST:
        raise PartNotLocated(
            f"no part in the region of interest: what stands out from the background does so by {contrast:.0f} grey levels, "
            f"wanted {LEAST_CONTRAST:.0f}; check trigger, light, and locator.background"
        )


def _refuse_speck(area_px: float) -> None:
    if area_px < LEAST_AREA_PX:
        raise PartNotLocated("no part in the region of interest, only specks; check the trigger, or let the region fit the part closer")


def _refuse_second(parts: int) -> None:
    if parts > 1:
        raise PartNotLocated(f"{parts} parts of about one size in the region of interest; feed one at a time, or make the region smaller")


def _refuse_cut_off(outline: Outline, width: int, height: int) -> None:
    if outline.min() == 0 or (outline.max(axis=0) == (width - 1, height - 1)).any():
        raise PartNotLocated("the part reaches over the edge of the region of interest; let it lie farther in, or make the region larger")
