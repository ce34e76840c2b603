"""A test set in MVTec AD layout for the tiny model: grey frames of 64 x 48, cells of 4 x 4 that score mean |pixel - 128|."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.workshop.evaluation.labelled import LabelledSet, labelled_set
from tests.conftest import write_part

# The line's own environments have no scikit-learn, and must not need it: `make line-test`.
collect_ignore_glob = [] if find_spec("sklearn") else ["test_*.py"]

BOX = (slice(8, 16), slice(20, 32))
"""Where defects lie: two by three whole cells."""


def frame(level: int, *, width: int = 64, height: int = 48) -> np.ndarray:
    """A frame of 128 with a box of another level, whose score is its distance from 128."""
    pixels = np.full((height, width), 128, np.uint8)
    pixels[BOX] = level
    return pixels


def write_set(folder: Path, *, good: Sequence[int], defects: dict[str, Sequence[int]], masks: bool = True) -> None:
    """Good and defective frames by the level of their box; `ground_truth` marks the box of the defective ones."""
    for kind, levels in {"good": good, **defects}.items():
        for number, level in enumerate(levels):
            write(folder / "test" / kind / f"{number:03}.png", frame(level))
            if masks and kind != "good":
                write(folder / "ground_truth" / kind / f"{number:03}_mask.png", box_mask())


def box_mask() -> np.ndarray:
    mask = np.zeros((48, 64), np.uint8)
    mask[BOX] = 255
    return mask


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`cells`: ten good frames of which one is rejected (threshold 20), four scratches of which one passes, and two dents."""
    write_set(
        tmp_path / "cells",
        good=[128, 129, 130, 131, 132, 133, 134, 135, 136, 150],
        defects={"scratch": [158, 168, 178, 138], "dent": [98, 88]},
    )
    return tmp_path


@pytest.fixture
def cells(data: Path) -> LabelledSet:
    return labelled_set(data, "cells")


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    return write_part(tmp_path / "calibration" / "cell")
