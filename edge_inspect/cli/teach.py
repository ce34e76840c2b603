"""`edge-inspect teach`: make an engine and a threshold for a part from good images, on the device."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from edge_inspect.cameras.pictures import list_pictures
from edge_inspect.cli.onnx_needed import refuse_without_onnx
from edge_inspect.cli.progress import ProgressBars
from edge_inspect.cli.words import highest, new_recipe, pattern, positive
from edge_inspect.config import Recipe, Station, load_recipe, load_station
from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import CameraError, ConfigError, FrameLost
from edge_inspect.plugins import prepare

if TYPE_CHECKING:
    from edge_inspect.workshop.teach import Taught

NAME = "teach"
HELP = "teach a part from good images: engine and threshold in seconds, without torch or a GPU"
EXAMPLE = "edge-inspect teach --new cell --images good/"

PATIENCE_S = 30.0
"""Longest wait for the next part in front of the camera: a line that stands still is told, not waited for for ever [s]."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--recipe", type=Path, metavar="FILE", help="the part's recipe.yaml; its engine and thresholds are written")
    part.add_argument("--new", metavar="NAME", help="write calibration/NAME/recipe.yaml and engines/NAME in this folder, and teach it")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of pictures of good parts")
    source.add_argument("--camera", type=Path, metavar="FILE", help="station.yaml whose camera takes the pictures")
    parser.add_argument("--count", type=positive, default=200, metavar="N", help="pictures to take with --camera (default %(default)s)")
    parser.add_argument("--width", type=positive, default=256, help="network image [px], a multiple of 16 (default %(default)s)")
    parser.add_argument("--height", type=positive, default=256, help="network image [px], a multiple of 16 (default %(default)s)")
    parser.add_argument(
        "--false-rejects", type=float, default=0.01, metavar="RATE", help="false-reject rate to promise (default %(default)s)"
    )
    parser.add_argument(
        "--part-of",
        type=pattern,
        metavar="REGEX",
        help="its group names the physical part in a file name, where a part has several pictures",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split; the same seed and images give the same engine")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Teach and report.

    Returns:
        0; everything else is an error.

    Raises:
        ConfigError: the extra is not installed, or recipe, images or options are wrong.
        CameraError: the folder or the camera delivers nothing.
        EngineError: the model cannot be written.
    """
    refuse_without_onnx("teach")
    from edge_inspect.workshop.teach import teach

    recipe_file = _recipe_file(arguments)
    recipe = load_recipe(recipe_file)
    with ProgressBars() as bars:
        taught = teach(
            _images(arguments),
            recipe=recipe,
            width=arguments.width,
            height=arguments.height,
            false_reject_rate=arguments.false_rejects,
            part_of=arguments.part_of,
            seed=arguments.seed,
            progress=bars.show,
        )
    print(json.dumps(_summary(taught, recipe_file)) if arguments.json else _report(taught, recipe, recipe_file))
    return 0


def _recipe_file(arguments: argparse.Namespace) -> Path:
    if arguments.new is not None:
        return new_recipe(arguments.new, verb=NAME)
    if arguments.recipe is not None:
        return Path(arguments.recipe)
    if arguments.camera is not None:
        return load_station(arguments.camera).recipe
    raise ConfigError("which part? Give --recipe FILE, or --new NAME for a part that has no recipe yet")


def _images(arguments: argparse.Namespace) -> list[tuple[str, UInt8Image]] | tuple[Path, ...]:
    if arguments.images is not None:
        return list_pictures(arguments.images)
    return _captured(load_station(arguments.camera), arguments.camera.resolve().parent, arguments.count)


def _captured(station: Station, base: Path, count: int) -> list[tuple[str, UInt8Image]]:
    """Frames from the station's camera, one part each; a lost one is named and counts for nothing."""
    frames: list[tuple[str, UInt8Image]] = []
    with (
        prepare("cameras", station.camera, base=base, given={"name": station.name})() as camera,
        tqdm(total=count, desc="capturing", unit="part", disable=None) as bar,
    ):
        while len(frames) < count:
            try:
                frame = camera.grab(PATIENCE_S)
            except FrameLost as error:
                tqdm.write(f"lost: {error}", file=sys.stderr)
                continue
            if frame is None:
                raise CameraError(
                    f"camera {station.name}: {len(frames)} of {count} parts came, then none for {PATIENCE_S:.0f} s; run the line"
                )
            frames.append((frame.part_id or f"exposure {frame.sequence}", frame.pixels))
            bar.update()
    return frames


def _report(taught: Taught, recipe: Recipe, recipe_file: Path) -> str:
    return "\n".join(_lines(taught, recipe, recipe_file))


def _lines(taught: Taught, recipe: Recipe, recipe_file: Path) -> Iterator[str]:
    sample = taught.thresholds.sample
    for refused in taught.refused:
        yield f"left out     {refused}"
    yield f"part         {recipe.part} ({recipe_file})"
    yield f"engine       {taught.model.path.resolve()} ({taught.model.engine_sha256[:12]}), fitted on {taught.fitted} good images"
    yield f"good scores  {sample.images} held out: least {sample.minimum:.3f}, median {sample.median:.3f}, largest {sample.maximum:.3f}"
    named = ", ".join(f"{name} {score:.3f}" for name, score in highest(taught.held_out, taught.scores))
    yield f"highest      {named}: look whether they are good"
    yield f"threshold    {taught.thresholds.image_threshold:.3f} ({recipe.thresholds})"
    yield f"promise      {taught.thresholds.promise}"
    yield f"time         {taught.seconds:.1f} s"


def _summary(taught: Taught, recipe_file: Path) -> dict[str, object]:
    return {
        "recipe": str(recipe_file),
        "engine": str(taught.model.path.resolve()),
        "engine_sha256": taught.model.engine_sha256,
        "fitted": taught.fitted,
        "held_out": len(taught.held_out),
        "highest": highest(taught.held_out, taught.scores),
        "refused": list(taught.refused),
        "seconds": round(taught.seconds, 3),
        "thresholds": taught.thresholds.model_dump(mode="json"),
    }
