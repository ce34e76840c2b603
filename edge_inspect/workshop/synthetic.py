"""Defects drawn onto good images: a named stand-in for defects where only good parts exist.

They serve two ends: some golden frames must be defective, so that an engine is accepted on what it must find; and a model's
settings are chosen on them, never on test images. Nothing is trained on them but the triplet network's linear SVM, where it is asked for
(`decision: svm`), which says so in its score's meaning.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image

Painter = Callable[[UInt8Image, np.random.Generator], UInt8Image]


def plant_defect(image: UInt8Image, random: np.random.Generator) -> UInt8Image:
    """Draw one defect of a random kind onto a copy of the image.

    Args:
        image: (H, W, C) uint8, at least 32 x 32.
        random: where the kind, place and size come from.

    Returns:
        (H, W, C) uint8.
    """
    kinds = tuple(PAINTERS)
    return PAINTERS[kinds[int(random.integers(len(kinds)))]](image, random)


def paste_patch(image: UInt8Image, random: np.random.Generator) -> UInt8Image:
    """A piece of the part, 4 to 12 % of the side, where it does not belong, its tone changed. Source: Li et al. 2021, CutPaste."""
    height, width = _share(image, random, 0.04, 0.12), _share(image, random, 0.04, 0.12)
    return _pasted(image, random, height, width)


def paste_scar(image: UInt8Image, random: np.random.Generator) -> UInt8Image:
    """A strip of the part, 1 to 2 % by 6 to 20 % of the side, where it does not belong, its tone changed. Source: Li et al. 2021."""
    height, width = _share(image, random, 0.01, 0.02), _share(image, random, 0.06, 0.20)
    if random.integers(2):
        height, width = width, height
    return _pasted(image, random, height, width)


def paint_blob(image: UInt8Image, random: np.random.Generator) -> UInt8Image:
    """A soft spot, darker or brighter, 1.5 to 5 % of the side wide."""
    sigma = float(random.uniform(0.015, 0.05)) * min(image.shape[:2])
    top, left = _centre(image, random)
    rows, columns = np.indices(image.shape[:2])
    spot = np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / (2 * sigma**2))
    return _added(image, spot * _depth(random))


def paint_crack(image: UInt8Image, random: np.random.Generator) -> UInt8Image:
    """A wandering line one or two pixels wide, 10 to 25 % of the side long, darker or brighter."""
    steps = _share(image, random, 0.10, 0.25)
    heading = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, 0.2, steps))
    walk = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    top, left = _centre(image, random)
    line = np.zeros(image.shape[:2], np.uint8)
    points = np.round(walk - walk.mean(axis=0) + (left, top)).astype(np.int32)
    cv2.polylines(line, [points.reshape(-1, 1, 2)], isClosed=False, color=255, thickness=int(random.integers(1, 3)), lineType=cv2.LINE_AA)
    return _added(image, line / 255.0 * _depth(random))


PAINTERS: dict[str, Painter] = {"patch": paste_patch, "scar": paste_scar, "blob": paint_blob, "crack": paint_crack}
"""The kinds of drawn defects by name."""


def _pasted(image: UInt8Image, random: np.random.Generator, height: int, width: int) -> UInt8Image:
    from_top, from_left = _corner(image, random, height, width)
    top, left = _corner(image, random, height, width)
    patch = image[from_top : from_top + height, from_left : from_left + width].astype(np.float64) + _depth(random)
    defective = image.copy()
    defective[top : top + height, left : left + width] = np.clip(np.round(patch), 0, 255).astype(np.uint8)
    return defective


def _added(image: UInt8Image, change: npt.NDArray[np.float64]) -> UInt8Image:
    changed: UInt8Image = np.clip(np.round(image + change[:, :, None]), 0, 255).astype(np.uint8)
    return changed


def _depth(random: np.random.Generator) -> float:
    """Change of tone [grey levels]: enough that a person sees the defect on any ground, so that it is fair to ask for it."""
    return float(random.choice([-1, 1]) * random.uniform(25, 80))


def _share(image: UInt8Image, random: np.random.Generator, least: float, most: float) -> int:
    return max(2, round(float(random.uniform(least, most)) * float(min(image.shape[:2]))))


def _corner(image: UInt8Image, random: np.random.Generator, height: int, width: int) -> tuple[int, int]:
    return int(random.integers(image.shape[0] - height)), int(random.integers(image.shape[1] - width))


def _centre(image: UInt8Image, random: np.random.Generator) -> tuple[float, float]:
    """A point in the middle 80 % of the image."""
    return float(random.uniform(0.1, 0.9) * image.shape[0]), float(random.uniform(0.1, 0.9) * image.shape[1])
