"""Milliseconds from a frame to its verdict on this device, by stage; memory over many frames; time until ready.

It runs `inspector.inspect`, the very code of the line, without camera and PLC. The frames are the golden frames enlarged
to the camera's size, so that the score map looks like those of real parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from edge_inspect import __version__
from edge_inspect.acceptance import Acceptance, accept, bind
from edge_inspect.config import PluginBlock, Recipe
from edge_inspect.datatypes import Frame, UInt8Image
from edge_inspect.field.device import resident_bytes
from edge_inspect.geometry import place, warp
from edge_inspect.inspector import Inspector
from edge_inspect.model_folder import ModelFolder
from edge_inspect.plugins import prepare, served
from edge_inspect.protocols import Runtime
from edge_inspect.service.machine import device
from edge_inspect.thresholds import Sample, Thresholds

WARM_UP_FRAMES = 20
SETTLED_FRAMES = 2_000
"""Frames until every buffer and cache has its size; memory is compared with what it was then."""

STAGES = ("place", "warp", "infer", "find", "decide")
Spread = dict[str, float]
"""p50, p95, p99 and max of a duration [ms]."""

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
    """What `measure` measured, over all frames.

    Attributes:
        frames: how many frames, the warm-up not counted.
        frame_to_verdict_ms: `inspect`, all of it.
        engine_ms: the engine on an image that is already placed; its input and answers are copied in and out.
        everything_but_engine_ms: the difference of the two, frame by frame.
        stages_ms: place (find the placement), warp (crop, scale, turn), infer (= engine), find, decide.
    """

    frames: int
    frame_to_verdict_ms: Spread
    engine_ms: Spread
    everything_but_engine_ms: Spread
    stages_ms: dict[str, Spread]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory [MB] after `settled_frames` and after `frames`, and its growth between them [%]."""

    settled_frames: int
    frames: int
    settled_mb: float
    final_mb: float
    growth_percent: float


@contextmanager
def open_bench(model: ModelFolder, runtime: PluginBlock) -> Iterator[Bench]:
    """Open the engine as a station would, for a recipe without masks over the whole frame.

    The thresholds are taken from the golden frames: their median image score, and the pixel score that one cell in a
    hundred exceeds, so that some parts are NG and have regions to find.

    Raises:
        PluginError: the runtime is not installed.
        ConfigError: the runtime has no such option.
        EngineError: the engine does not open, or does not agree with its golden frames.
    """
    thresholds = _thresholds(model)
    recipe = Recipe(part="bench", engine=model.path)
    model, block = served(model, runtime)
    with prepare("runtimes", block, base=Path.cwd(), given={"model": model})() as opened:
        # The golden median lies between golden frames, some of them next to it: no verdict is compared with it.
        acceptance = accept(opened, model, image_threshold=None)
        inspector = Inspector(
            recipe=recipe,
            model=model,
            thresholds=thresholds,
            runtime=opened,
            acceptance=acceptance,
            binding=bind(model, opened, kind=block.kind, device=device(), thresholds=thresholds),
        )
        yield Bench(model=model, runtime=opened, inspector=inspector, acceptance=acceptance)


def make_frames(model: ModelFolder, width: int, height: int, channels: int) -> tuple[Frame, ...]:
    """The golden frames at the camera's size [px] and in its channels, 1 or 3."""
    return tuple(_frame(image, number, width, height, channels) for number, image in enumerate(model.load_golden().images))


def measure(bench: Bench, frames: Sequence[Frame], count: int, *, interval_s: float = 0.0, progress: Progress = _silent) -> Timings:
    """Inspect `count` frames after a warm-up, and after each one time its warp and its engine alone.

    `interval_s` [s] is waited before each frame: at line pace caches go cold, and the line is slower than in a tight loop.

    What is compared is interleaved: a clock that changes or a busy neighbour hits all of it alike. `progress` is called
    between the frames, and what it takes is not counted.
    """
    image = bench.model.manifest.input
    still = place(image.width, image.height, None, width=image.width, height=image.height, channels=image.channels)
    placed = np.empty((image.height, image.width, image.channels), np.uint8)
    rows: list[tuple[int, ...]] = []
    for number in range(WARM_UP_FRAMES + count):
        frame = frames[number % len(frames)]
        placement, _ = bench.inspector.view(frame)
        time.sleep(interval_s)
        started = time.perf_counter_ns()
        finding = bench.inspector.inspect(frame)
        inspected = time.perf_counter_ns()
        warp(frame.pixels, placement, out=placed)
        warped = time.perf_counter_ns()
        bench.runtime.infer(placed, still)
        inferred = time.perf_counter_ns()
        spent = finding.latency
        progress("timing", number + 1, WARM_UP_FRAMES + count)
        rows.append((inspected - started, spent.place, warped - inspected, inferred - warped, spent.find, spent.decide))
    columns = np.array(rows[WARM_UP_FRAMES:], np.float64).T / 1e6
    total, stages = columns[0], dict(zip(STAGES, columns[1:], strict=True))
    return Timings(
        frames=count,
        frame_to_verdict_ms=_spread(total),
        engine_ms=_spread(stages["infer"]),
        everything_but_engine_ms=_spread(total - stages["infer"]),
        stages_ms={name: _spread(values) for name, values in stages.items()},
    )


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


def _spread(durations_ms: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Spread:
    values = np.percentile(durations_ms, (50, 95, 99, 100))
    return {name: round(float(value), 4) for name, value in zip(("p50", "p95", "p99", "max"), values, strict=True)}


def _frame(image: UInt8Image, number: int, width: int, height: int, channels: int) -> Frame:
    if image.shape[2] != channels:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY), np.uint8)
    pixels = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8).reshape(height, width, channels)
    pixels.setflags(write=False)
    now = datetime.now(timezone.utc)
    return Frame(pixels=pixels, sequence=number, exposed_ns=time.monotonic_ns(), taken_at=now, camera="bench")


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
