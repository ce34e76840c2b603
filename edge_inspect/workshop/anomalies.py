"""Anomalies planted into good images so that a discriminator has something to tell from good: what training may see of defects.

Apart from `synthetic.py`, whose drawn defects choose settings and stand in golden frames: nothing is ever chosen on what was
trained on. A planted anomaly is a smooth random shape filled with another texture. Source for the idea: Zavrtanik, Kristan,
Skocaj 2021 (DRAEM, section 3.3); shapes and fillings are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image

Grey = npt.NDArray[np.float32]
Filling = Callable[[Grey, np.random.Generator], Grey]

LEAST_SHARE, MOST_SHARE = 0.015, 0.12
"""Half length of a shape as a part of the image's shorter side."""
SCRATCH = 0.2
"""Chance of a long thin shape."""
ON_STRUCTURE = 0.5
"""Chance that the middle is drawn where the image has structure, instead of anywhere."""
VISIBLE = 4.0
"""Mean change in a neighbourhood below which nothing is called an anomaly [grey levels]."""


def plant_anomaly(image: UInt8Image, random: np.random.Generator) -> tuple[UInt8Image, Grey]:
    """Plant one anomaly into a copy of the image.

    Args:
        image: (H, W, C) uint8, at least 32 x 32.
        random: where everything drawn comes from.

    Returns:
        The image (H, W, C) uint8 and where it visibly changed (H, W) float32, 0 or 1.
    """
    good = image.astype(np.float32)
    shape = _shape(image.shape[0], image.shape[1], _middle(good, random), random)
    names = tuple(FILLINGS)
    filled = FILLINGS[names[int(random.integers(len(names)))]](good, random)
    cover = cv2.GaussianBlur(shape, (0, 0), float(random.uniform(0.4, 1.2))) * random.uniform(0.5, 1.0)
    spoilt = np.clip(np.round(good + cover[:, :, None] * (filled - good)), 0, 255).astype(np.uint8)
    change = np.abs(spoilt.astype(np.float32) - good).max(axis=2)
    return spoilt, ((shape > 0.3) & (cv2.blur(change, (5, 5)) > VISIBLE)).astype(np.float32)


def another_place(good: Grey, random: np.random.Generator) -> Grey:
    """The part itself, shifted, mirrored and of another tone."""
    height, width = good.shape[:2]
    moved = np.roll(good, (int(random.integers(height)), int(random.integers(width))), (0, 1))
    flips = random.integers(2, size=2)
    return moved[:: 1 - 2 * int(flips[0]), :: 1 - 2 * int(flips[1])] + np.float32(random.uniform(-40, 40))


def another_tone(good: Grey, random: np.random.Generator) -> Grey:
    """Darker or brighter, cloudy."""
    clouds = _noise(good.shape[:2], float(random.uniform(1, 5)), random)
    depth = float(random.choice([-1, 1]) * random.uniform(15, 90))
    return good + np.float32(depth) * (1 + 0.3 * clouds[:, :, None])


def plain_grain(good: Grey, random: np.random.Generator) -> Grey:
    """One tone with grain: dirt, a hole."""
    grain = random.normal(0, random.uniform(1, 20), good.shape)
    return (random.uniform(0, 255, size=(1, 1, good.shape[2])) + grain).astype(np.float32)


def pushed_aside(good: Grey, random: np.random.Generator) -> Grey:
    """Locally displaced: bent, dented."""
    height, width = good.shape[:2]
    rows, columns = np.indices((height, width), np.float32)
    scale = float(random.uniform(3, 10))
    down, across = (_noise((height, width), scale, random) * scale * random.uniform(0.3, 0.9) for _ in range(2))
    return _read(good, columns + across.astype(np.float32), rows + down.astype(np.float32))


def out_of_focus(good: Grey, random: np.random.Generator) -> Grey:
    """Smeared: worn, coated."""
    return np.asarray(cv2.GaussianBlur(good, (0, 0), float(random.uniform(2, 5))), np.float32).reshape(good.shape)


def turned(good: Grey, random: np.random.Generator) -> Grey:
    """Turned about the image's middle and of another tone."""
    height, width = good.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(random.uniform(10, 350)), float(random.uniform(0.8, 1.25)))
    read = cv2.warpAffine(good, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return read.reshape(good.shape) + np.float32(random.uniform(-25, 25))


FILLINGS: Mapping[str, Filling] = {
    "another place": another_place,
    "another tone": another_tone,
    "plain grain": plain_grain,
    "pushed aside": pushed_aside,
    "out of focus": out_of_focus,
    "turned": turned,
}
"""What a shape is filled with, by name."""


def moved(image: UInt8Image, random: np.random.Generator, *, turn_deg: float, shift_share: float) -> tuple[UInt8Image, Grey]:
    """The good image turned and shifted a little, its outermost pixels continued. Source: An et al. 2026, eq. 12.

    Args:
        image: (H, W, C) uint8.
        random: where everything drawn comes from.
        turn_deg: at most so far to either side [degrees].
        shift_share: at most so far in every direction, as a part of width and height.

    Returns:
        The image (H, W, C) uint8, and which of it was seen (H, W) float32, 0 where pixels were continued.
    """
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), float(random.uniform(-turn_deg, turn_deg)), 1.0)
    shift = random.uniform(-shift_share, shift_share, 2) * np.array([width, height])
    turn = turn + np.column_stack([np.zeros((2, 2)), shift])
    read = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpAffine(np.ones((height, width), np.float32), turn, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(read, np.uint8).reshape(image.shape), np.asarray(seen, np.float32)


def _shape(height: int, width: int, middle: tuple[int, int], random: np.random.Generator) -> Grey:
    """A blot or a scratch with a ragged edge, (height, width) 0 or 1."""
    size = float(np.exp(random.uniform(np.log(LEAST_SHARE), np.log(MOST_SHARE)))) * min(height, width)
    long, thin = (2.5 * size, max(1.0, 0.25 * size)) if random.random() < SCRATCH else (size, size * random.uniform(0.4, 1.0))
    angle = random.uniform(0, np.pi)
    rows, columns = np.indices((height, width), np.float32)
    rows, columns = rows - middle[0], columns - middle[1]
    along, across = np.cos(angle) * columns + np.sin(angle) * rows, np.cos(angle) * rows - np.sin(angle) * columns
    hill = np.exp(-0.5 * ((along / long) ** 2 + (across / thin) ** 2))
    ragged = hill * (1 + 0.6 * _noise((height, width), max(0.8, 0.3 * size), random))
    return np.asarray(ragged > 0.5, np.float32)


def _middle(good: Grey, random: np.random.Generator) -> tuple[int, int]:
    """Row and column: anywhere, or with a chance as large as the local standard deviation."""
    height, width = good.shape[:2]
    if random.random() > ON_STRUCTURE:
        return int(random.integers(height)), int(random.integers(width))
    grey = good.mean(axis=2)
    variance = cv2.GaussianBlur(grey * grey, (0, 0), 6) - cv2.GaussianBlur(grey, (0, 0), 6) ** 2
    chance = np.sqrt(np.clip(variance, 0.01, None), dtype=np.float64).ravel()
    row, column = divmod(int(random.choice(chance.size, p=chance / chance.sum())), width)
    return row, column


def _noise(shape: tuple[int, ...], sigma: float, random: np.random.Generator) -> Grey:
    """Smooth noise of this grain [px], mean 0, standard deviation 1."""
    noise = cv2.GaussianBlur(random.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    return np.asarray(noise / (noise.std() + 1e-6), np.float32)


def _read(good: Grey, columns: Grey, rows: Grey) -> Grey:
    read = cv2.remap(good, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(read, np.float32).reshape(good.shape)
