"""Which real images are taught and which are inspected. Nothing here looks at a score."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edge_inspect.errors import ConfigError

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
SOLAR_CELLS_TAUGHT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part to inspect: its picture, and what a person said of it ("good" or the kind of defect)."""

    picture: Path
    label: str

    @property
    def good(self) -> bool:
        """Whether a person called it good."""
        return self.label == "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSet:
    """Good pictures to teach on, and parts to inspect; no picture is in both."""

    name: str
    taught: tuple[Path, ...]
    parts: tuple[Part, ...]


def solar_cells(count: int, *, seed: int = 0) -> PartSet:
    """Monocrystalline solar cells in electroluminescence, from the PyPI package `elpv-dataset`.

    Good means that the experts saw no defect (probability 0), defective that they were sure (probability 1); the doubtful
    cells between are left out. The split is random by cell: neighbours of one module can stand on both sides.

    Args:
        count: cells to inspect, half of them good where there are enough.
        seed: of the split.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        data = Path(str(files("elpv_dataset"))) / "data"
    except ModuleNotFoundError as error:
        raise ConfigError(
            'the solar cells are not installed; run: pip install "edge-inspect[demo]", or give --data and --category'
        ) from error
    with (data / "labels.csv").open(encoding="ascii") as file:
        mono = [(name, float(probability)) for name, probability, cell in map(str.split, file) if cell == "mono"]
    good = [data / name for name, probability in mono if probability == 0]
    bad = [Part(picture=data / name, label="defective") for name, probability in mono if probability == 1]
    shuffle = random.Random(seed)  # noqa: S311 - a split, not a secret
    shuffle.shuffle(good)
    seen, unseen = good[:SOLAR_CELLS_TAUGHT], [Part(picture=picture, label="good") for picture in good[SOLAR_CELLS_TAUGHT:]]
    return PartSet(name="solar_cell", taught=tuple(seen), parts=_balanced(unseen, bad, count, shuffle))


def mvtec_folder(data: Path, category: str, count: int, *, seed: int = 0) -> PartSet:
    """A folder in MVTec AD layout: `train/good/*` is taught, `test/<good or kind of defect>/*` is inspected.

    Raises:
        ConfigError: the folder has no such layout.
    """
    root = data / category
    taught = _pictures(root / "train" / "good")
    good = [Part(picture=picture, label="good") for picture in _pictures(root / "test" / "good")]
    kinds = sorted(folder for folder in (root / "test").iterdir() if folder.is_dir() and folder.name != "good")
    bad = [Part(picture=picture, label=kind.name) for kind in kinds for picture in _pictures(kind)]
    shuffle = random.Random(seed)  # noqa: S311 - a split, not a secret
    return PartSet(name=category, taught=tuple(taught), parts=_balanced(good, bad, count, shuffle))


def _balanced(good: Sequence[Part], bad: Sequence[Part], count: int, shuffle: random.Random) -> tuple[Part, ...]:
    """At most `count` parts, half good where both kinds reach, in mixed order."""
    from_good = min(len(good), max(count // 2, count - len(bad)))
    chosen = shuffle.sample(good, from_good) + shuffle.sample(bad, min(len(bad), count - from_good))
    shuffle.shuffle(chosen)
    return tuple(chosen)


def _pictures(folder: Path) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}; --data DIR --category NAME wants MVTec AD layout") from error
    if not found:
        raise ConfigError(f"{folder}: holds no pictures ({', '.join(sorted(PICTURES))}); --data DIR --category NAME wants MVTec AD layout")
    return found
