"""The loop: exactly one verdict for every trigger, in time. Grab and emit around `Inspector.inspect`.

`open_station` opens camera, engine, PLC wire and records of one station file; `Station.run` serves until it is told to
stop. What goes wrong with one part is that part's FAULT; what goes wrong with a device is an alarm, and the device is
tried again for ever.

Order of one part: the PLC first, since the reject gate waits for it; then the records, in the order of the file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Several
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from threading import Event
from typing import Any

from edge_inspect.config import OutputBlock, PluginBlock, load_station
from edge_inspect.config import Station as Settings
from edge_inspect.datatypes import Evidence, Frame, Inspection, Latency, PlcRequest, RequestKind, Verdict
from edge_inspect.errors import CameraError, ConfigError, DeadlineMissed, EdgeInspectError, FrameLost, OutputError, PlcError
from edge_inspect.inspector import Inspector, open_inspector
from edge_inspect.outputs.background import run_in_background
from edge_inspect.plc.unwired import Unwired
from edge_inspect.plugins import Door, prepare
from edge_inspect.protocols import Camera, Output, Plc
from edge_inspect.service.alone import hold_alone
from edge_inspect.service.live import LiveStatus, open_status
from edge_inspect.service.sequence import Sequence

log = logging.getLogger(__name__)

IDLE_S = 0.1
"""Longest wait for a trigger before the loop looks whether it must stop [s]."""

LARGEST_GAP = 1000
"""A jump of the camera's count beyond this is a camera that counts anew, not a thousand lost parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One part to give a verdict for.

    Attributes:
        acquisition: the PLC handshake's count, 0 where no PLC is wired.
        received_ns: when the part was triggered or exposed (monotonic clock) [ns].
        deadline_ns: when its verdict must stand (monotonic clock) [ns].
    """

    acquisition: int
    received_ns: int
    deadline_ns: int


class Station:
    """Serves one camera and one PLC wire, part by part, in one thread."""

    def __init__(
        self,
        *,
        settings: Settings,
        camera: Camera,
        inspector: AbstractContextManager[Inspector],
        plc: Plc,
        outputs: Several[tuple[str, Output]],
        status: LiveStatus,
        sequence: Sequence,
    ) -> None:
        self._settings = settings
        self._camera = camera
        self._opened = ExitStack()
        self._inspector = self._opened.enter_context(inspector)
        self._plc = plc
        self._outputs = outputs
        self._status = status
        self._sequence = sequence
        self._deadline_ns = int(settings.deadline_ms * 1e6)
        self._seen: int | None = None
        self._job = 0
        self._wait_for_part = self._follow_plc if settings.trigger == "plc" else self._follow_camera

    def run(self, stop: Event) -> None:
        """Serve until `stop` is set; then finish the part in flight and what the PLC has already triggered."""
        self._show_what_serves()
        self._status.state("ready")
        self._plc.ready(True)
        try:
            while not stop.is_set():
                self._wait_for_part()
                self._status.beat()
            self._finish()
        finally:
            self._plc.ready(False, "the station is stopping")
            self._opened.close()
            self._status.state("stopped")

    def _finish(self) -> None:
        self._plc.ready(False, "the station is stopping")
        if self._settings.trigger == "plc":
            while (request := self._poll(0)) is not None:
                self._serve(request)

    # where parts come from

    def _follow_plc(self) -> None:
        request = self._poll(IDLE_S)
        if request is not None:
            self._serve(request)

    def _follow_camera(self) -> None:
        while (request := self._poll(0)) is not None:
            self._serve(request)
        try:
            frame = self._grab(IDLE_S)
        except FrameLost as lost:
            self._fault_gap(lost.sequence)
            trigger = self._announce(time.monotonic_ns())
            self._deliver(self._fault(trigger, str(lost), part_id=lost.part_id), trigger)
        except CameraError as error:
            self._lose_camera(error)
        else:
            if frame is not None:
                self._fault_gap(frame.sequence)
                trigger = self._announce(frame.exposed_ns)
                self._deliver(self._inspect(frame, trigger), trigger)

    def _serve(self, request: PlcRequest) -> None:
        if request.kind is RequestKind.TRIGGER:
            trigger = Trigger(acquisition=request.acquisition, received_ns=request.received_ns, deadline_ns=request.deadline_ns)
            self._deliver(self._expose(trigger), trigger)
        elif request.kind is RequestKind.JOB_CHANGE:
            self._change_job(request)
        else:
            log.info("the PLC has cleared the error")

    def _poll(self, timeout_s: float) -> PlcRequest | None:
        try:
            request = self._plc.poll(timeout_s)
        except PlcError as error:
            self._alarm("plc", str(error))
            time.sleep(timeout_s)
            return None
        self._alarm("plc", "")
        return request

    def _grab(self, timeout_s: float) -> Frame | None:
        frame = self._camera.grab(timeout_s)
        self._alarm("camera", "")
        return frame

    def _expose(self, trigger: Trigger) -> Inspection:
        """One part that the PLC has triggered."""
        left_s = max(0.0, (trigger.deadline_ns - time.monotonic_ns()) / 1e9)
        try:
            frame = self._grab(left_s)
        except FrameLost as lost:
            return self._fault(trigger, str(lost), part_id=lost.part_id)
        except CameraError as error:
            self._alarm("camera", str(error))
            return self._fault(trigger, str(error))
        if frame is None:
            return self._fault(trigger, f"the camera gave no frame within {left_s * 1e3:.0f} ms; check its trigger and exposure")
        return self._inspect(frame, trigger)

    def _announce(self, exposed_ns: int) -> Trigger:
        """One part that the camera saw by itself."""
        deadline_ns = exposed_ns + self._deadline_ns
        return Trigger(acquisition=self._plc.begin(deadline_ns), received_ns=exposed_ns, deadline_ns=deadline_ns)

    def _fault_gap(self, arrived: int) -> None:
        """A gap in the camera's count is so many parts that nobody saw."""
        expected = arrived if self._seen is None else self._seen + 1
        self._seen = arrived
        if 0 < arrived - expected <= LARGEST_GAP:
            for lost in range(expected, arrived):
                trigger = self._announce(time.monotonic_ns())
                self._deliver(self._fault(trigger, f"exposure {lost} of the camera was lost; check its link"), trigger)
        elif arrived != expected:
            log.warning("the camera's count jumped from %d to %d: it counts anew", expected - 1, arrived)

    def _lose_camera(self, error: CameraError) -> None:
        self._alarm("camera", str(error))
        time.sleep(0.01)  # a camera that refuses at once must not make the loop spin

    # from a frame to a verdict

    def _inspect(self, frame: Frame, trigger: Trigger) -> Inspection:
        try:
            finding = self._inspector.inspect(frame)
        except EdgeInspectError as error:
            return self._fault(trigger, str(error), frame=frame, part_id=frame.part_id)
        inspection = replace(
            self._blank(trigger, frame.part_id),
            taken_at=frame.taken_at,
            verdict=finding.verdict,
            reason=finding.reason,
            score=finding.score,
            threshold=self._inspector.limits.image_threshold,
            regions=finding.regions,
            latency=finding.latency,
            evidence=Evidence(frame=frame, score_map=finding.scores.map, placement=finding.placement),
        )
        return self._late(inspection, trigger) if time.monotonic_ns() > trigger.deadline_ns else inspection

    def _fault(self, trigger: Trigger, reason: str, *, part_id: str = "", frame: Frame | None = None) -> Inspection:
        blank = replace(self._blank(trigger, part_id), reason=f"not inspected: {reason}")
        return blank if frame is None else replace(blank, taken_at=frame.taken_at)

    def _blank(self, trigger: Trigger, part_id: str) -> Inspection:
        """A FAULT with everything filled in that is known without a frame."""
        sequence = self._sequence.next()
        self._alarm("count", self._sequence.alarm)
        return Inspection(
            sequence=sequence,
            acquisition=trigger.acquisition,
            part_id=part_id,
            taken_at=datetime.now(timezone.utc),
            verdict=Verdict.FAULT,
            reason="not inspected",
            score=None,
            threshold=None,
            regions=(),
            recipe=self._inspector.recipe.part,
            engine_sha256=self._inspector.model.engine_sha256,
            calibration_id=self._inspector.thresholds.calibration_id,
            latency=Latency(wait=max(0, time.monotonic_ns() - trigger.received_ns)),
        )

    def _late(self, inspection: Inspection, trigger: Trigger) -> Inspection:
        """A verdict that came too late counts as none; what it would have been stays in the reason."""
        late_ms = (time.monotonic_ns() - trigger.deadline_ns) / 1e6
        return replace(
            inspection,
            verdict=Verdict.FAULT,
            reason=f"too late by {late_ms:.0f} ms (deadline {self._settings.deadline_ms:g} ms); would have been {inspection.reason}",
            score=None,
            threshold=None,
            regions=(),
        )

    # where verdicts go

    def _deliver(self, inspection: Inspection, trigger: Trigger) -> None:
        inspection = self._tell_plc(inspection, trigger)
        for name, output in self._outputs:
            self._record(name, output, inspection)
        self._status.note(inspection)

    def _tell_plc(self, inspection: Inspection, trigger: Trigger) -> Inspection:
        started = time.monotonic_ns()
        try:
            self._plc.emit(inspection)
            self._alarm("plc", "")
        except DeadlineMissed:
            inspection = inspection if inspection.verdict is Verdict.FAULT else self._late(inspection, trigger)
        except PlcError as error:
            self._alarm("plc", str(error))
        return replace(inspection, latency=replace(inspection.latency, emit=time.monotonic_ns() - started))

    def _record(self, name: str, output: Output, inspection: Inspection) -> None:
        try:
            output.emit(inspection)
            self._alarm(name, "")
        except OutputError as error:
            self._alarm(name, str(error))

    def _alarm(self, source: str, text: str) -> None:
        if self._status.alarm(source, text):
            log.warning("alarm: %s: %s", source, text or "over")

    # another part on the same line

    def _change_job(self, request: PlcRequest) -> None:
        recipe = self._settings.jobs.get(request.job)
        if recipe is None:
            known = ", ".join(map(str, sorted(self._settings.jobs))) or "none"
            return self._refuse_job(request, f"job {request.job} is not in the station file; it has {known}")
        try:
            beside = ExitStack()
            inspector = beside.enter_context(open_inspector(recipe, self._settings.runtime, base=recipe.parent))
        except EdgeInspectError as error:
            return self._refuse_job(request, str(error))
        self._opened.close()
        self._opened, self._inspector, self._job = beside, inspector, request.job
        self._show_what_serves()
        self._plc.answer(request, job=request.job)
        log.info("job %d runs: %s", request.job, inspector.recipe.part)
        return None

    def _refuse_job(self, request: PlcRequest, why: str) -> None:
        self._alarm("job", why)
        self._plc.answer(request, job=self._job, error=why)

    def _show_what_serves(self) -> None:
        self._alarm("job", "")
        self._status.serving(
            self._inspector.recipe,
            engine_sha256=self._inspector.model.engine_sha256,
            calibration_id=self._inspector.thresholds.calibration_id,
        )


@contextmanager
def open_station(path: Path) -> Iterator[Station]:
    """Open everything a station file names. Every mistake in the options is told before anything is opened.

    Raises:
        ConfigError: the files are wrong or do not belong together.
        PluginError: a kind is not installed.
        CameraError, EngineError, PlcError, OutputError: a device, the engine or a record cannot be opened.
    """
    settings = load_station(path)
    openers = prepare_station(settings, base=path.resolve().parent)
    status = open_status(settings.data, station=settings.name)
    with ExitStack() as stack:
        stack.enter_context(hold_alone(settings.data))
        status.state("starting")
        plc = stack.enter_context(openers.plc()) if openers.plc else Unwired()
        outputs = [(name, stack.enter_context(opener())) for name, opener in openers.outputs]
        sequence = Sequence(settings.data / "sequence")
        stack.callback(sequence.close)
        yield Station(
            settings=settings,
            camera=stack.enter_context(openers.camera()),
            inspector=open_inspector(settings.recipe, settings.runtime, base=path.resolve().parent),
            plc=plc,
            outputs=outputs,
            status=status,
            sequence=sequence,
        )


Opener = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Openers:
    """What a station file names, with its options checked; nothing is opened yet."""

    camera: Opener
    plc: Opener | None
    outputs: tuple[tuple[str, Opener], ...]


def prepare_station(settings: Settings, *, base: Path) -> Openers:
    """Find every plugin and check its options.

    Raises:
        ConfigError: all that is wrong with the options, a line each.
        PluginError: a kind is not installed.
    """
    problems: list[str] = []

    def checked(door: Door, block: PluginBlock, **given: object) -> Opener:
        try:
            return prepare(door, block, base=base, given=given)
        except ConfigError as error:
            problems.append(str(error))
            return nullcontext

    openers = Openers(
        camera=checked("cameras", settings.camera, name=settings.camera.kind),
        plc=settings.plc and checked("plc", settings.plc, deadline_ms=settings.deadline_ms),
        outputs=tuple(_opener(block, checked("outputs", block, station=settings.name)) for block in settings.outputs),
    )
    if problems:
        raise ConfigError("\n".join(problems))
    return openers


def _opener(block: OutputBlock, opener: Opener) -> tuple[str, Opener]:
    if block.background is None:
        return block.kind, opener
    queue = block.background.queue
    return block.kind, lambda: run_in_background(opener(), queue=queue, name=block.kind)
