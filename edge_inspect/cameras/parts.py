"""Draw a machined part that does not exist: a turned steel flange with six bolt holes, in uneven light on a dark belt.

`draw_part` is a pure function of its arguments, so a test or a training knows for every part whether it is good, what is wrong with it
and where. What all parts share is drawn once; a part costs one copy, one warp, one light and one noise. Parts of one size look the
same for every seed but for pose, noise and defects: a model taught on seed 1 serves for seed 2.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.cameras.pictures import with_channels
from edge_inspect.cameras.scenery import (
    HOLE,
    HOLE_CIRCLE,
    HOLES,
    LIGHT_UNIT,
    NOISE_MEAN,
    NOISE_OFFSETS,
    Scenery,
    draw_disc,
    on_canvas,
    scenery_for,
)
from edge_inspect.datatypes import UInt8Image

Defect = Literal["scratch", "dent", "stain", "missing-hole"]
Label = Literal["good", "scratch", "dent", "stain", "missing-hole"]
Mask: TypeAlias = npt.NDArray[np.bool_]

DEFECTS: Final[tuple[Defect, ...]] = get_args(Defect)

_TURN_DEG, _SHIFT = 4.0, 0.012
"""How a part lies on the belt: turned by up to so much, moved by up to so much of the frame's shorter side."""

_NOISE_MEAN_RGB: Any = (NOISE_MEAN, NOISE_MEAN, NOISE_MEAN, 0)


class DrawnPart(NamedTuple):
    """A part and the truth about it.

    Attributes:
        pixels: (H, W, C) uint8, C is 1 or 3 (RGB), read-only.
        label: `good`, or the kind of its one defect.
        defect_mask: (H, W) bool, True where the defect is; all False for a good part.
    """

    pixels: UInt8Image
    label: Label
    defect_mask: Mask


def draw_part(
    sequence: int,
    seed: int = 0,
    *,
    width: int = 640,
    height: int = 480,
    channels: Literal[1, 3] = 3,
    defect_rate: float = 0.1,
    label: Label | None = None,
) -> DrawnPart:
    """Draw part number `sequence` of the line `seed`. The same arguments give the same part.

    Args:
        sequence: the part's number.
        seed: another seed gives other poses, noise and defects.
        width: frame width [px].
        height: frame height [px].
        channels: 3 draws RGB, 1 grey.
        defect_rate: probability that a part is defective.
        label: what the part shall be, whatever `defect_rate` says; None lets chance decide.
    """
    chance = random.Random(f"part {seed} {sequence}")  # noqa: S311 - a picture, not a secret
    drawn = label_of(sequence, seed, defect_rate=defect_rate) if label is None else label
    scenery = scenery_for(width, height)
    # Pose and noise are drawn before the defect, so that a part drawn as good and as defective differs by its defect only.
    pose, speck = _pose(chance, scenery, width, height), _noise(chance, scenery, width, height)
    flange, mask = _machined(drawn, scenery, chance)
    pixels = _photographed(flange, pose, scenery, speck)
    defect_mask = cv2.warpAffine(mask, pose, (width, height), flags=cv2.INTER_NEAREST) > 0
    return DrawnPart(with_channels(pixels, channels), drawn, defect_mask)


def label_of(sequence: int, seed: int = 0, *, defect_rate: float = 0.1) -> Label:
    """What part number `sequence` is, without drawing it."""
    chance = random.Random(f"label {seed} {sequence}")  # noqa: S311 - a picture, not a secret
    return DEFECTS[int(chance.random() * len(DEFECTS))] if chance.random() < defect_rate else "good"


def _pose(chance: random.Random, scenery: Scenery, width: int, height: int) -> npt.NDArray[np.float64]:
    """Canvas to frame (2, 3)."""
    middle = (scenery.flange.shape[0] - 1) / 2
    pose = cv2.getRotationMatrix2D((middle, middle), chance.uniform(-_TURN_DEG, _TURN_DEG), 1.0)
    reach = _SHIFT * min(width, height)
    pose[0, 2] += (width - 1) / 2 - middle + chance.uniform(-reach, reach)
    pose[1, 2] += (height - 1) / 2 - middle + chance.uniform(-reach, reach)
    return np.asarray(pose, np.float64)


def _noise(chance: random.Random, scenery: Scenery, width: int, height: int) -> UInt8Image:
    """Sensor noise, cut from a bank at a random place: drawing it afresh would cost more than the rest of the part."""
    top, left = chance.randrange(NOISE_OFFSETS), chance.randrange(NOISE_OFFSETS)
    return scenery.noise[top : top + height, left : left + width]


def _photographed(flange: UInt8Image, pose: npt.NDArray[np.float64], scenery: Scenery, noise: UInt8Image) -> UInt8Image:
    height, width = scenery.belt.shape[:2]
    picture: Any = scenery.belt.copy()
    silhouette = cv2.warpAffine(scenery.silhouette, pose, (width, height), flags=cv2.INTER_NEAREST)
    cv2.copyTo(cv2.warpAffine(flange, pose, (width, height), flags=cv2.INTER_LINEAR), silhouette, picture)
    picture = cv2.multiply(picture, scenery.light, scale=1 / LIGHT_UNIT)
    return np.asarray(cv2.subtract(cv2.add(picture, noise), _NOISE_MEAN_RGB), np.uint8)


def _machined(label: Label, scenery: Scenery, chance: random.Random) -> tuple[UInt8Image, UInt8Image]:
    """The flange with its defect, and the defect's mask (S, S) uint8, both on the canvas."""
    flange, mask = scenery.flange.copy(), np.zeros(scenery.flange.shape[:2], np.uint8)
    if label != "good":
        _SPOIL[label](flange, mask, scenery, chance)
    return flange, mask


def _scratch(flange: UInt8Image, mask: UInt8Image, scenery: Scenery, chance: random.Random) -> None:
    radius, angle = _spot(chance)
    length, drift = chance.uniform(0.30, 0.60), chance.uniform(-0.06, 0.06)
    steps = np.linspace(0.0, 1.0, 12)
    radii, angles = radius + drift * steps, angle + length * steps / radius
    line = on_canvas(len(flange), scenery.radius_px, radii, angles)
    thick = max(1, round(0.012 * scenery.radius_px))
    cv2.polylines(flange, [line + 16], False, (214, 218, 224), thick, cv2.LINE_AA, 4)
    cv2.polylines(flange, [line], False, (74, 76, 80), thick, cv2.LINE_AA, 4)
    cv2.polylines(mask, [line + 8], False, 255, thick + 2, cv2.LINE_8, 4)


def _dent(flange: UInt8Image, mask: UInt8Image, scenery: Scenery, chance: random.Random) -> None:
    """Light from one side: one flank of a dent is bright, the other dark."""
    reach, centre = chance.uniform(0.05, 0.085) * scenery.radius_px, _spot_on_canvas(scenery, chance)
    patch, across, down = _around(flange, centre, 1.8 * reach)
    distance2 = (across**2 + down**2) / reach**2
    slope = (across + down) / reach * np.exp(-1.5 * distance2)
    patch[:] = np.clip(patch + 130.0 * slope[..., np.newaxis], 0, 255)
    _around(mask, centre, 1.8 * reach)[0][distance2 < 1.6] = 255


def _stain(flange: UInt8Image, mask: UInt8Image, scenery: Scenery, chance: random.Random) -> None:
    """Dried coolant: a brownish, see-through blot with a soft rim."""
    reach, centre = chance.uniform(0.06, 0.10) * scenery.radius_px, _spot_on_canvas(scenery, chance)
    patch, across, down = _around(flange, centre, 1.6 * reach)
    wobble = 0.25 * np.sin(3 * np.arctan2(down, across) + chance.uniform(0, math.tau))
    distance = np.hypot(across, down) / reach * (1 + wobble)
    cover = 0.6 / (1 + np.exp(12 * (distance - 1)))
    patch[:] = patch + cover[..., np.newaxis] * (np.array((88, 66, 44)) - patch)
    _around(mask, centre, 1.6 * reach)[0][distance < 1] = 255


def _missing_hole(flange: UInt8Image, mask: UInt8Image, scenery: Scenery, chance: random.Random) -> None:
    """Someone forgot to drill."""
    angle = math.tau * chance.randrange(HOLES) / HOLES
    draw_disc(mask, scenery.radius_px, HOLE_CIRCLE, angle, HOLE * 1.25, colour=255)
    cv2.copyTo(scenery.blank, mask, flange)


_Spoil: TypeAlias = Callable[[UInt8Image, UInt8Image, Scenery, random.Random], None]
_SPOIL: Final[dict[Defect, _Spoil]] = {"scratch": _scratch, "dent": _dent, "stain": _stain, "missing-hole": _missing_hole}


def _spot(chance: random.Random) -> tuple[float, float]:
    """A place on bare metal, inside or outside the circle of holes: radius in flange radii, angle [rad]."""
    return chance.choice((chance.uniform(0.42, 0.48), chance.uniform(0.83, 0.87))), chance.uniform(0, math.tau)


def _spot_on_canvas(scenery: Scenery, chance: random.Random) -> tuple[int, int]:
    radius, angle = _spot(chance)
    x, y = on_canvas(len(scenery.flange), scenery.radius_px, np.array([radius]), np.array([angle]))[0] // 16
    return int(x), int(y)


def _around(
    picture: UInt8Image, centre: tuple[int, int], reach: float
) -> tuple[UInt8Image, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The square patch about a centre (a view), and each of its pixels' distance across and down from it [px]."""
    half = math.ceil(reach)
    patch = picture[centre[1] - half : centre[1] + half + 1, centre[0] - half : centre[0] + half + 1]
    down, across = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    return patch, across, down
