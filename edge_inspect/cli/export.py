"""`edge-inspect export`: make engine and thresholds of a trained system."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.cli.onnx_needed import TRAINING, refuse_without
from edge_inspect.cli.progress import ProgressBars
from edge_inspect.cli.words import highest, new_recipe
from edge_inspect.config import Recipe, load_recipe
from edge_inspect.errors import ConfigError

if TYPE_CHECKING:
    from edge_inspect.workshop.export import Exported

NAME = "export"
HELP = "make an engine and its threshold of a trained system, checked before it is written (needs torch)"
EXAMPLE = "edge-inspect export --trained trained/screw --new screw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("--trained", type=Path, required=True, metavar="DIR", help="what `edge-inspect train` left behind")
    part = parser.add_mutually_exclusive_group(required=True)
    part.add_argument("--recipe", type=Path, metavar="FILE", help="the part's recipe.yaml; its engine and thresholds are written")
    part.add_argument("--new", metavar="NAME", help="write calibration/NAME/recipe.yaml and engines/NAME in this folder")
    parser.add_argument(
        "--false-rejects", type=float, default=0.01, metavar="RATE", help="false-reject rate to promise (default %(default)s)"
    )
    parser.add_argument(
        "--dynamic-batch", action="store_true", help="also write model.dynamic.onnx, for batches; the line opens model.onnx"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Export and report.

    Returns:
        0; everything else is an error.

    Raises:
        ConfigError: the extra is not installed, or folder, recipe or options are wrong.
        EngineError: the graph is refused, or the engine cannot be written.
    """
    refuse_without(NAME, TRAINING, extra="train")
    from edge_inspect.workshop.export import export

    recipe_file = arguments.recipe or _new_recipe(arguments.trained, arguments.new)
    recipe = load_recipe(recipe_file)
    with ProgressBars() as bars:
        exported = export(
            arguments.trained,
            recipe=recipe,
            false_reject_rate=arguments.false_rejects,
            dynamic_batch=arguments.dynamic_batch,
            progress=bars.show,
        )
    print(json.dumps(_summary(exported, recipe_file)) if arguments.json else "\n".join(_lines(exported, recipe, recipe_file)))
    return 0


def _new_recipe(trained: Path, name: str) -> Path:
    """A recipe for the whole frame, if that is what was trained on."""
    from edge_inspect.workshop.trained_folder import read_record

    if any(value is not None for value in read_record(trained).view.values()):
        raise ConfigError(f"--new {name}: {trained} was trained with a recipe's region of interest or locator; give that one by --recipe")
    return new_recipe(name, verb=NAME)


def _lines(exported: Exported, recipe: Recipe, recipe_file: Path) -> Iterator[str]:
    finished = exported.finished
    sample, promise = finished.thresholds.sample, finished.thresholds.promise
    yield f"part         {recipe.part} ({recipe_file})"
    yield f"engine       {finished.model.path.resolve()} ({finished.model.engine_sha256[:12]}), {exported.record.system}"
    yield f"cost         {exported.gmacs:.3f} GMAC, {sum(exported.operators.values())} operators"
    yield f"agreement    {', '.join(f'{name} {apart:.1e}' for name, apart in exported.agreement.items())} of the score range"
    yield f"good scores  {sample.images} held out: least {sample.minimum:.3f}, median {sample.median:.3f}, largest {sample.maximum:.3f}"
    named = ", ".join(f"{name} {score:.3f}" for name, score in highest(finished.names, finished.scores))
    yield f"highest      {named}: look whether they are good"
    yield f"threshold    {finished.thresholds.image_threshold:.3f} ({recipe.thresholds})"
    yield f"promise      {promise}"
    yield f"time         {exported.seconds:.1f} s"


def _summary(exported: Exported, recipe_file: Path) -> dict[str, Any]:
    finished = exported.finished
    return {
        "recipe": str(recipe_file),
        "engine": str(finished.model.path.resolve()),
        "engine_sha256": finished.model.engine_sha256,
        "model": exported.record.system,
        "weights_sha256": exported.record.weights_sha256,
        "gmacs": exported.gmacs,
        "operators": exported.operators,
        "agreement": exported.agreement,
        "held_out": len(finished.names),
        "highest": highest(finished.names, finished.scores),
        "seconds": round(exported.seconds, 3),
        "thresholds": finished.thresholds.model_dump(mode="json"),
    }
