"""Labelled pictures in MVTec AD's folder layout: what a person said of each, and where the defect is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_inspect.cameras.pictures import list_pictures, read_picture
from edge_inspect.datatypes import CellMask
from edge_inspect.errors import CameraError, ConfigError

GOOD = "good"
LAYOUT = "--data DIR --category NAME wants DIR/NAME/test/good and DIR/NAME/test/<kind of defect>, as in MVTec AD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One picture and what a person said of it.

    Attributes:
        picture: the file.
        kind: "good", or the kind of defect.
        mask: picture of the defect's place, where there is one.
    """

    picture: Path
    kind: str
    mask: Path | None

    @property
    def good(self) -> bool:
        """Whether a person called it good."""
        return self.kind == GOOD

    @property
    def name(self) -> str:
        """As reported: kind and file name."""
        return f"{self.kind}/{self.picture.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """The test pictures of one category: at least one good and one defective."""

    name: str
    images: tuple[Labelled, ...]


def labelled_set(data: Path, category: str) -> LabelledSet:
    """List the test pictures of `data/category`, good ones first, then by kind of defect.

    A mask is `ground_truth/<kind>/<stem>_mask.png`; a picture without one is judged, but not pixel by pixel.

    Raises:
        ConfigError: the folder has no test/good, or nothing defective.
        CameraError: a folder has no picture, or cannot be read.
    """
    test = data / category / "test"
    if not (test / GOOD).is_dir():
        raise ConfigError(f"{test / GOOD}: no such folder, so there are no good pictures to judge; {LAYOUT}")
    defects = sorted(folder.name for folder in test.iterdir() if folder.is_dir() and folder.name != GOOD)
    if not defects:
        raise ConfigError(f"{test}: has no folder of defective pictures beside {GOOD}; {LAYOUT}")
    kinds = (GOOD, *defects)
    return LabelledSet(name=category, images=tuple(image for kind in kinds for image in _of_kind(data / category, kind)))


def read_mask(image: Labelled, *, width: int, height: int) -> CellMask:
    """Which pixels of the frame are defective: those of the mask above 0, as in MVTec AD's own evaluation.

    Args:
        image: a good one (no pixel is defective), or one with a mask.
        width: of the frame [px].
        height: of the frame [px].

    Returns:
        (height, width) bool.

    Raises:
        CameraError: there is no mask, it cannot be read, has another size than the frame, or marks nothing.
    """
    if image.good:
        return np.zeros((height, width), np.bool_)
    if image.mask is None:
        raise CameraError(f"{image.name}: has no mask; draw ground_truth/{image.kind}/{image.picture.stem}_mask.png")
    mask = np.asarray((read_picture(image.mask) > 0).any(axis=2), np.bool_)
    if mask.shape != (height, width):
        size = f"{mask.shape[1]} x {mask.shape[0]}"
        raise CameraError(f"{image.mask}: is {size} px, the picture {width} x {height}; save the mask at the picture's size")
    if not mask.any():
        raise CameraError(f"{image.mask}: marks no pixel; draw the defect, or move the picture to test/{GOOD}")
    return mask


def _of_kind(root: Path, kind: str) -> Iterator[Labelled]:
    for picture in list_pictures(root / "test" / kind):
        mask = root / "ground_truth" / kind / f"{picture.stem}_mask.png"
        yield Labelled(picture=picture, kind=kind, mask=mask if kind != GOOD and mask.is_file() else None)
