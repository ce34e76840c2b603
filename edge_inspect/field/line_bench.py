"""A whole station timed: the loop, the engine, the records and a wire of its own, with frames from memory at the pace of a line.

Nothing of the real station is touched: records go to a folder that is gone afterwards, the wire listens on a free port of this
machine, and outputs that would send something elsewhere are left out, by name.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np

from edge_inspect.config import OutputBlock, PluginBlock, load_station
from edge_inspect.config import Station as Settings
from edge_inspect.datatypes import Frame, Inspection, Verdict
from edge_inspect.field.device import resident_bytes
from edge_inspect.field.spreads import Spread, jitter_ms, spread
from edge_inspect.inspector import open_inspector
from edge_inspect.outputs.background import run_in_background
from edge_inspect.plc.modbus import open_modbus
from edge_inspect.plc.unwired import Unwired
from edge_inspect.plugins import prepare
from edge_inspect.protocols import Output, Plc
from edge_inspect.service.live import open_status
from edge_inspect.service.sequence import Sequence as Count
from edge_inspect.station import Station

WARM_UP_PARTS = 20
STAGES = ("wait", "place", "infer", "find", "decide", "emit", "record")
KEPT_HERE = ("jsonl", "database", "images")
"""Outputs that write files, and so can be led to another folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTimings:
    """A station at work.

    Attributes:
        parts: how many, the warm-up not counted.
        rate_per_s: at which parts came; None as fast as the station took them.
        deadline_ms: the station's [ms].
        missed: verdicts that came too late, each a FAULT.
        faults: parts not inspected for another reason.
        exposure_to_plc_ms: from exposure until the wire had the result.
        stages_ms: wait, place, infer (the warp is in it), find, decide, emit (the PLC), record (the outputs).
        jitter_ms: mean difference of `exposure_to_plc` from one part to the next [ms].
        throughput_per_s: parts a second.
        resident_mb: memory of the process at the end [MB].
        left_out: kinds of outputs that were not opened.
    """

    parts: int
    rate_per_s: float | None
    deadline_ms: float
    missed: int
    faults: int
    exposure_to_plc_ms: Spread
    stages_ms: dict[str, Spread]
    jitter_ms: float
    throughput_per_s: float
    resident_mb: float
    left_out: tuple[str, ...]


def measure_line(
    station_file: Path, frames: Sequence[Frame], count: int, *, runtime: PluginBlock | None = None, rate_per_s: float | None = None
) -> LineTimings:
    """Let a station inspect `count` parts after a warm-up.

    Args:
        station_file: `station.yaml`.
        frames: shown in turn; of the station's size.
        count: how many parts are timed.
        runtime: in place of the station's own.
        rate_per_s: parts a second; None exposes when the station is free.

    Raises:
        ConfigError, PluginError, EngineError, PlcError, OutputError: the station cannot be opened.
    """
    settings, base = load_station(station_file), station_file.resolve().parent
    if runtime is not None:
        settings = settings.model_copy(update={"runtime": runtime})
    done = Event()
    camera = _Frames(frames, WARM_UP_PARTS + count, rate_per_s, done)
    with (
        # a picture that is still being packed then may write into it while it goes
        tempfile.TemporaryDirectory(prefix="edge-inspect-line-", ignore_cleanup_errors=True) as folder,
        _opened(settings, base, Path(folder), camera) as (station, watch),
    ):
        station.run(done)
    return watch.timings(settings.deadline_ms, rate_per_s)


class _Frames:
    """A camera that shows frames from memory, at a fixed rate or at once, and ends the run after the last one."""

    def __init__(self, frames: Sequence[Frame], count: int, rate_per_s: float | None, done: Event) -> None:
        self._frames, self._count, self._done = frames, count, done
        self._period_ns = 0 if rate_per_s is None else round(1e9 / rate_per_s)
        self._shown, self._due_ns = 0, 0

    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame when it is due; one that the station was too busy for has waited since then."""
        if self._shown == self._count:
            self._done.set()
            return None
        now_ns = time.monotonic_ns()
        self._due_ns = self._due_ns or now_ns
        left_s = (self._due_ns - now_ns) / 1e9
        time.sleep(min(max(left_s, 0.0), timeout_s))
        if left_s > timeout_s:
            return None
        exposed_ns = self._due_ns if self._period_ns else time.monotonic_ns()
        self._due_ns += self._period_ns
        self._shown += 1
        return replace(self._frames[self._shown % len(self._frames)], sequence=self._shown, exposed_ns=exposed_ns)


class _Watch:
    """Stands first and last among the outputs, and keeps what each inspection took."""

    def __init__(self) -> None:
        self._emitted: list[tuple[Inspection, int]] = []
        self._recorded_ns: list[int] = []
        self.left_out: tuple[str, ...] = ()

    def emit(self, inspection: Inspection) -> None:
        """First: the PLC has it now."""
        self._emitted.append((replace(inspection, evidence=None), time.monotonic_ns()))

    def last(self) -> _Last:
        """The output that stands behind all others."""
        return _Last(self._recorded_ns)

    def timings(self, deadline_ms: float, rate_per_s: float | None) -> LineTimings:
        """All of it, without the warm-up."""
        kept = list(zip(self._emitted, self._recorded_ns, strict=True))[WARM_UP_PARTS:]
        rows = [
            (latency.verdict + latency.emit, *(getattr(latency, stage) for stage in STAGES[:-1]), recorded_ns - emitted_ns)
            for (inspection, emitted_ns), recorded_ns in kept
            for latency in (inspection.latency,)
        ]
        total, *stages = np.array(rows, np.float64).T / 1e6
        faults = [inspection.reason for (inspection, _), _ in kept if inspection.verdict is Verdict.FAULT]
        missed = sum(reason.startswith("too late") for reason in faults)
        took_s = (kept[-1][1] - self._recorded_ns[WARM_UP_PARTS - 1]) / 1e9
        return LineTimings(
            parts=len(kept),
            rate_per_s=rate_per_s,
            deadline_ms=deadline_ms,
            missed=missed,
            faults=len(faults) - missed,
            exposure_to_plc_ms=spread(total),
            stages_ms={name: spread(values) for name, values in zip(STAGES, stages, strict=True)},
            jitter_ms=jitter_ms(total),
            throughput_per_s=round(len(kept) / took_s, 2),
            resident_mb=round(resident_bytes() / 1e6, 1),
            left_out=self.left_out,
        )


class _Last:
    """Notes when all records of a part were written."""

    def __init__(self, recorded_ns: list[int]) -> None:
        self._recorded_ns = recorded_ns

    def emit(self, inspection: Inspection) -> None:  # noqa: ARG002 - the door's signature
        """Now."""
        self._recorded_ns.append(time.monotonic_ns())


@contextmanager
def _opened(settings: Settings, base: Path, folder: Path, camera: _Frames) -> Iterator[tuple[Station, _Watch]]:
    """The station with its records led to `folder`, and the watch among them."""
    watch = _Watch()
    here = [block for block in settings.outputs if block.kind in KEPT_HERE]
    watch.left_out = tuple(block.kind for block in settings.outputs if block.kind not in KEPT_HERE)
    with ExitStack() as stack:
        plc: Plc = stack.enter_context(open_modbus(deadline_ms=settings.deadline_ms, port=0)) if settings.plc else Unwired()
        outputs = [(block.kind, _open(_led_to(folder, block, number), settings.name, stack)) for number, block in enumerate(here)]
        sequence = Count(folder / "sequence")
        stack.callback(sequence.close)
        yield (
            Station(
                settings=settings.model_copy(update={"trigger": "camera", "jobs": {}, "data": folder}),
                camera=camera,
                inspector=open_inspector(settings.recipe, settings.runtime, base=base, public_key=settings.public_key),
                plc=plc,
                outputs=[("watch", watch), *outputs, ("watch", watch.last())],
                status=open_status(folder, station=settings.name),
                sequence=sequence,
            ),
            watch,
        )


def _led_to(folder: Path, block: OutputBlock, number: int) -> OutputBlock:
    """The same output, writing into the folder."""
    options = {**block.options, "path": str(folder / f"{number}-{block.kind}")}
    return OutputBlock.model_validate({"kind": block.kind, "background": block.background, **options})


def _open(block: OutputBlock, station: str, stack: ExitStack) -> Output:
    opened = prepare("outputs", block, base=Path.cwd(), given={"station": station})()
    if block.background is None:
        output: Output = stack.enter_context(opened)
        return output
    behind = block.background
    return stack.enter_context(run_in_background(opened, queue=behind.queue, queue_mb=behind.queue_mb, name=block.kind))
