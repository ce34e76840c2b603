"""From scores to colours. A colour stands for a multiple of the threshold, never for a place in the range of one image."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import ScoreMap

LOWEST, HIGHEST = 0.5, 2.0
"""Ends of the scale as multiples of the threshold: below the first nothing is tinted, above the second all is one colour."""

Levels = npt.NDArray[np.uint8]
"""Places on the scale (h, w) uint8: 0 is `LOWEST` or less, 255 is `HIGHEST` or more."""

_ROWS = 64
"""How many rows are tinted at a time: of a wholly hot frame of 5 megapixels the numbers in between took 400 MB."""

_STRONGEST = 0.58  # of 1; the part is still seen through the worst place


def levels_from_scores(scores: ScoreMap, threshold: float | None) -> Levels:
    """Where each score lies on the scale.

    A cell that is not finite has no place and gives 0. For a negative threshold the scale has the same width; at a
    threshold of exactly 0 everything above it is at the top. Without a threshold there is no scale and all is 0.

    Args:
        scores: (h, w) float32, engine units.
        threshold: engine units.
    """
    if threshold is None or not np.isfinite(threshold):
        return np.zeros(scores.shape, np.uint8)
    span = max(abs(threshold), 1e-30)
    bottom = threshold - (1 - LOWEST) * span
    place = (np.where(np.isfinite(scores), scores, bottom).astype(np.float64) - bottom) / ((HIGHEST - LOWEST) * span)
    return np.rint(255 * np.clip(place, 0, 1)).astype(np.uint8)


def colours() -> npt.NDArray[np.uint8]:
    """Colour of each level (256, 3) uint8 RGB: blue, green, yellow, red. The lightness of neighbours differs evenly."""
    ramp = np.linspace(40, 240, 256).round().astype(np.uint8)[:, None]  # Turbo's ends are nearly black
    return np.asarray(cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[:, 0, ::-1], np.uint8)


def opacities() -> npt.NDArray[np.float32]:
    """Opacity of each level (256,) float32: 0 at the bottom, rising fastest about the threshold."""
    rise = np.clip(np.linspace(0, 1, 256) / 0.6, 0, 1)
    return (_STRONGEST * rise * rise * (3 - 2 * rise)).astype(np.float32)


def tint(picture: npt.NDArray[np.uint8], levels: Levels) -> None:
    """Lay the colours over a picture (H, W, 3) uint8 RGB, which is written to; `levels` are (H, W)."""
    colour, opacity = colours(), opacities()
    for start in range(0, len(levels), _ROWS):
        part, level = picture[start : start + _ROWS], levels[start : start + _ROWS]
        hot = level > 0
        strength = opacity[level[hot], None]
        part[hot] = np.rint(part[hot] * (1 - strength) + colour[level[hot]] * strength)
