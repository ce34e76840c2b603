"""The scores that `calibration_coverage` splits: a model taught on some of a set's good pictures, and all others through the line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edge_inspect.cameras.pictures import list_pictures, read_picture
from edge_inspect.config import DEFAULT_RUNTIME, Locator, PluginBlock, load_recipe
from edge_inspect.datatypes import Frame
from edge_inspect.errors import PartNotLocated
from edge_inspect.scoring import Scorer, open_scorer
from edge_inspect.workshop.calibration_coverage import Measured
from edge_inspect.workshop.teach import teach

TAUGHT = 100
"""Pictures that the model is made of; the more, the fewer are left to calibrate."""

FEWEST = 100
"""Good pictures of a set that is studied."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Studied:
    """One set: good parts that are neither taught nor test parts, good test parts, and defective ones."""

    good: Measured
    test_good: Measured
    defective: Measured

    @property
    def all_good(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Scores of all good parts that the model has not seen."""
        return np.concatenate([self.good.scores, self.test_good.scores])


def large_enough(data: Path) -> list[str]:
    """Names of the sets with at least a hundred good pictures."""
    sets = sorted(folder.name for folder in data.iterdir() if (folder / "train" / "good").is_dir())
    return [name for name in sets if len(_good(data / name)) >= FEWEST]


def study_set(folder: Path, work: Path, *, locator: Locator | None = None, size: tuple[int, int] = (256, 256), seed: int = 0) -> Studied:
    """Teach on some good pictures and score all others.

    Args:
        folder: a set in MVTec AD layout.
        work: where recipe and engine go.
        locator: for loose parts.
        size: width and height of the network's image [px].
        seed: which pictures are taught.

    Raises:
        EdgeInspectError: a picture cannot be read, or the part cannot be taught.
    """
    training = list_pictures(folder / "train" / "good")
    order = np.random.default_rng(seed).permutation(len(training))
    recipe_file = _recipe(work / folder.name, folder.name, locator)
    teach([training[i] for i in order[:TAUGHT]], recipe=load_recipe(recipe_file), width=size[0], height=size[1], seed=seed)
    kinds = sorted(kind for kind in (folder / "test").iterdir() if kind.is_dir() and kind.name != "good")
    with open_scorer(recipe_file, PluginBlock(kind=DEFAULT_RUNTIME), base=work) as scorer:
        return Studied(
            good=_measured(scorer, [training[i] for i in order[TAUGHT:]]),
            test_good=_measured(scorer, list_pictures(folder / "test" / "good")),
            defective=_measured(scorer, [picture for kind in kinds for picture in list_pictures(kind)]),
        )


def _good(folder: Path) -> Sequence[Path]:
    return [*list_pictures(folder / "train" / "good"), *list_pictures(folder / "test" / "good")]


def _recipe(folder: Path, name: str, locator: Locator | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    located = "" if locator is None else f"locator: {locator.model_dump_json()}\n"
    (folder / "recipe.yaml").write_text(f"part: {name}\nengine: engine\n{located}", encoding="utf-8")
    return folder / "recipe.yaml"


def _measured(scorer: Scorer, pictures: Iterable[Path]) -> Measured:
    """Scores of all pictures whose part is located."""
    found = []
    for picture in pictures:
        now = datetime.now(timezone.utc)
        frame = Frame(pixels=read_picture(picture), sequence=0, exposed_ns=time.monotonic_ns(), taken_at=now, camera="study")
        try:
            scored = scorer.score(frame)
        except PartNotLocated:
            continue
        found.append((scored.score, scored.mean))
    scores, means = np.array(found, np.float64).T
    return Measured(scores=scores, means=means)
