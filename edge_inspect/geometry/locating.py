"""Where a loose part lies: the network's image is laid about the part's middle and turned onto its long axis.

The scale is the recipe's, never the part's, so that a part that is too long looks too long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from edge_inspect.config import Locator, RegionOfInterest
from edge_inspect.datatypes import Placement, UInt8Image
from edge_inspect.errors import PartNotLocated
from edge_inspect.geometry.outlining import even_light, outline_part
from edge_inspect.geometry.placing import Pair, Positions, frame_points, lay, place
from edge_inspect.geometry.warping import warp

SEARCHED_PX = 128
"""Longer side of the grey image that is searched. Screws lie as well with 128 as with 256 (0.2 degrees), in a third of the time."""

LEAST_ELONGATION = 1.5
"""Spread of a part along over across its axis. Below it the noise of the outline turns the axis."""

LEAST_TAPER = 0.1
"""Of ends that differ. Good screws have 0.5 and more; a part that is alike at both ends has 0."""


Moments = Mapping[str, float]
"""As OpenCV names them: m00 the area, m10 and m01 the first ones, mu20 to mu03 the central ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The long axis of an outline.

    Attributes:
        centre: position of the centre of mass of what the outline encloses.
        direction: cosine and sine of its angle, clockwise from the frame's right; towards the narrower end.
        elongation: standard deviation of the area along it over that across it.
        taper: mean of u v² over sigma_u sigma_v², where u runs from the centre of mass to the wider end and v across.
    """

    centre: Pair
    direction: Pair
    elongation: float
    taper: float


def locate(pixels: UInt8Image, region: RegionOfInterest | None, locator: Locator, *, width: int, height: int, channels: int) -> Placement:
    """Lay the network's image about the part: its long axis across, its wider end on the left, its middle in the middle.

    The middle is that of the outline's extent along the axis, and its centre of mass across it. On good screws, held against
    their mean picture, either is twice as steady as the other (2 px along, 1 px across, in a part of 450 px).

    Args:
        pixels: the frame (H, W, C) uint8, C is 1 or 3 (RGB).
        region: where the part is searched; None is the whole frame.
        locator: how, and how much of the frame is shown about the part.
        width: width of the network's image [px].
        height: height of the network's image [px].
        channels: channels of the network's image, 1 or 3.

    Returns:
        A placement that may reach out of the frame; `warp` repeats the outermost pixels there, `searched_cells` leaves it out.

    Raises:
        PartNotLocated: there is no part, or not one, or it is cut off, or has no direction, or no wider end although
            `ends` differ, or is larger than what is shown.
        ConfigError: the region reaches out of the frame.
    """
    search = _search(pixels, region)
    outline = frame_points(search, outline_part(_searched(pixels, search, locator), locator.background))
    axis = principal_axis(outline)
    _refuse_ambiguous(axis, locator)
    direction = _shown(axis, locator)
    middle, size_px = _extent(outline, axis.centre, direction)
    _refuse_too_large(size_px, locator)
    return lay(middle, direction, (locator.width, locator.height), width=width, height=height, channels=channels)


def principal_axis(outline: Positions) -> Axis:
    """The long axis of what an outline (n, 2) encloses, towards its narrower end.

    Source: Hu 1962, Visual Pattern Recognition by Moment Invariants (principal axis from the second moments).
    """
    moments = cv2.moments(outline.astype(np.float32).reshape(-1, 1, 2))
    along, across, angle = _spread(moments)
    widening = _widening(moments, math.cos(angle), math.sin(angle)) / (math.sqrt(along) * across)
    if widening > 0:
        angle += math.pi
    centre = (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"])
    return Axis(centre=centre, direction=(math.cos(angle), math.sin(angle)), elongation=math.sqrt(along / across), taper=abs(widening))


def _spread(moments: Moments) -> tuple[float, float, float]:
    """Variances along and across the long axis, and its angle [rad], from -pi / 2 to pi / 2."""
    x, xy, y = (moments[name] / moments["m00"] for name in ("mu20", "mu11", "mu02"))
    mean, half = (x + y) / 2, math.hypot(x - y, 2 * xy) / 2
    return mean + half, mean - half, math.atan2(2 * xy, x - y) / 2


def _widening(moments: Moments, cosine: float, sine: float) -> float:
    """Mean of u v², u along the axis and v across it: above 0 where the outline is wider towards the axis's end."""
    terms = (
        cosine * sine**2 * moments["mu30"],
        sine * (sine**2 - 2 * cosine**2) * moments["mu21"],
        cosine * (cosine**2 - 2 * sine**2) * moments["mu12"],
        sine * cosine**2 * moments["mu03"],
    )
    return sum(terms) / moments["m00"]


def _search(pixels: UInt8Image, region: RegionOfInterest | None) -> Placement:
    """The grey image that is searched, laid over the region of interest; never finer than the frame."""
    frame_height, frame_width = pixels.shape[:2]
    across, down = (region.width, region.height) if region else (frame_width, frame_height)
    step = max(1.0, max(across, down) / SEARCHED_PX)
    width, height = max(1, round(across / step)), max(1, round(down / step))
    return place(frame_width, frame_height, region, width=width, height=height, channels=1)


def _searched(pixels: UInt8Image, search: Placement, locator: Locator) -> UInt8Image:
    """The grey image (h, w, 1) that the part is looked for in; a part is narrower than what the locator shows across its axis."""
    image = warp(pixels, search)
    step = math.hypot(search.affine[0, 0], search.affine[1, 0])
    return even_light(image, locator.background, locator.height / step) if locator.even_light else image


def _refuse_ambiguous(axis: Axis, locator: Locator) -> None:
    if axis.elongation < LEAST_ELONGATION:
        raise PartNotLocated(
            f"the part has no direction: it is {axis.elongation:.2f} times as long as wide (standard deviations), wanted "
            f"{LEAST_ELONGATION:g}; look at the frame, or inspect such parts without locator"
        )
    if locator.ends == "differ" and axis.taper < LEAST_TAPER:
        raise PartNotLocated(
            f"the part's ends look alike: taper {axis.taper:.2f}, wanted {LEAST_TAPER:g}; look at the frame, or write `ends: alike` "
            "where either may lie on the left"
        )


def _shown(axis: Axis, locator: Locator) -> Pair:
    """Cosine and sine of what lies to the right in the network's image; of ends that are alike, the one farther to the right."""
    (cosine, sine), alike = axis.direction, locator.ends == "alike"
    return (-cosine, -sine) if alike and cosine < 0 else (cosine, sine)


def _extent(outline: Positions, centre: Pair, direction: Pair) -> tuple[Pair, Pair]:
    """Middle of an outline, position [frame px], and the size [px] of what encloses it about that middle."""
    (cosine, sine), (x, y) = direction, centre
    turned = (outline - np.array(centre)) @ np.array([[cosine, -sine], [sine, cosine]])
    (low_u, low_v), (high_u, high_v) = turned.min(axis=0).tolist(), turned.max(axis=0).tolist()
    ahead = (low_u + high_u) / 2
    return (x + cosine * ahead, y + sine * ahead), (high_u - low_u, 2 * max(-low_v, high_v))


def _refuse_too_large(size_px: Pair, locator: Locator) -> None:
    if size_px[0] > locator.width or size_px[1] > locator.height:
        raise PartNotLocated(
            f"the part is {size_px[0]:.0f} x {size_px[1]:.0f} px, the locator shows {locator.width:g} x {locator.height:g}; "
            "look at the frame, or enlarge locator.width and height and teach again"
        )
