"""Is the picture still as bright, as contrasty, as sharp, and in the same place as in the calibration frames?"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.config.recipe import Rectangle
from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import ConfigError
from edge_inspect.rests import Rests

Numbers = npt.NDArray[np.float64]

SIDE_PX = 128
"""Pictures are looked at in this size: enough for light and place, and as fast for a large frame as for a small one."""

AVERAGED = 10
FARTHEST = 4.0
"""An average of ten looks this many of one look's standard deviations away is told; by chance it never is."""

FLOORS = (0.02, 0.10, 0.04)
"""Least change told of brightness, sharpness and contrast, as a part of their value: a simulated or very still line hardly varies."""

LEAST = (0.5, 0.02, 0.5)
"""And at least so much, brightness and contrast in grey levels: an even patch has neither contrast nor sharpness to compare with."""

LEAST_SHIFT = 0.015
"""Least shift told, as a part of the picture's side."""

NAMES = ("brightness", "sharpness", "contrast")
ADVICE = ("check the light", "check lens and focus", "check the light")
"""Sharpness before contrast: a blur takes some contrast, too, but less light no sharpness."""


class Light:
    """Watches pictures of one kind: as the network sees them, or a patch of the frame."""

    def __init__(self, reference: Sequence[UInt8Image], *, still: bool, what: str = "picture", rests: Rests | None = None) -> None:
        """Watch against the calibration frames (H, W, C) uint8; `still` where what they show always lies in the same place."""
        self._what = what
        rests = rests or Rests(share=1)
        small = [_small(image) for image in rests.between(reference)]
        looks = np.array([_look(image) for image in rests.between(small)])
        self._centre, self._spread = np.median(looks, axis=0), looks.std(axis=0)
        self._patch = np.mean(small, axis=0) if still else None
        shifts = np.array([_shift(image, self._patch) for image in rests.between(small)] if self._patch is not None else [(0.0, 0.0)])
        self._shift_centre, self._shift_spread = np.median(shifts, axis=0), shifts.std(axis=0)
        self._looks: deque[tuple[float, ...]] = deque(maxlen=AVERAGED)

    def note(self, image: UInt8Image) -> str:
        """Take one more picture; what is wrong, or ""."""
        small = _small(image)
        shift = (0.0, 0.0) if self._patch is None else _shift(small, self._patch)
        self._looks.append((*_look(small), *shift))
        if len(self._looks) < AVERAGED:
            return ""
        average = np.mean(self._looks, axis=0)
        return self._changed(average[:3]) or self._moved(average[3:])

    def _changed(self, average: Numbers) -> str:
        allowed = np.maximum.reduce((FARTHEST * self._spread, np.array(FLOORS) * self._centre, np.array(LEAST)))
        for index in np.flatnonzero(np.abs(average - self._centre) > allowed):
            now, then = average[index], self._centre[index]
            return f"{ADVICE[index]}: {NAMES[index]} of the {self._what} is {now:.4g}, at the calibration it was {then:.4g}"
        return ""

    def _moved(self, average: Numbers) -> str:
        away = np.abs(average - self._shift_centre)
        if self._patch is None or not (away > np.maximum(FARTHEST * self._shift_spread, LEAST_SHIFT * SIDE_PX)).any():
            return ""
        share = 100 * float(np.hypot(*away)) / SIDE_PX
        return f"check the camera's place: the {self._what} lies {share:.1f} % of its side away from the calibration's"


def patch_view(pixels: UInt8Image, patch: Rectangle) -> UInt8Image:
    """The reference patch of a frame (H, W, C) as the guard looks at it, (side, side) grey.

    Raises:
        ConfigError: it does not lie in the frame.
    """
    left, top, right, bottom = (round(at) for at in (patch.left, patch.top, patch.left + patch.width, patch.top + patch.height))
    height, width = pixels.shape[:2]
    if left < 0 or top < 0 or right > width or bottom > height or left >= right or top >= bottom:
        raise ConfigError(
            f"reference_patch: {left} to {right} x {top} to {bottom} px does not lie in a frame of {width} x {height} px; "
            "mark another place in recipe.yaml"
        )
    return small_view(pixels[top:bottom, left:right])


def small_view(image: UInt8Image) -> UInt8Image:
    """A picture (H, W, C) as the guard looks at it, (side, side) grey."""
    grey = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _small(image: UInt8Image) -> npt.NDArray[np.float32]:
    return small_view(image).astype(np.float32)


def _look(small: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    """Mean; mean steepness for the contrast there is, which less light leaves as it is; and contrast (standard deviation)."""
    contrast = float(small.std())
    return float(small.mean()), float(np.abs(cv2.Laplacian(small, cv2.CV_32F)).mean()) / max(contrast, 1.0), contrast


def _shift(small: npt.NDArray[np.float32], patch: Any) -> tuple[float, float]:
    window = cv2.createHanningWindow((SIDE_PX, SIDE_PX), cv2.CV_32F)
    # copies: OpenCV lays the window over what it is given
    (x, y), _ = cv2.phaseCorrelate(np.array(patch, np.float32), small.copy(), window)
    return float(x), float(y)
