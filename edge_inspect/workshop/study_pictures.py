"""Data sets the teaching is measured on: good pictures to teach with, real good and defective ones to test with."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from edge_inspect.cameras.pictures import list_pictures
from edge_inspect.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """One data set: good pictures to teach on, and real ones to test with.

    Attributes:
        name: as reported.
        train: good pictures.
        part_of: how a file name tells the physical part, where it does.
        good: test pictures without a defect.
        defective: test pictures with one.
    """

    name: str
    train: tuple[Path, ...]
    part_of: re.Pattern[str] | None
    good: tuple[Path, ...]
    defective: tuple[Path, ...]


def mvtec_pictures(folder: Path, part_of: re.Pattern[str] | None = None) -> Pictures:
    """A category in MVTec AD's folder layout.

    Raises:
        CameraError: a folder is missing or empty.
    """
    kinds = sorted(path for path in (folder / "test").iterdir() if path.is_dir() and path.name != "good")
    return Pictures(
        name=folder.name,
        train=list_pictures(folder / "train" / "good"),
        part_of=part_of,
        good=list_pictures(folder / "test" / "good"),
        defective=tuple(path for kind in kinds for path in list_pictures(kind)),
    )


def elpv_pictures(wafer: Literal["mono", "poly"] = "mono", *, taught: int = 200, seed: int = 0) -> Pictures:
    """Cells of elpv_dataset of one kind of wafer: probability 0 is good, 1 defective; 1/3 and 2/3 (the experts doubted) are left out.

    Raises:
        ConfigError: the package is not installed.
    """
    found = find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise ConfigError("elpv_dataset is not installed: pip install 'edge-inspect[demo]'")
    folder = Path(found.origin).parent / "data"
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.reader((" ".join(line.split()) for line in file), delimiter=" ") if row[2] == wafer]
    good = [folder / path for path, probability, _ in rows if float(probability) == 0]
    shuffled = [good[index] for index in np.random.default_rng(seed).permutation(len(good))]
    return Pictures(
        name=f"elpv_{wafer}",
        train=tuple(shuffled[:taught]),
        part_of=None,
        good=tuple(shuffled[taught:]),
        defective=tuple(folder / path for path, probability, _ in rows if float(probability) == 1),
    )
