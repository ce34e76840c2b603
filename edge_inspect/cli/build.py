"""`edge-inspect build`: make an engine's files of lower precision, on recorded good frames, and accept them on this device."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.cameras.pictures import list_pictures
from edge_inspect.cli.accepting import accept_and_tell
from edge_inspect.cli.onnx_needed import TRAINING, refuse_without, refuse_without_onnx
from edge_inspect.cli.progress import ProgressBars
from edge_inspect.config import Recipe, load_recipe
from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import MANIFEST_FILE, ModelFolder, open_model_folder
from edge_inspect.signing import signature_file

if TYPE_CHECKING:
    from edge_inspect.workshop.precision.files import Lower, Made
    from edge_inspect.workshop.tensorrt_build import BuiltPlan

NAME = "build"
HELP = "make fp16 and int8 files of an engine from recorded good frames; none stands that flips a verdict (needs onnx)"
EXAMPLE = "edge-inspect build --recipe calibration/screw/recipe.yaml --frames good/ --precision int8"

FRAMES = "frames"
"""Folder of recorded good frames beside the recipe."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="the part's recipe.yaml; its engine gets the files")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="pictures of good parts (default: frames/ beside the recipe)")
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=("fp32", "fp16", "int8"),
        help="which to make (default: fp16 int8; with --accept alone nothing is made, and all that are there are accepted)",
    )
    parser.add_argument(
        "--allowed",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="how much of the room between good scores and threshold int8 may take; layers stay float32 until it takes no more "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="run the engine's golden frames here and write acceptance.json beside the thresholds: what a station with "
        "`acceptance: required` asks for",
    )
    parser.add_argument("--runtime", metavar="KIND", help="with --accept: which runtime (default: the station's; with --plan tensorrt)")
    parser.add_argument("--plan", action="store_true", help="build TensorRT plans of these precisions for the GPU of this machine instead")
    parser.add_argument("--python", type=Path, metavar="FILE", help="with --plan: interpreter that has TensorRT (Jetson Nano: its 3.6)")
    parser.add_argument("--library", default="tensorrt", help="with --plan: Python module of TensorRT (default %(default)s)")
    parser.add_argument("--cuda", default="pycuda.driver", help="with --plan: Python module of CUDA's driver (default %(default)s)")
    parser.add_argument(
        "--via",
        choices=("onnx", "torch-tensorrt"),
        default="onnx",
        help="with --plan: torch-tensorrt builds a float32 plan straight from --trained DIR, on a build host (default %(default)s)",
    )
    parser.add_argument("--trained", type=Path, metavar="DIR", help="with --via torch-tensorrt: what `train` left behind")
    parser.add_argument("--target", choices=("list",), help="print what is known of NVIDIA targets, and build nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    """Build and report.

    Returns:
        0; 1 where an engine was not accepted.

    Raises:
        ConfigError: the extra is not installed, or recipe, frames or options are wrong.
        CameraError: the folder holds no pictures.
        EngineError: a file flips a verdict, or cannot be written.
    """
    if arguments.target:
        return _print_targets(as_json=arguments.json)
    _refuse_useless(arguments)
    recipe = load_recipe(arguments.recipe)
    told: dict[str, Any] = {"engine": str(recipe.engine.resolve())}
    if arguments.plan:
        told["plans"] = _build_plans(recipe, arguments)
    elif lower := _asked_for(arguments):
        told["made"] = _build_files(recipe, lower, arguments)
    refused = False
    if arguments.accept:
        records = accept_and_tell(recipe, arguments)
        told["accepted"] = [record.model_dump(mode="json") for record in records]
        refused = not all(record.accepted for record in records)
    if arguments.json:
        print(json.dumps(told))
    return 1 if refused else 0


def _refuse_useless(arguments: argparse.Namespace) -> None:
    if arguments.recipe is None:
        raise ConfigError("which part? Give --recipe FILE; --target list needs none")
    if "fp32" in (arguments.precision or ()) and not arguments.plan and not arguments.accept:
        raise ConfigError("--precision fp32: that file is there already; write fp16 or int8, --plan for a TensorRT plan, or --accept")
    if not 0 < arguments.allowed <= 1:
        raise ConfigError(f"--allowed {arguments.allowed:g}: must lie between 0 and 1; 0.1 is a tenth of the room")
    if arguments.runtime and not arguments.accept:
        raise ConfigError("--runtime: only --accept opens a runtime; add --accept, or leave it out")
    if arguments.via == "torch-tensorrt":
        _refuse_useless_via_torch(arguments)


def _refuse_useless_via_torch(arguments: argparse.Namespace) -> None:
    if not arguments.plan:
        raise ConfigError("--via torch-tensorrt: it says how plans are built; add --plan")
    if arguments.trained is None:
        raise ConfigError("--via torch-tensorrt: from which training? Give --trained DIR")
    if arguments.precision not in (None, ["fp32"]):
        raise ConfigError("--via torch-tensorrt builds float32 only: leave --precision out, or build lower precisions with --via onnx")
    if arguments.python:
        raise ConfigError("--via torch-tensorrt builds in this interpreter: leave --python out")


def _asked_for(arguments: argparse.Namespace) -> list[Lower]:
    """Files to make: nothing where engines are only to be accepted."""
    asked = arguments.precision or ([] if arguments.accept else ["fp16", "int8"])
    return [precision for precision in asked if precision != "fp32"]


def _build_files(recipe: Recipe, lower: list[Lower], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    refuse_without_onnx(NAME)
    from edge_inspect.workshop.precision.files import build_precisions

    with ProgressBars() as bars:
        made = build_precisions(
            recipe,
            list_pictures(arguments.frames or arguments.recipe.parent / FRAMES),
            lower,
            allowed=arguments.allowed,
            told=bars.show,
        )
    if not arguments.json:
        print("\n".join(line for one in made for line in _lines(one)))
        print(f'next         write "runtime: {{kind: openvino, precision: {made[-1].precision}}}" into station.yaml')
        print("             and see whether the thresholds hold on it: edge-inspect calibrate --transfer")
        if signature_file(recipe.engine / MANIFEST_FILE).exists():
            print(f"signature    no longer fits, as the manifest has changed: sign it again (edge-inspect sign --model {recipe.engine})")
    return [_summary(one) for one in made]


def _build_plans(recipe: Recipe, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    refuse_without_onnx(NAME)
    model = open_model_folder(recipe.engine)
    told = []
    for plan, built in _plans_via_torch(model, arguments) if arguments.via == "torch-tensorrt" else _plans(model, arguments):
        facts = {"plan": str(plan.resolve()), "bytes": len(built.plan), "without_warp": built.without_warp}
        told.append({**facts, **built.sidecar.model_dump(mode="json")})
        if not arguments.json:
            print("\n".join(_plan_lines(plan, built)))
    return told


def _plans(model: ModelFolder, arguments: argparse.Namespace) -> Iterator[tuple[Path, BuiltPlan]]:
    from edge_inspect.workshop.plan_on_device import build_plan_here

    for precision in arguments.precision or ["fp16", "int8"]:
        yield build_plan_here(model, precision, python=arguments.python, library=arguments.library, cuda=arguments.cuda)


def _plans_via_torch(model: ModelFolder, arguments: argparse.Namespace) -> Iterator[tuple[Path, BuiltPlan]]:
    refuse_without("build --via torch-tensorrt", TRAINING, extra="train")
    from edge_inspect.workshop.plan_via_torch import TorchSystem, build_plan_via_torch

    yield build_plan_via_torch(model, arguments.trained, where=TorchSystem(library=arguments.library, cuda=arguments.cuda))


def _plan_lines(plan: Path, built: BuiltPlan) -> Iterator[str]:
    sidecar = built.sidecar
    made_with = f"{sidecar.module} {sidecar.tensorrt}"
    yield f"{sidecar.precision:12} {plan} ({len(built.plan) / 1e6:.1f} MB), {made_with}, {sidecar.build_s:.1f} s"
    warped = f"on the GPU, compiled by {sidecar.warp.compiler}" if sidecar.warp else f"on the CPU: {built.without_warp}"
    yield f"frames       warped {warped}"


def _print_targets(*, as_json: bool) -> int:
    from edge_inspect.workshop.targets import TARGETS, target_lines

    print(json.dumps([asdict(target) for target in TARGETS]) if as_json else "\n".join(target_lines()))
    return 0


def _lines(made: Made) -> Iterator[str]:
    said, acceptance = made.said, made.acceptance
    moved = f"scores move by {said.mean:.1%} of the room to the threshold, at most {said.worst:.1%}"
    yield f"{made.precision:12} {said.frames} good frames; {moved}"
    if said.layers:
        kept = f", in float32: {', '.join(said.float32_layers)}" if said.float32_layers else ""
        lowered = said.layers - len(said.float32_layers)
        yield f"layers       {lowered} of {said.layers} in int8 (with all of them {made.all_layers.worst:.1%}){kept}"
    overlap = acceptance.regions_overlap
    regions = "" if overlap is None else f", regions overlap by {overlap:.2f}"
    apart = f"largest difference {acceptance.worst_relative:.2%} of the score range"
    yield f"golden       {acceptance.frames} frames, 0 verdicts flipped, {apart}{regions}"
    yield f"time         {made.seconds:.1f} s"


def _summary(made: Made) -> dict[str, Any]:
    return {
        "precision": made.precision,
        **made.said.model_dump(mode="json"),
        "all_layers_worst": made.all_layers.worst,
        "golden_worst_relative": made.acceptance.worst_relative,
        "golden_regions_overlap": made.acceptance.regions_overlap,
        "seconds": round(made.seconds, 3),
    }
