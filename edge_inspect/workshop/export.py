"""From a trained folder to an engine folder and thresholds: what `edge-inspect export` runs.

    trained folder -> one graph -> fit for TensorRT 8.2? -> `finishing.py`: thresholds, golden frames
    -> do torch, ONNX Runtime and OpenVINO say the same of the golden frames? -> engine folder, thresholds

The line opens a graph for one frame. With `dynamic_batch` the same graph with an open batch is written beside it, for whoever
inspects in batches; no runtime of the line opens that one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from edge_inspect.acceptance import TOLERANCE, compare
from edge_inspect.config import Recipe
from edge_inspect.datatypes import Placement, Scores, UInt8Image
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.model_folder import Golden, ImageSize, ModelFolder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.thresholds.part_limits import PartLimits
from edge_inspect.workshop.finishing import Described, Finished, Progress, finish, silent, trial_folder
from edge_inspect.workshop.golden_frames import AGREEMENT
from edge_inspect.workshop.onnx_check import gmacs, operators, refuse_unfit
from edge_inspect.workshop.traced_graph import traced_graph
from edge_inspect.workshop.trained_folder import Record, TrainedFolder, open_trained_folder, view_of

DYNAMIC_FILE = "model.dynamic.onnx"

ROUNDING = 2e-6
"""What float32 leaves of a score after some hundred additions, as a part of the score. It counts where scores barely vary."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exported:
    """An exported engine.

    Attributes:
        finished: model folder, thresholds and held-out scores.
        record: of the training.
        gmacs: multiplications with accumulation of one frame, in thousand millions.
        operators: how many nodes of each kind.
        agreement: largest difference from the golden answers, as a part of their range, of torch and each runtime.
        seconds: how long it took [s].
    """

    finished: Finished
    record: Record
    gmacs: float
    operators: dict[str, int]
    agreement: dict[str, float]
    seconds: float


def export(
    trained: Path,
    *,
    recipe: Recipe,
    out: Path | None = None,
    false_reject_rate: float = 0.01,
    dynamic_batch: bool = False,
    progress: Progress = silent,
) -> Exported:
    """Write engine folder and thresholds of a trained system.

    Args:
        trained: what `train` left behind.
        recipe: read by `load_recipe`, with the region of interest and locator of the training; its `engine` and
            `thresholds` are written.
        out: another model folder than the recipe's.
        false_reject_rate: the rate to promise, if the held-out parts carry it.
        dynamic_batch: write the graph with an open batch beside the one that the line opens.
        progress: called as the work goes on.

    Raises:
        ConfigError: no trained folder, another recipe's, an impossible rate, or the thresholds cannot be written.
        EngineError: a damaged folder, a graph unfit for TensorRT 8.2, a runtime that computes something else, or the model
            folder cannot be written.
    """
    started = time.monotonic()
    folder = open_trained_folder(trained)
    system = folder.load_system()
    refuse_another_view(folder, recipe, own=system.image_score == "own")
    size = folder.record.size
    progress("writing", 0, 1 + dynamic_batch)
    graph = _checked(system, size, dynamic_batch=False)
    progress("writing", 1, 1 + dynamic_batch)
    others = {DYNAMIC_FILE: _checked(system, size, dynamic_batch=True)} if dynamic_batch else {}
    progress("writing", 1 + dynamic_batch, 1 + dynamic_batch)
    described = Described(
        family=folder.record.system,
        image_score=system.image_score,
        score_meaning=system.score_meaning,
        training=folder.record.training,
        taught=folder.taught,
    )
    agreement = _Agreement(system, size, described, others)
    finished = finish(
        graph,
        folder.good,
        folder.parts,
        described=described,
        recipe=recipe,
        folder=out or recipe.engine,
        false_reject_rate=false_reject_rate,
        seed=folder.record.seed,
        agree=agreement,
        others={name: other.SerializeToString(deterministic=True) for name, other in others.items()},
        progress=progress,
    )
    return Exported(
        finished=finished,
        record=folder.record,
        gmacs=gmacs(graph),
        operators=operators(graph),
        agreement=agreement.differences,
        seconds=time.monotonic() - started,
    )


def refuse_another_view(folder: TrainedFolder, recipe: Recipe, *, own: bool) -> None:
    """Refuse a recipe whose network image is not the one that was trained on.

    Raises:
        ConfigError: another region of interest, locator or frame size, or masks on an image score that none can apply to.
    """
    wanted, got = folder.record.view, view_of(recipe)
    for key in sorted({*wanted, *got}):
        if wanted.get(key) != got.get(key):
            raise ConfigError(
                f"recipe of {recipe.part}: {key} is {_said(got.get(key))}, {folder.path} was trained with {_said(wanted.get(key))}; "
                "export with the recipe it was trained with, or train again with this one"
            )
    size, trained_on = recipe.frame, (folder.good.frame_width, folder.good.frame_height)
    if size is not None and (size.width, size.height) != trained_on:
        raise ConfigError(
            f"recipe of {recipe.part}: frame is {size.width} x {size.height}, {folder.path} was trained on frames of "
            f"{trained_on[0]} x {trained_on[1]}; correct it, or train again"
        )
    if own and recipe.decision.image_score and not recipe.masks.empty:
        raise ConfigError(
            f"recipe of {recipe.part}: masks: {folder.record.system} computes its image score over the whole image, so a mask cannot apply "
            "to it; set decision.image_score to false and decide by regions, or remove the masks"
        )


def _said(value: Any) -> str:
    return "not there" if value is None else str(value)


def _checked(system: Any, size: ImageSize, *, dynamic_batch: bool) -> onnx.ModelProto:
    graph = traced_graph(system, size, dynamic_batch=dynamic_batch)
    refuse_unfit(graph, size, dynamic_batch=dynamic_batch)
    return graph


class _Agreement:
    """Holds the golden answers, which the reference runtime gave, against torch, ONNX Runtime and OpenVINO."""

    def __init__(self, system: Any, size: ImageSize, described: Described, others: Mapping[str, onnx.ModelProto]) -> None:
        self.system, self.size, self.described, self.others = system, size, described, others
        self.differences: dict[str, float] = {}

    def __call__(self, graph: onnx.ModelProto, golden: Golden, limits: PartLimits) -> None:
        """Compare all.

        Raises:
            EngineError: the first that differs, and where.
        """
        tolerance = allowed(golden, own=self.described.image_score == "own")
        with trial_folder(graph, golden, self.size, self.described) as trial:
            for name, opened in self._runtimes(trial).items():
                with opened as runtime:
                    self._hold(name, runtime, trial, limits, tolerance)
        for name, other in self.others.items():
            self._hold_batch(name, other, golden, tolerance)

    def _runtimes(self, trial: ModelFolder) -> dict[str, AbstractContextManager[Runtime]]:
        found: dict[str, AbstractContextManager[Runtime]] = {"torch": nullcontext(Eager(self.system)), "onnx": open_onnx(model=trial)}
        if find_spec("openvino") is not None:  # it has no build for the Jetson
            from edge_inspect.runtimes.openvino_runtime import open_openvino

            found["openvino"] = open_openvino(model=trial)
        return found

    def _hold(self, name: str, runtime: Runtime, trial: ModelFolder, limits: PartLimits, tolerance: float) -> None:
        image, pixel = limits.image.threshold, limits.pixel.threshold
        said = compare(runtime, trial, image_threshold=image, pixel_threshold=pixel, tolerance=tolerance)
        if said.complaints:
            raise EngineError(
                f"{name} does not compute what the exported graph computes: {'; '.join(said.complaints)}; a system must be deterministic "
                "in eval mode, must not branch on what a frame shows, and must tell defects from good parts by more than rounding"
            )
        self.differences[name] = said.worst_relative

    def _hold_batch(self, name: str, graph: onnx.ModelProto, golden: Golden, tolerance: float) -> None:
        """All golden frames at once: each must be answered as when it comes alone."""
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        maps, scores = session.run(["score_map", "image_score"], {"frame": golden.images})
        scale = golden.scores if self.described.image_score == "own" and np.ptp(golden.scores) else golden.maps
        apart = max(_apart(maps[:, 0], golden.maps, golden.maps), _apart(scores, golden.scores, scale))
        if not apart <= tolerance:
            raise EngineError(
                f"{name}: a batch is answered otherwise than single frames, by {apart:.1e} of the score range, wanted {tolerance:.0e}; "
                "a frame's answer must not depend on its neighbours in the batch"
            )
        self.differences[name] = apart


def allowed(golden: Golden, *, own: bool) -> float:
    """Largest difference allowed, as a part of the range of the golden scores: 1e-4, or what float32 rounding alone makes of it.

    A score that varies by a thousandth of itself loses three digits to that. More than half of what a station accepts is never
    allowed: such a model tells nothing.
    """
    answers = [golden.maps, *([golden.scores] if own and np.ptp(golden.scores) else [])]
    rounding = max(ROUNDING * float(np.abs(values).max() / np.ptp(values)) for values in answers)
    return min(max(AGREEMENT, rounding), TOLERANCE / 2)


class Eager:
    """The system itself as a `protocols.Runtime`, for frames that are already warped."""

    def __init__(self, system: Any) -> None:
        self._system = system.eval()

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores:
        """Run it on one warped frame; the placement is the unmoved one."""
        del placement
        with torch.inference_mode():
            score_map, image_score = self._system(torch.from_numpy(np.ascontiguousarray(pixels)[None]))
        return Scores(map=score_map[0, 0].numpy(), image=float(image_score[0]))


def _apart(got: Any, wanted: Any, scale: Any) -> float:
    return float(np.abs(got - wanted).max() / np.ptp(scale))
