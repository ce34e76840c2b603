"""Every system on every data set, by one protocol: train on good pictures, export, judge the exported engine on test pictures.

Nothing is chosen here: budgets and sizes are written down before a run (`accuracy_budgets.py`), thresholds come from held-out good
pictures, and test pictures are looked at once, by `evaluate`. `tools/measure-accuracy` runs this, one run after the other; what
stands in accuracy.json already is not run again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edge_inspect.config import Locator, PluginBlock, Recipe, load_recipe
from edge_inspect.durable import lock_folder, replace_file
from edge_inspect.workshop.evaluation.evaluate import evaluate
from edge_inspect.workshop.evaluation.labelled import Labelled, LabelledSet, labelled_set
from edge_inspect.workshop.evaluation.summary import summary
from edge_inspect.workshop.export import export
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.network_size import fitting_size
from edge_inspect.workshop.study_pictures import elpv_pictures, mvtec_pictures
from edge_inspect.workshop.training import train

TILE = re.compile(r"^(\d+)_")
"""Tiles of one photograph are named 000_0, 000_1: they stay on one side of a split, and are resampled together."""

RESULTS = "accuracy.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One data set, and how a process engineer would show its parts to the network.

    Attributes:
        name: of its folder; `elpv_mono` and `elpv_poly` come from the PyPI package instead.
        part_of: how a file name tells the physical part, where it does.
        locator: for loose parts.
        size: width and height of the network's image [px], multiples of 32; None leaves it to the budget, and where that says
            nothing to the pictures' own proportions (`network_size.py`).
    """

    name: str
    part_of: re.Pattern[str] | None = None
    locator: Locator | None = None
    size: tuple[int, int] | None = None


SCREW = Locator(kind="principal_axis", background="light", width=480, height=160)
"""Good training screws are 442 to 459 px long and 132 to 142 px wide."""

DATA_SETS: Mapping[str, DataSet] = {
    each.name: each
    for each in (
        DataSet(name="screw", locator=SCREW, size=(480, 160)),
        DataSet(name="kolektor"),
        DataSet(name="kolektor_tiles", part_of=TILE),
        DataSet(name="magnetic_tile"),
        DataSet(name="leather_tiles", part_of=TILE),
        DataSet(name="grid_tiles", part_of=TILE),
        DataSet(name="cookie"),
        DataSet(name="hazelnut_toy"),
        DataSet(name="elpv_mono"),
        DataSet(name="elpv_poly"),
    )
}
"""The eight sets of DATA.md, and the solar cells."""

DEVELOPMENT = frozenset({"elpv_poly"})
"""Settings may be chosen on the real defects of these: their figures prove nothing, and no target is set on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One entry of accuracy.json.

    Attributes:
        family: name in the catalogue, with what was changed beside it, as in `mdaae_sagan (ssim)`.
        system: name in the catalogue.
        data_set: what it is trained and judged on.
        seed: of the split, the weights and everything drawn.
        settings: over the configuration's defaults.
        robustness: also judge it under disturbances.
        located: use the data set's locator and its size.
        despeckle: as the recipe has it.
    """

    family: str
    system: str
    data_set: DataSet
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    robustness: bool = False
    located: bool = True
    despeckle: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it one row."""
        return self.family, self.data_set.name, self.seed


def measure(run: Run, *, data: Path, work: Path, threads: int, machine: str) -> dict[str, Any]:
    """Train, export and judge; one row of accuracy.json.

    Args:
        run: what.
        data: folder of data sets in MVTec AD layout.
        work: where the trained folder, engine and recipe go.
        threads: of training.
        machine: in words: a time without it compares with nothing.

    Raises:
        EdgeInspectError: something of it failed.
    """
    folder = work / f"{run.family}_{run.data_set.name}_{run.seed}".replace(" ", "_")
    pictures, labelled = labelled_pictures(run.data_set, data)
    recipe_file = _write_recipe(folder, run)
    settings = _sized(run, pictures, load_recipe(recipe_file))
    config = configure(run.system, settings)
    started = time.monotonic()
    trained = train(
        pictures,
        name=run.system,
        config=config,
        recipe=load_recipe(recipe_file),
        out=folder / "trained",
        seed=run.seed,
        part_of=run.data_set.part_of,
        threads=threads,
    )
    seconds = time.monotonic() - started
    exported = export(trained.folder.path, recipe=load_recipe(recipe_file))
    runtime = PluginBlock.model_validate({"kind": "openvino", "threads": 2})
    judged = summary(evaluate(recipe_file, labelled, runtime=runtime, robustness=run.robustness, part_of=run.data_set.part_of))
    return {
        **judged,
        "family": run.family,
        "system": run.system,
        "set": run.data_set.name,
        "seed": run.seed,
        "settings": settings,
        "config": config.model_dump(mode="json"),
        "locator": run.located and run.data_set.locator is not None,
        "despeckle": run.despeckle,
        "gmacs": round(exported.gmacs, 4),
        "training": {"seconds": round(seconds, 1), "epochs": trained.epochs, "fitted": trained.fitted, "threads": threads},
        "machine": machine,
    }


def recorded(out: Path) -> list[dict[str, Any]]:
    """The rows of accuracy.json so far."""
    file = out / RESULTS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def record(out: Path, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Add a row, in place of an earlier one of the same family, set and seed; all rows. Two runners may do so side by side."""
    key = ("family", "set", "seed")
    out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out):
        kept = [each for each in recorded(out) if [each[name] for name in key] != [row[name] for name in key]]
        rows = sorted([*kept, dict(row)], key=lambda each: [str(each[name]) for name in key])
        replace_file(out / RESULTS, (json.dumps(rows, indent=1) + "\n").encode())
    return rows


def missing(runs: Sequence[Run], out: Path) -> list[Run]:
    """The runs that accuracy.json does not have yet."""
    have = {(row["family"], row["set"], row["seed"]) for row in recorded(out)}
    return [run for run in runs if run.key not in have]


def _sized(run: Run, pictures: Sequence[Path], recipe: Recipe) -> dict[str, Any]:
    """The run's settings with the size of the network's image in them."""
    if "width" in run.settings:
        return dict(run.settings)
    default = configure(run.system, {})
    size = run.data_set.size if run.located else None
    width, height = size or fitting_size(pictures, recipe, width=default.width, height=default.height)
    return {"width": width, "height": height, **run.settings}


def labelled_pictures(data_set: DataSet, data: Path) -> tuple[Sequence[Path], LabelledSet]:
    """Good pictures to train on, and the test pictures."""
    if data_set.name not in {"elpv_mono", "elpv_poly"}:
        return mvtec_pictures(data / data_set.name).train, labelled_set(data, data_set.name)
    cells = elpv_pictures("mono" if data_set.name == "elpv_mono" else "poly")
    good = [Labelled(picture=picture, kind="good", mask=None) for picture in cells.good]
    defective = [Labelled(picture=picture, kind="defective", mask=None) for picture in cells.defective]
    return cells.train, LabelledSet(name=data_set.name, images=(*good, *defective))


def _write_recipe(folder: Path, run: Run) -> Path:
    recipe_file = folder / "recipe.yaml"
    content: dict[str, Any] = {"part": run.data_set.name, "engine": "engine"}
    if run.located and run.data_set.locator is not None:
        content["locator"] = run.data_set.locator.model_dump(mode="json")
    if run.despeckle:
        content["despeckle"] = True
    folder.mkdir(parents=True, exist_ok=True)
    recipe_file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return recipe_file
