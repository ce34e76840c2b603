"""What all drawn parts of one frame size share: the belt, the flawless flange, the light and the sensor's noise.

Drawn once and kept; `parts.py` puts pose and defects to it. The look does not depend on a seed: it is one product on one line.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image

HOLES = 6
HOLE_CIRCLE, HOLE, BORE = 0.66, 0.085, 0.30
"""Radii, in radii of the flange."""

NOISE_OFFSETS = 64
"""The noise bank is larger than a frame by so much, so that it can be cut out at so many places across and down [px]."""
NOISE_MEAN = 10
LIGHT_UNIT = 200
"""The light map's value for unchanged brightness."""

_BELT, _STEEL, _DARK, _EDGE = (42, 45, 48), (158, 162, 168), (26, 27, 30), (206, 210, 216)
_SUBPIXEL_BITS = 4


class Scenery(NamedTuple):
    """Pictures (H, W, 3) RGB of frame size, and (S, S, 3) on a square canvas about the flange; all uint8, never written to.

    Attributes:
        belt: the empty belt with the flange's shadow.
        flange: the flawless flange on its canvas.
        blank: the same without bolt holes.
        silhouette: (S, S), 255 where the flange covers the belt.
        light: brightness of the lamp, `LIGHT_UNIT` is neutral.
        noise: bank of sensor noise with mean `NOISE_MEAN`, larger than a frame by `NOISE_OFFSETS`.
        radius_px: the flange's radius.
    """

    belt: UInt8Image
    flange: UInt8Image
    blank: UInt8Image
    silhouette: UInt8Image
    light: UInt8Image
    noise: UInt8Image
    radius_px: float


@lru_cache(maxsize=4)
def scenery_for(width: int, height: int) -> Scenery:
    """Draw the scenery for a frame size [px]; kept for the next call."""
    radius_px = 0.42 * min(width, height)
    side = 2 * math.ceil(1.10 * radius_px) + 1
    chance = np.random.default_rng(20261121)
    blank = _turned_disc(side, radius_px, chance)
    silhouette = np.zeros((side, side), np.uint8)
    draw_disc(silhouette, radius_px, 0.0, 0.0, 1.03, colour=255)
    return Scenery(
        belt=_belt(width, height, radius_px, chance),
        flange=_drilled(blank, radius_px),
        blank=blank,
        silhouette=silhouette,
        light=_light(width, height),
        noise=_painted(chance.normal(NOISE_MEAN, 2.5, (height + NOISE_OFFSETS, width + NOISE_OFFSETS, 3))),
        radius_px=radius_px,
    )


def on_canvas(side: int, radius_px: float, radii: npt.NDArray[np.float64], angles: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Polar places, in flange radii and [rad], as canvas points (n, 2) in sixteenths of a pixel: OpenCV's fixed point, `shift=4`."""
    points = np.stack((np.cos(angles), np.sin(angles)), axis=1) * (radii * radius_px)[:, np.newaxis] + (side - 1) / 2
    return np.asarray(np.rint(points * 2**_SUBPIXEL_BITS), np.int32)


def draw_disc(canvas: UInt8Image, radius_px: float, at: float, angle: float, radius: float, *, colour: Any, thickness: int = -1) -> None:
    """Draw a disc (or a ring of `thickness` [px]) whose centre lies `at` flange radii from the middle, of `radius` flange radii."""
    x, y = on_canvas(canvas.shape[0], radius_px, np.array([at]), np.array([angle]))[0]
    cv2.circle(canvas, (int(x), int(y)), round(radius * radius_px * 2**_SUBPIXEL_BITS), colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _turned_disc(side: int, radius_px: float, chance: np.random.Generator) -> UInt8Image:
    """Steel turned on a lathe: fine rings, a highlight of two opposite cones, bright chamfers, a dark bore."""
    canvas = np.full((side, side, 3), _BELT, np.uint8)
    steel = _painted(np.array(_STEEL) * (_rings(side, chance) * _highlight(side))[..., np.newaxis])
    cover = np.zeros((side, side), np.uint8)
    draw_disc(cover, radius_px, 0.0, 0.0, 1.0, colour=255)
    cv2.copyTo(steel, cover, canvas)
    chamfer = max(1, round(0.03 * radius_px))
    draw_disc(canvas, radius_px, 0.0, 0.0, 0.985, colour=_EDGE, thickness=chamfer)
    draw_disc(canvas, radius_px, 0.0, 0.0, BORE, colour=_DARK)
    draw_disc(canvas, radius_px, 0.0, 0.0, BORE, colour=_EDGE, thickness=chamfer)
    return canvas


def _drilled(blank: UInt8Image, radius_px: float) -> UInt8Image:
    flange = blank.copy()
    for hole in range(HOLES):
        angle = math.tau * hole / HOLES
        draw_disc(flange, radius_px, HOLE_CIRCLE, angle, HOLE, colour=_DARK)
        draw_disc(flange, radius_px, HOLE_CIRCLE, angle, HOLE, colour=_EDGE, thickness=max(1, round(0.015 * radius_px)))
    return flange


def _rings(side: int, chance: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise smeared along the angle, about 1 (side, side): the tool's marks."""
    polar = chance.normal(0.0, 1.0, (720, side)).astype(np.float32)
    smeared = cv2.blur(polar, (1, 241), borderType=cv2.BORDER_REFLECT)
    middle = ((side - 1) / 2, (side - 1) / 2)
    rings = cv2.warpPolar(smeared, (side, side), middle, 0.75 * side, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return 1.0 + 0.55 * rings.astype(np.float64)


def _highlight(side: int) -> npt.NDArray[np.float64]:
    down, across = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(1.0 + 0.13 * np.cos(2 * (np.arctan2(down, across) + 0.9)), np.float64)


def _belt(width: int, height: int, radius_px: float, chance: np.random.Generator) -> UInt8Image:
    weave = cv2.blur(chance.normal(0.0, 1.0, (height, width)), (9, 1))
    shadow = np.zeros((height, width), np.float32)
    cv2.circle(shadow, (round(width / 2 + 0.06 * radius_px), round(height / 2 + 0.08 * radius_px)), round(radius_px), 0.55, -1)
    shade = 1.0 - cv2.GaussianBlur(shadow, (0, 0), 0.06 * radius_px)
    return _painted((np.array(_BELT) + 10.0 * weave[..., np.newaxis]) * shade[..., np.newaxis])


def _light(width: int, height: int) -> UInt8Image:
    """One lamp above the top left corner: about a fifth brighter there, a fifth darker at the far end."""
    down, across = np.mgrid[:height, :width]
    distance = np.hypot(across / width - 0.3, down / height - 0.2)
    return _painted(np.repeat((LIGHT_UNIT * (1.2 - 0.45 * distance))[..., np.newaxis], 3, axis=2))


def _painted(values: npt.NDArray[np.float64]) -> UInt8Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
