"""Milliseconds from a frame to its verdict on this device, by stage; memory over many frames.

It runs `inspector.inspect`, the very code of the line, without camera and PLC (`line_bench` has both). The frames look like
those of real parts, so that the score map does too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edge_inspect import __version__
from edge_inspect.acceptance import Acceptance, accept, bind
from edge_inspect.config import PluginBlock, Recipe
from edge_inspect.datatypes import Frame
from edge_inspect.field.bench_frames import make_frames
from edge_inspect.field.device import resident_bytes
from edge_inspect.field.spreads import Durations, Outliers, Spread, jitter_ms, outliers, per_second, spread
from edge_inspect.field.yardstick import Yardstick
from edge_inspect.geometry import place, warp
from edge_inspect.inspector import Inspector
from edge_inspect.model_folder import ModelFolder
from edge_inspect.plugins import prepare, served
from edge_inspect.protocols import Runtime
from edge_inspect.service.machine import device
from edge_inspect.thresholds import Sample, Thresholds, load_thresholds

__all__ = ["Bench", "Memory", "Timings", "make_frames", "measure", "measure_together", "open_bench", "soak"]

WARM_UP_FRAMES = 20
RESUMED_FRAMES = 3
"""Frames not counted when it is a bench's turn again: its buffers have left the caches meanwhile."""
ROUNDS = 10
SETTLED_FRAMES = 2_000
"""Frames until every buffer and cache has its size; memory is compared with what it was then."""

STAGES = ("place", "warp", "infer", "find", "decide")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def _silent(doing: str, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """An accepted engine inside the line's own inspector."""

    model: ModelFolder
    runtime: Runtime
    inspector: Inspector
    acceptance: Acceptance


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What `measure` measured, over all frames; no outlier is left out.

    Attributes:
        frames: how many frames, the warm-up not counted.
        frame_to_verdict_ms: `inspect`, all of it.
        engine_ms: the engine on an image that is already placed; its input and answers are copied in and out.
            Of a recipe with tiles as often as there are tiles.
        everything_but_engine_ms: the difference of the two, frame by frame.
        stages_ms: place (find the placement), warp (crop, scale, turn), infer (= engine), find, decide.
        jitter_ms: mean difference of `frame_to_verdict` from one frame to the next [ms].
        throughput_per_s: frames a second, one after the other; and of the bare engine.
        outliers: frames that took far longer than the others.
        rounds_ms: every `frame_to_verdict` and `engine`, by round, for `comparison`.
        yardstick_ms: what a fixed piece of work took before each round.
    """

    frames: int
    frame_to_verdict_ms: Spread
    engine_ms: Spread
    everything_but_engine_ms: Spread
    stages_ms: dict[str, Spread]
    jitter_ms: float
    throughput_per_s: dict[str, float]
    outliers: Outliers
    rounds_ms: dict[str, list[list[float]]]
    yardstick_ms: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory [MB] after `settled_frames` and after `frames`, and its growth between them [%]."""

    settled_frames: int
    frames: int
    settled_mb: float
    final_mb: float
    growth_percent: float


@contextmanager
def open_bench(model: ModelFolder, runtime: PluginBlock, recipe: Recipe | None = None) -> Iterator[Bench]:
    """Open the engine as a station would.

    Args:
        model: verified model folder.
        runtime: which runtime opens it, with its options.
        recipe: read by `load_recipe`: its locator, region of interest, masks, rules and thresholds are used. Without it the whole
            frame is inspected, and thresholds are taken from the golden frames: their median image score, and the pixel score that
            one cell in a hundred exceeds, so that some parts are NG and have regions to find.

    Raises:
        PluginError: the runtime is not installed.
        ConfigError: the runtime has no such option, or the recipe's thresholds were made for another engine or recipe.
        EngineError: the engine does not open, or does not agree with its golden frames.
    """
    thresholds = _thresholds(model) if recipe is None else _thresholds_of(recipe, model)
    model, block = served(model, runtime)
    with prepare("runtimes", block, base=Path.cwd(), given={"model": model})() as opened:
        # The golden median lies between golden frames, some of them next to it: no verdict is compared with it.
        acceptance = accept(opened, model, image_threshold=None if recipe is None else thresholds.image_threshold)
        recipe = recipe or Recipe(part="bench", engine=model.path)
        inspector = Inspector(
            recipe=recipe,
            model=model,
            thresholds=thresholds,
            runtime=opened,
            acceptance=acceptance,
            binding=bind(model, opened, kind=block.kind, device=device(), thresholds=thresholds),
        )
        yield Bench(model=model, runtime=opened, inspector=inspector, acceptance=acceptance)


def measure(
    bench: Bench,
    frames: Sequence[Frame],
    count: int,
    *,
    interval_s: float = 0.0,
    rounds: int = ROUNDS,
    progress: Progress = _silent,
) -> Timings:
    """Inspect `count` frames after a warm-up, and after each one time its warp and its engine alone.

    What is compared is interleaved: a clock that changes or a busy neighbour hits all of it alike.

    Args:
        bench: from `open_bench`.
        frames: shown in turn.
        count: how many are timed.
        interval_s: waited before each frame [s]: at line pace caches go cold, and the line is slower than in a tight loop.
        rounds: parts that the frames are told in; noise is judged by how far these differ.
        progress: called between the frames; what it takes is not counted.
    """
    [timings] = measure_together([(bench, frames)], count, interval_s=interval_s, rounds=rounds, progress=progress)
    return timings


def measure_together(
    subjects: Sequence[tuple[Bench, Sequence[Frame]]],
    count: int,
    *,
    interval_s: float = 0.0,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP_FRAMES,
    progress: Progress = _silent,
) -> list[Timings]:
    """Time several benches, each with its frames, in turns: one round of each, then the next.

    Arguments are those of `measure`; `warm_up` frames of each come before, and are not counted.
    """
    yardstick, yards = Yardstick(), []
    turns = [_Turns(bench, frames, interval_s) for bench, frames in subjects]
    for turn in turns:
        turn.take(warm_up, kept=False)
    done, total = 0, count * len(turns)
    for numbers in np.array_split(np.arange(count), min(rounds, count)):
        yards.append(round(yardstick.measure_ms(), 4))
        for turn in turns:
            turn.take(RESUMED_FRAMES if len(turns) > 1 else 0, kept=False)
            turn.take(len(numbers), kept=True)
            done += len(numbers)
            progress("timing", done, total)
    return [turn.timings(yards) for turn in turns]


class _Turns:
    """One bench among others: its measurements, round by round."""

    def __init__(self, bench: Bench, frames: Sequence[Frame], interval_s: float) -> None:
        image = bench.model.manifest.input
        self._bench, self._frames, self._interval_s = bench, frames, interval_s
        self._still = place(image.width, image.height, None, width=image.width, height=image.height, channels=image.channels)
        self._placed = np.empty((image.height, image.width, image.channels), np.uint8)
        self._shown = 0
        self._rounds: list[list[tuple[int, ...]]] = []

    def take(self, count: int, *, kept: bool) -> None:
        """Time so many frames; a round of their own where they are kept."""
        rows = [self._row() for _ in range(count)]
        if kept:
            self._rounds.append(rows)

    def timings(self, yardstick_ms: list[float]) -> Timings:
        """All of it."""
        columns = np.array([row for rows in self._rounds for row in rows], np.float64).T / 1e6
        total, stages = columns[0], dict(zip(STAGES, columns[1:], strict=True))
        return Timings(
            frames=len(total),
            frame_to_verdict_ms=spread(total),
            engine_ms=spread(stages["infer"]),
            everything_but_engine_ms=spread(total - stages["infer"]),
            stages_ms={name: spread(values) for name, values in stages.items()},
            jitter_ms=jitter_ms(total),
            throughput_per_s={"frames": per_second(total), "bare_engine": per_second(stages["infer"])},
            outliers=outliers(total),
            rounds_ms={"frame_to_verdict": self._by_round(total), "engine": self._by_round(stages["infer"])},
            yardstick_ms=yardstick_ms,
        )

    def _row(self) -> tuple[int, ...]:
        """Durations of one frame [ns]: in all, and by stage."""
        bench, frame = self._bench, self._frames[self._shown % len(self._frames)]
        self._shown += 1
        looks = bench.inspector.looks(frame)
        time.sleep(self._interval_s)
        started = time.perf_counter_ns()
        finding = bench.inspector.inspect(frame)
        inspected = time.perf_counter_ns()
        for placement in looks:
            warp(frame.pixels, placement, out=self._placed)
        warped = time.perf_counter_ns()
        for _ in looks:
            bench.runtime.infer(self._placed, self._still)
        inferred = time.perf_counter_ns()
        spent = finding.latency
        return inspected - started, spent.place, warped - inspected, inferred - warped, spent.find, spent.decide

    def _by_round(self, values: Durations) -> list[list[float]]:
        ends = np.cumsum([len(rows) for rows in self._rounds])[:-1]
        return [part.round(4).tolist() for part in np.split(values, ends)]


def soak(bench: Bench, frames: Sequence[Frame], count: int, *, settled: int = SETTLED_FRAMES, progress: Progress = _silent) -> Memory:
    """Inspect `count` frames and compare the memory at the end with that after the first `settled`.

    Raises:
        ValueError: `count` does not go beyond `settled`.
    """
    if count <= settled:
        raise ValueError(f"a soak of {count} frames ends before memory has settled; take more than {settled}")
    resident: list[int] = []
    for number in range(1, count + 1):
        bench.inspector.inspect(frames[number % len(frames)])
        progress("soaking", number, count)
        if number in {settled, count}:
            resident.append(resident_bytes())
    before, after = resident
    return Memory(
        settled_frames=settled,
        frames=count,
        settled_mb=round(before / 1e6, 3),
        final_mb=round(after / 1e6, 3),
        growth_percent=round(100 * (after - before) / before, 3),
    )


def _thresholds_of(recipe: Recipe, model: ModelFolder) -> Thresholds:
    return load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)


def _thresholds(model: ModelFolder) -> Thresholds:
    golden = model.load_golden()
    scores = golden.scores
    return Thresholds(
        image_threshold=float(np.median(scores)),
        pixel_threshold=float(np.percentile(golden.maps, 99)),
        engine_sha256=model.engine_sha256,
        recipe_sha256="",
        rule="median and 99 % of the golden frames",
        promise="none: for timing only",
        sample=Sample(
            images=len(scores), fingerprint="", minimum=float(scores.min()), median=float(np.median(scores)), maximum=float(scores.max())
        ),
        made_at=datetime.now(timezone.utc),
        software=f"edge-inspect {__version__}",
    )
