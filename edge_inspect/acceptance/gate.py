"""May this engine serve? Only if it agrees with the reference on its golden frames, on this device.

An engine that was built for another machine, in another precision, by another version of a library, or from swapped
channels answers every frame, only not with the right scores. Nobody sees that on the line, so it is refused here: no
agreement, no service.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import Placement, ScoreMap, Scores, UInt8Image
from edge_inspect.decision import masked_score
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Golden, Manifest, ModelFolder
from edge_inspect.protocols import Runtime

TOLERANCE = 1e-3
"""Largest difference allowed, as a part of the range of the golden scores.

Measured on a taught part (2026-11-21): float32 in OpenVINO and ONNX Runtime differ from the reference by 6e-7 of the range,
bfloat16, which OpenVINO takes by itself where the CPU has it, by 9e-2. 1e-3 lies a factor of a hundred from either, and
moves no score past a threshold that has any room.
"""

LEAST_OVERLAP = 0.95
"""Least overlap (intersection over union, all golden frames together) of the cells above the pixel threshold.

Rounding moves single cells on the rim of a region; a map that is shifted by one cell loses a third of a 5 x 5 region.
"""

ROUNDS = 2
"""How often every golden frame is run."""
REPEATS = 20
"""How often one of them is run in a row after that: an engine that wavers does so under load, not at its first word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """How an engine compares with the reference on the golden frames.

    Attributes:
        frames: golden frames compared.
        worst_absolute: largest difference of a map cell or an image score, engine units; infinite for NaN.
        worst_relative: the same as a part of the range of the golden scores.
        mean_relative: mean difference of all map cells, as a part of the range of the golden maps: rounding moves single cells
            far, a wrong scale, channel or cell moves all of them.
        margin_used: largest difference of an image score, as a part of that frame's distance from the image threshold; 1 flips
            its verdict. None where no threshold was given.
        flipped: golden frames whose verdict by the image threshold differs from the reference's.
        undecided: golden frames so near the image threshold that the tolerance could flip them.
        regions_overlap: intersection over union of all cells above the pixel threshold; None where none was given.
        repeatable: whether the same frame gave the same bits each time.
        latency_p50_ms, latency_p95_ms, latency_p99_ms: time of one inference, copying in included [ms].
        complaints: why the engine may not serve; empty for one that may.
        calibration: how far each threshold would have to move on the stored calibration frames, as a part of its room; None where no
            frames of this model were at hand.
    """

    frames: int
    worst_absolute: float
    worst_relative: float
    mean_relative: float
    margin_used: float | None
    flipped: tuple[int, ...]
    undecided: tuple[int, ...]
    regions_overlap: float | None
    repeatable: bool
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    complaints: tuple[str, ...]
    calibration: Mapping[str, float] | None = None


def accept(
    runtime: Runtime,
    model: ModelFolder,
    *,
    image_threshold: float | None,
    pixel_threshold: float | None = None,
    tolerance: float | None = None,
) -> Acceptance:
    """Let an engine serve, or say why not. Arguments and result are those of `compare`.

    Raises:
        EngineError: no agreement, no service; with everything that differs. Or the golden frames cannot be run.
    """
    return demand_agreement(
        model, compare(runtime, model, image_threshold=image_threshold, pixel_threshold=pixel_threshold, tolerance=tolerance)
    )


def demand_agreement(model: ModelFolder, acceptance: Acceptance) -> Acceptance:
    """The acceptance of an engine that may serve.

    Raises:
        EngineError: no agreement, no service; with everything that differs.
    """
    if acceptance.complaints:
        raise EngineError(
            f"{model.path}: no agreement, no service: {'; '.join(acceptance.complaints)}; "
            "build the engine again on this device, or teach the part again; do not run it as it is"
        )
    return acceptance


def compare(
    runtime: Runtime,
    model: ModelFolder,
    *,
    image_threshold: float | None,
    pixel_threshold: float | None = None,
    tolerance: float | None = None,
) -> Acceptance:
    """Run the golden frames through an engine and hold its answers against the reference's.

    Args:
        runtime: the opened engine.
        model: the folder it was opened from.
        image_threshold: no golden frame's verdict may flip against it; None compares no verdicts.
        pixel_threshold: the cells above it must overlap; None compares no regions.
        tolerance: largest difference allowed, as a part of the range of the golden scores; None asks what the model's
            precision is allowed.

    Raises:
        EngineError: the golden frames are not this model's, the engine failed, or its answers have another shape.
    """
    tolerance = (TOLERANCE if model.lowered is None else model.lowered.tolerance) if tolerance is None else tolerance
    least_overlap = LEAST_OVERLAP if model.lowered is None else model.lowered.least_overlap
    most_mean = tolerance if model.lowered is None else model.lowered.mean_tolerance
    golden = _load_sound_golden(model)
    rounds, latencies_ns = _run(runtime, model, golden)
    repeats = _repeat(runtime, model, golden, latencies_ns)
    wanted = _Answers(maps=golden.maps, scores=golden.scores.astype(np.float64))
    got = rounds[0]
    worst = _worst(model.manifest, got, wanted)
    flipped = _flipped(got, wanted, image_threshold)
    overlap = _overlap(got.maps, wanted.maps, pixel_threshold)
    mean = _mean(got, wanted)
    repeatable = all(got.same_bits(again) for again in rounds[1:]) and all(got.first.same_bits(again) for again in repeats)
    p50, p95, p99 = (float(value) / 1e6 for value in np.percentile(latencies_ns, (50, 95, 99)))
    return Acceptance(
        frames=len(golden.images),
        worst_absolute=worst.absolute,
        worst_relative=worst.relative,
        mean_relative=mean,
        margin_used=_margin_used(got, wanted, image_threshold),
        flipped=flipped,
        undecided=_undecided(model.manifest, wanted, image_threshold, tolerance),
        regions_overlap=overlap,
        repeatable=repeatable,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        complaints=(
            *_differs(worst, tolerance),
            *(_flips(got, wanted, image_threshold, frame) for frame in flipped),
            *_differs_everywhere(mean, most_mean),
            *_parts(overlap, pixel_threshold, least_overlap),
            *([] if repeatable else ["the same frame did not give the same bits each time"]),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answers:
    """Maps (n, h, w) and image scores (n,) of all golden frames; scores in float64, as the decision compares them."""

    maps: ScoreMap
    scores: npt.NDArray[np.float64]

    @property
    def first(self) -> _Answers:
        """Those of the first frame."""
        return _Answers(maps=self.maps[:1], scores=self.scores[:1])

    def same_bits(self, other: _Answers) -> bool:
        return self.maps.tobytes() == other.maps.tobytes() and self.scores.tobytes() == other.scores.tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    """The largest difference of one output: where it is, and what was said there."""

    where: str
    got: float
    wanted: float
    absolute: float
    relative: float


def _load_sound_golden(model: ModelFolder) -> Golden:
    golden = model.load_golden()
    image, cells = model.manifest.input, model.manifest.score_map
    count = len(golden.images)
    wanted = ((count, image.height, image.width, image.channels), (count, cells.height, cells.width), (count,))
    got = (golden.images.shape, golden.maps.shape, golden.scores.shape)
    if got != wanted or golden.images.dtype != np.uint8:
        raise EngineError(f"{model.path}: the golden frames are {got}, the manifest wants {wanted}; teach or export the model again")
    if count == 0 or not np.isfinite(golden.maps).all() or not np.isfinite(golden.scores).all() or np.ptp(golden.maps) == 0:
        raise EngineError(
            f"{model.path}: {count} golden frames prove nothing: their scores must be finite and differ; teach or export the model again"
        )
    return golden


def _run(runtime: Runtime, model: ModelFolder, golden: Golden) -> tuple[list[_Answers], list[int]]:
    """The answers of every round, and how long each inference took [ns]."""
    latencies_ns: list[int] = []
    rounds = [_stacked(model, [_ask(runtime, model, image, latencies_ns) for image in golden.images]) for _ in range(ROUNDS)]
    return rounds, latencies_ns


def _repeat(runtime: Runtime, model: ModelFolder, golden: Golden, latencies_ns: list[int]) -> list[_Answers]:
    """The first frame again and again; the times go to the others."""
    return [_stacked(model, [_ask(runtime, model, golden.images[0], latencies_ns)]) for _ in range(REPEATS - ROUNDS)]


def _ask(runtime: Runtime, model: ModelFolder, image: UInt8Image, latencies_ns: list[int]) -> Scores:
    placement = _unmoved(model.manifest)
    started = time.perf_counter_ns()
    said = runtime.infer(image, placement)
    latencies_ns.append(time.perf_counter_ns() - started)
    return said


def _unmoved(manifest: Manifest) -> Placement:
    image = manifest.input
    affine = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return Placement(affine=affine, width=image.width, height=image.height, channels=image.channels)


def _stacked(model: ModelFolder, said: list[Scores]) -> _Answers:
    cells = model.manifest.score_map
    for scores in said:
        if scores.map.shape != (cells.height, cells.width):
            raise EngineError(
                f"{model.path}: the engine gives a score map of {scores.map.shape}, the manifest says {(cells.height, cells.width)}; "
                "build the engine again from this model"
            )
    images = [_image_score(model, scores) for scores in said]
    return _Answers(maps=np.stack([scores.map for scores in said]), scores=np.array(images, np.float64))


def _image_score(model: ModelFolder, scores: Scores) -> float:
    if scores.image is not None:
        return scores.image
    if model.manifest.image_score == "own":
        raise EngineError(
            f"{model.path}: the engine gives no image score, and the model has its own; build the engine again from this model"
        )
    return masked_score(scores, np.ones(scores.map.shape, np.bool_), highest_cells=model.manifest.highest_cells)


def _scale(manifest: Manifest, wanted: _Answers) -> tuple[float, float]:
    """What a difference is measured by, for map cells and for image scores [engine units]."""
    maps = float(np.ptp(wanted.maps))
    own = float(np.ptp(wanted.scores)) or float(np.abs(wanted.scores).max()) or maps
    return maps, own if manifest.image_score == "own" else maps


def _worst(manifest: Manifest, got: _Answers, wanted: _Answers) -> _Difference:
    cell, image = _scale(manifest, wanted)
    return max(
        _difference("score map", got.maps, wanted.maps, cell),
        _difference("image score", got.scores, wanted.scores, image),
        key=lambda difference: difference.relative,
    )


def _difference(output: str, got: npt.NDArray[Any], wanted: npt.NDArray[Any], scale: float) -> _Difference:
    with np.errstate(invalid="ignore"):
        absolute = np.abs(got.astype(np.float64) - wanted)
    absolute[~np.isfinite(absolute)] = np.inf
    frame, *cell = at = np.unravel_index(int(absolute.argmax()), absolute.shape)
    return _Difference(
        where=f"golden frame {frame}, {output}" + (f" at row {cell[0]}, column {cell[1]}" if cell else ""),
        got=float(got[at]),
        wanted=float(wanted[at]),
        absolute=float(absolute[at]),
        relative=float(absolute[at]) / scale,
    )


def _mean(got: _Answers, wanted: _Answers) -> float:
    with np.errstate(invalid="ignore"):
        mean = float(np.abs(got.maps.astype(np.float64) - wanted.maps).mean()) / float(np.ptp(wanted.maps))
    return mean if np.isfinite(mean) else float("inf")


def _margin_used(got: _Answers, wanted: _Answers, threshold: float | None) -> float | None:
    if threshold is None:
        return None
    moved, margin = np.abs(got.scores - wanted.scores), np.abs(wanted.scores - threshold)
    used = np.divide(moved, margin, out=np.where(moved > 0, np.inf, 0.0), where=margin > 0)
    return float(np.nan_to_num(used, nan=np.inf).max())


def _flipped(got: _Answers, wanted: _Answers, threshold: float | None) -> tuple[int, ...]:
    if threshold is None:
        return ()
    return _indices(((got.scores > threshold) != (wanted.scores > threshold)) | ~np.isfinite(got.scores))


def _undecided(manifest: Manifest, wanted: _Answers, threshold: float | None, tolerance: float) -> tuple[int, ...]:
    if threshold is None:
        return ()
    return _indices(np.abs(wanted.scores - threshold) <= tolerance * _scale(manifest, wanted)[1])


def _indices(chosen: npt.NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(index) for index in np.flatnonzero(chosen))


def _overlap(got: ScoreMap, wanted: ScoreMap, threshold: float | None) -> float | None:
    if threshold is None:
        return None
    union = np.count_nonzero((got > threshold) | (wanted > threshold))
    return np.count_nonzero((got > threshold) & (wanted > threshold)) / union if union else 1.0


def _differs(worst: _Difference, tolerance: float) -> Iterator[str]:
    if worst.relative > tolerance:
        yield (
            f"{worst.where}: got {worst.got:g}, wanted {worst.wanted:g}: "
            f"a difference of {worst.relative:.1e} of the golden range, allowed is {tolerance:.1e}"
        )


def _differs_everywhere(mean: float, most: float) -> Iterator[str]:
    if mean > most:
        yield (
            f"all score maps together: a mean difference of {mean:.1e} of the golden range, allowed is {most:.1e}: that is no rounding, "
            "something is scaled, shifted or swapped"
        )


def _flips(got: _Answers, wanted: _Answers, threshold: float | None, frame: int) -> str:
    return f"golden frame {frame} flips its verdict: got {got.scores[frame]:g}, wanted {wanted.scores[frame]:g}, threshold {threshold:g}"


def _parts(overlap: float | None, threshold: float | None, least: float) -> Iterator[str]:
    if overlap is not None and overlap < least:
        yield f"regions above {threshold:g} overlap by {overlap:.2f}, wanted {least:.3g}"
