"""The last steps of every model, taught or trained: held-out scores, thresholds with their promise, golden frames, engine folder.

    graph -> trial folder -> the reference runtime scores the held-out parts -> thresholds -> golden frames
    -> whoever made the graph says whether it computes what it should -> engine folder, thresholds

The model is not fitted again on all images afterwards: the held-out scores would then be of parts the model has seen, the
future ones not, and the promise about false rejects would be void.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path

import numpy as np
import onnx

from edge_inspect import __version__
from edge_inspect.config import Recipe
from edge_inspect.datatypes import CellMask, Scores, UInt8Image
from edge_inspect.decision import masked_score
from edge_inspect.errors import ConfigError
from edge_inspect.login import who
from edge_inspect.model_folder import Golden, ImageScore, ImageSize, ModelFolder, Training, write_model_folder
from edge_inspect.runtimes.reference import open_reference
from edge_inspect.thresholds import Sample, Thresholds
from edge_inspect.thresholds.frames import CalibrationFrames, frames_path, kept, packed
from edge_inspect.thresholds.history import Change, put_in_force, read_history
from edge_inspect.thresholds.part_limits import PartLimits, part_limits
from edge_inspect.thresholds.taught_frames import TAUGHT_FILE, packed_frames
from edge_inspect.workshop.golden_frames import inference, make_golden
from edge_inspect.workshop.good_images import Given, GoodImages

Parts = Sequence[Sequence[int]]
"""Indices of the held-out images, by physical part."""

Agree = Callable[[onnx.ModelProto, Golden, PartLimits], None]
"""Raises EngineError where the graph does not compute what its maker wanted on the golden frames."""


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def silent(_doing: str, _done: int, _total: int, _note: str = "") -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the manifest says of a graph beside its sizes.

    Attributes:
        family: name of the system.
        image_score: what the graph's second output is, as `model_folder.Manifest` says it.
        score_meaning: one line: what a score measures.
        training: what the model was made from.
        taught: hashes of the frames it was made from; None where nobody wrote them down.
    """

    family: str
    image_score: ImageScore
    score_meaning: str
    training: Training
    taught: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """A model that may be handed over.

    Attributes:
        model: the written model folder.
        thresholds: what was written beside the recipe.
        limits: the thresholds with their bounds.
        names: of the held-out images.
        scores: image score of each of them, engine units.
    """

    model: ModelFolder
    thresholds: Thresholds
    limits: PartLimits
    names: tuple[str, ...]
    scores: tuple[float, ...]


def finish(
    graph: onnx.ModelProto,
    good: GoodImages,
    parts: Parts,
    *,
    described: Described,
    recipe: Recipe,
    folder: Path,
    false_reject_rate: float,
    seed: int,
    agree: Agree,
    others: Mapping[str, bytes] | None = None,
    progress: Progress = silent,
) -> Finished:
    """Score, cut, prove and write one model.

    Args:
        graph: the whole graph, static, as `model_folder.py` says it.
        good: the images; only the held-out ones are looked at.
        parts: the held-out ones.
        described: what the manifest says of the graph.
        recipe: its masks and its decision count; its `thresholds` are written.
        folder: the model folder.
        false_reject_rate: the rate to promise, if the held-out parts carry it.
        seed: of the drawn defects in the golden frames.
        agree: asked before anything is written.
        others: more files for the model folder, by name.
        progress: called as the work goes on.

    Raises:
        ConfigError: an impossible rate, an edited history, or the thresholds cannot be written.
        EngineError: the graph is refused, or the model folder cannot be written.
    """
    refuse_impossible_rate(false_reject_rate)
    read_history(recipe.thresholds)  # an edited one is told before the old engine is replaced
    held_out = tuple(chain.from_iterable(parts))
    with trial_folder(graph, _none_yet(graph, good), good.size, described) as trial, open_reference(model=trial) as reference:
        infer = inference(reference, good.size)
        cells, two_events = trial.manifest.score_map, described.image_score != "map maximum"
        masks = [good.searched(recipe, width=cells.width, height=cells.height, image=index) for index in held_out]
        images, highest = [good.pixels[index] for index in held_out], trial.manifest.highest_cells
        scores, peaks = _held_out_scores(infer, images, masks, highest_cells=highest, progress=progress)
        limits = part_limits(
            [_worst(scores, held_out, part) for part in parts],
            [_worst(peaks, held_out, part) for part in parts] if two_events else None,
            wanted=false_reject_rate,
            rule=recipe.decision,
        )
        golden = make_golden(infer, good, held_out, limits, seed)
    agree(graph, golden, limits)
    model = _write(folder, graph, golden, size=good.size, described=described, others=others)
    told = scores if recipe.tiles is None else [_worst(scores, held_out, part) for part in parts]
    thresholds = _thresholds(limits, told, good.fingerprint(held_out), model, recipe)
    frames = _calibration_frames(good=good, held_out=held_out, masks=masks, scores=scores, peaks=peaks, told=told, model=model)
    beside = {frames_path(recipe.thresholds, thresholds): packed(frames)}
    put_in_force(recipe.thresholds, thresholds, _change(described, good, held_out), beside=lambda _stands: beside)
    names = tuple(good.names[index] for index in held_out)
    return Finished(model=model, thresholds=thresholds, limits=limits, names=names, scores=scores)


def refuse_impossible_rate(false_reject_rate: float) -> None:
    """Refuse what is no rate.

    Raises:
        ConfigError: the false-reject rate is not between 0 and 1.
    """
    if not 0 < false_reject_rate < 1:
        raise ConfigError(f"false reject rate {false_reject_rate}: must lie between 0 and 1; 0.01 is one part in a hundred")


def counted(images: Iterable[Given], progress: Progress) -> Iterator[Given]:
    """The images, each told when it has been read."""
    total = len(images) if isinstance(images, Sequence) else 0
    for done, image in enumerate(images, start=1):
        yield image
        progress("reading", done, max(done, total))


@contextmanager
def trial_folder(graph: onnx.ModelProto, golden: Golden, size: ImageSize, described: Described) -> Iterator[ModelFolder]:
    """The model in a folder of its own that is gone afterwards, so that a runtime can open it."""
    with tempfile.TemporaryDirectory(prefix="edge-inspect-trial-") as folder:
        yield _write(Path(folder), graph, golden, size=size, described=described)


def _none_yet(graph: onnx.ModelProto, good: GoodImages) -> Golden:
    """No golden frames, but the score map's size: the reference runtime makes them."""
    outputs = {output.name: [axis.dim_value for axis in output.type.tensor_type.shape.dim] for output in graph.graph.output}
    cells = outputs["score_map"][1:]
    return Golden(images=good.pixels[:1], maps=np.zeros(cells, np.float32), scores=np.zeros(1, np.float32))


def _held_out_scores(
    infer: Callable[[UInt8Image], Scores],
    images: Sequence[UInt8Image],
    searched: Iterable[CellMask],
    *,
    highest_cells: int | None,
    progress: Progress,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Image score and largest searched cell of every held-out image."""
    scores, peaks = [], []
    for done, (pixels, cells) in enumerate(zip(images, searched, strict=True), start=1):
        said = infer(pixels)
        scores.append(float(masked_score(said, cells, highest_cells=highest_cells)))
        peaks.append(float(masked_score(said, cells, highest_cells=1)))
        progress("scoring", done, len(images))
    return tuple(scores), tuple(peaks)


def _worst(scores: Sequence[float], held_out: Sequence[int], part: Sequence[int]) -> float:
    """The largest score of one part's images."""
    by_index = dict(zip(held_out, scores, strict=True))
    return max(by_index[index] for index in part)


def _write(
    folder: Path,
    graph: onnx.ModelProto,
    golden: Golden,
    *,
    size: ImageSize,
    described: Described,
    others: Mapping[str, bytes] | None = None,
) -> ModelFolder:
    known = {} if described.taught is None else {TAUGHT_FILE: packed_frames(described.taught)}
    return write_model_folder(
        folder,
        onnx_bytes=graph.SerializeToString(deterministic=True),
        golden=golden,
        model=folder.name,
        family=described.family,
        input_size=size,
        image_score=described.image_score,
        score_meaning=described.score_meaning,
        training=described.training,
        software=f"edge-inspect {__version__}",
        created_at=datetime.now(timezone.utc),
        others={**(others or {}), **known},
    )


def _calibration_frames(
    *,
    good: GoodImages,
    held_out: Sequence[int],
    masks: Sequence[CellMask],
    scores: Sequence[float],
    peaks: Sequence[float],
    told: Sequence[float],
    model: ModelFolder,
) -> CalibrationFrames:
    """Frames with their scores; `told` are the parts' scores, with tiles the highest of each."""
    chosen = kept(scores)
    return CalibrationFrames(
        images=np.stack([good.pixels[held_out[index]] for index in chosen]),
        searched=np.stack([masks[index] for index in chosen]),
        scores=np.array([scores[index] for index in chosen]),
        peaks=np.array([peaks[index] for index in chosen]),
        names=tuple(good.names[held_out[index]] for index in chosen),
        sample=np.array(told),
        engine_sha256=model.engine_sha256,
    )


def _change(described: Described, good: GoodImages, held_out: Sequence[int]) -> Change:
    frames = tuple(good.hashes[index] for index in held_out)
    reason = f"{described.family} made from {described.training.images} good images, threshold from {len(held_out)} held out"
    return Change(action="made with the model", by=who(), reason=reason, good_frames=frames)


def _thresholds(limits: PartLimits, scores: Sequence[float], fingerprint: str, model: ModelFolder, recipe: Recipe) -> Thresholds:
    return Thresholds(
        image_threshold=limits.image.threshold,
        pixel_threshold=limits.pixel.threshold,
        engine_sha256=model.engine_sha256,
        recipe_sha256=recipe.sha256,
        rule=limits.rule,
        promise=limits.promise,
        false_reject_bound=limits.bound,
        confidence=limits.confidence,
        sample=Sample(
            images=len(scores),
            fingerprint=fingerprint,
            minimum=min(scores),
            median=float(np.median(scores)),
            maximum=max(scores),
        ),
        made_at=datetime.now(timezone.utc),
        software=f"edge-inspect {__version__}",
    )
