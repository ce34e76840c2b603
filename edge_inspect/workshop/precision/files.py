"""Make `model.fp16.onnx` and `model.int8.onnx` of an engine, and let none of them stand that has not agreed.

Recorded good frames -> placed and warped as the line does -> every other one gives ranges, the others measure harm
-> layers that harm most stay in float32 -> golden frames in every CPU runtime: no verdict may flip -> files and manifest
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import onnx

from edge_inspect.acceptance import LEAST_OVERLAP, TOLERANCE, Acceptance, compare
from edge_inspect.config import Recipe
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import LowerPrecision, ModelFolder, add_precisions, open_model_folder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.runtimes.reference import open_reference
from edge_inspect.thresholds import Thresholds, load_thresholds
from edge_inspect.workshop.good_images import Given, GoodImages, place_good_images
from edge_inspect.workshop.precision.body import named
from edge_inspect.workshop.precision.half import half_graph
from edge_inspect.workshop.precision.quantised import measure_ranges
from edge_inspect.workshop.precision.sensitivity import ALLOWED, Harm, Quantised, harm_of, quantise

Lower = Literal["fp16", "int8"]
Told = Callable[[str, int, int], None]
Opener = Callable[..., AbstractContextManager[Runtime]]

MOST_FRAMES = 64
"""Spread over all that are recorded. Half of them give ranges, on the other half harm is measured."""
STRICTER = (1.0, 0.5, 0.25, 0.1)
"""Shares of the allowed harm that are tried one after the other until no golden frame's verdict flips."""
ROOM = 1.5
"""How much more than the runtimes here another device may differ from the float32 answers: its INT8 kernels round elsewhere. OpenVINO's
worst cell lay 0.15 of the range off where the reference's lay 0.07 (flagship on kolektor, one-off); verdicts may flip in none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """One file of lower precision.

    Attributes:
        precision: of it.
        said: what the manifest says of it.
        all_layers: harm with every layer lowered.
        acceptance: the worst that a CPU runtime here made of the golden frames with it.
        seconds: how long it took [s].
    """

    precision: Lower
    said: LowerPrecision
    all_layers: Harm
    acceptance: Acceptance
    seconds: float


def build_precisions(
    recipe: Recipe, frames: Sequence[Given], precisions: Sequence[Lower], *, allowed: float = ALLOWED, told: Told = lambda *_: None
) -> tuple[Made, ...]:
    """Make files of lower precision of a recipe's engine, all of them or none.

    Args:
        recipe: its engine gets them; its thresholds say what harm is.
        frames: recorded pictures of good parts, as the camera took them.
        precisions: which.
        allowed: largest harm on good frames, as a part of the room between their median score and the threshold.
        told: called as the work goes on.

    Raises:
        ConfigError: too few or unfit frames, or thresholds of another engine.
        EngineError: a file flips a verdict however many layers stay in float32, or cannot be written.
    """
    model = open_model_folder(recipe.engine)
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    image, cells = model.manifest.input, (model.manifest.score_map.width, model.manifest.score_map.height)
    step = max(1, len(frames) // MOST_FRAMES)
    good = place_good_images(frames[::step][:MOST_FRAMES], recipe, width=image.width, height=image.height, cells=cells)
    graph = named(onnx.load(str(model.model_file)))
    makers = {"fp16": _half, "int8": _int8}
    made = {precision: makers[precision](_Work(model, thresholds, good, graph, allowed, told)) for precision in precisions}
    add_precisions(model, {precision: (content, one.said) for precision, (content, one) in made.items()})
    return tuple(one for _, one in made.values())


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    model: ModelFolder
    thresholds: Thresholds
    good: GoodImages
    graph: onnx.ModelProto
    allowed: float
    told: Told


def _half(work: _Work) -> tuple[bytes, Made]:
    started = time.monotonic()
    graph = half_graph(work.graph)
    harm = harm_of(work.graph, graph, work.good.pixels, threshold=work.thresholds.image_threshold)
    found = Quantised(graph=graph, float32_layers=(), layers=0, all_layers=harm, harm=harm, alone={})
    content = graph.SerializeToString(deterministic=True)
    return content, _made(work, "fp16", found, _tried(work, "fp16", content), started)


def _int8(work: _Work) -> tuple[bytes, Made]:
    started = time.monotonic()
    ranges = measure_ranges(work.graph, work.good.pixels[::2])
    alone: Mapping[str, float] = {}
    for share in STRICTER:
        found = quantise(
            work.graph,
            ranges,
            work.good.pixels[1::2],
            ranged=work.good.pixels[::2],
            threshold=work.thresholds.image_threshold,
            allowed=work.allowed * share,
            alone=alone,
            told=work.told,
        )
        alone = found.alone
        content = found.graph.SerializeToString(deterministic=True)
        acceptance = _tried(work, "int8", content)
        if not acceptance.flipped:
            break
    return content, _made(work, "int8", found, acceptance, started)


def _made(work: _Work, precision: Lower, found: Quantised, acceptance: Acceptance, started: float) -> Made:
    """What is told of a file.

    Raises:
        EngineError: it does not serve.
    """
    if acceptance.complaints:
        raise EngineError(
            f"{work.model.path}: {precision} does not serve: {'; '.join(acceptance.complaints)}; record more good frames, "
            "teach or export the part again with a threshold that has more room, or serve fp32"
        )
    overlap = 1.0 if acceptance.regions_overlap is None else acceptance.regions_overlap
    said = _said(
        work,
        found,
        tolerance=ROOM * acceptance.worst_relative + TOLERANCE,
        mean_tolerance=ROOM * acceptance.mean_relative + TOLERANCE,
        least_overlap=max(0.0, 1 - ROOM * (1 - overlap) - (1 - LEAST_OVERLAP)),
    )
    seconds = time.monotonic() - started
    return Made(precision=precision, said=said, all_layers=found.all_layers, acceptance=acceptance, seconds=seconds)


def _tried(work: _Work, precision: Lower, content: bytes) -> Acceptance:
    """The golden frames in every CPU runtime, with the file in a copy of the folder; how near they come is not asked here."""
    unasked = _said(work, None, tolerance=1.0, mean_tolerance=1.0, least_overlap=0.0)
    with _copy(work.model) as copy:
        lowered = add_precisions(copy, {precision: (content, unasked)}).at(precision)
        return _worst([_compared(work, lowered, opener) for opener in _runtimes()])


def _compared(work: _Work, lowered: ModelFolder, opener: Opener) -> Acceptance:
    thresholds = work.thresholds
    with opener(model=lowered) as runtime:
        return compare(
            runtime,
            lowered,
            image_threshold=thresholds.image_threshold,
            pixel_threshold=thresholds.pixel_threshold,
            tolerance=math.inf,
        )


def _runtimes() -> list[Opener]:
    """Every CPU runtime that is installed: each rounds INT8 in its own way."""
    openers: list[Opener] = [open_reference, open_onnx]
    if find_spec("openvino") is not None:
        from edge_inspect.runtimes.openvino_runtime import open_openvino

        openers.append(open_openvino)
    return openers


def _worst(acceptances: Sequence[Acceptance]) -> Acceptance:
    """The one that complains, else that which differs most; with the largest mean and the least overlap of all."""
    worst = max(acceptances, key=lambda one: (bool(one.flipped), bool(one.complaints), one.worst_relative))
    overlaps = [one.regions_overlap for one in acceptances if one.regions_overlap is not None]
    mean = max(one.mean_relative for one in acceptances)
    return replace(worst, mean_relative=mean, regions_overlap=min(overlaps, default=None))


def _said(work: _Work, found: Quantised | None, *, tolerance: float, mean_tolerance: float, least_overlap: float) -> LowerPrecision:
    return LowerPrecision(
        float32_layers=found.float32_layers if found else (),
        layers=found.layers if found else 0,
        frames=len(work.good.names),
        fingerprint=work.good.fingerprint(range(len(work.good.names))),
        worst=found.harm.worst if found else 0.0,
        mean=found.harm.mean if found else 0.0,
        tolerance=tolerance,
        mean_tolerance=mean_tolerance,
        least_overlap=least_overlap,
    )


@contextmanager
def _copy(model: ModelFolder) -> Iterator[ModelFolder]:
    with tempfile.TemporaryDirectory(prefix="edge-inspect-build-") as folder:
        shutil.copytree(model.path, folder, dirs_exist_ok=True)
        yield ModelFolder(path=Path(folder), manifest=model.manifest)
