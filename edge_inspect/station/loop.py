"""From trigger to verdict, part by part, in one thread: grab and emit around `Inspector.inspect`.

What goes wrong with one part is that part's FAULT; what goes wrong with a device is an alarm, and the device is tried again
for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from collections.abc import Sequence as Several
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Event

from edge_inspect.acceptance import ACCEPTANCE_FILE, write_acceptance
from edge_inspect.config import Station as Settings
from edge_inspect.datatypes import Frame, Inspection, PlcRequest, RequestKind
from edge_inspect.errors import CameraError, ConfigError, EdgeInspectError, FrameLost, PlcError
from edge_inspect.guard import Guard, open_guard
from edge_inspect.inspector import Inspector, open_inspector
from edge_inspect.protocols import Camera, MayBeAway, Output, Plc
from edge_inspect.service.live import LiveStatus
from edge_inspect.service.sequence import Sequence
from edge_inspect.station.delivery import Delivery
from edge_inspect.station.inspections import Trigger, fault, inspection_from_finding, trigger_from_request
from edge_inspect.station.jobs import JobChange
from edge_inspect.station.promised import Promised
from edge_inspect.station.thresholds_watch import TAKEN_OVER_FILE, ThresholdsWatch

log = logging.getLogger(__name__)

IDLE_S = 0.1
"""Longest wait for a trigger before the loop looks whether it must stop [s]."""

REFUSED_S = 0.01
"""Pause after a device has refused at once, so that the loop does not spin [s]."""

LARGEST_GAP = 1000
"""A jump of the camera's count beyond this is a camera that counts anew, not a thousand lost parts."""


class Station:
    """Serves one camera and one PLC wire."""

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
        promised: Promised | None = None,
    ) -> None:
        self._settings = settings
        self._camera = camera
        self._opened = ExitStack()
        self._inspector = self._opened.enter_context(inspector)
        self._plc = plc
        self._status = status
        self._delivery = Delivery(plc=plc, outputs=outputs, status=status, promised=promised or Promised(None, station=settings.name))
        self._sequence = sequence
        self._deadline_ns = int(settings.deadline_ms * 1e6)
        self._seen: int | None = None
        self._beside = not settings.runtime.options.get("in_process", False)  # such an engine belongs to the thread that opened it
        self._jobs = JobChange(self._open_job, beside=self._beside)
        self._guard: Guard | None = None
        self._unwritten = ""  # why the acceptance of what serves is not written down
        self._job = next((job for job, recipe in settings.jobs.items() if recipe == settings.recipe), 0)

    def run(self, stop: Event, *, reread: Event | None = None) -> None:
        """Serve until `stop` is set; then finish the part in flight and what the PLC has already triggered.

        Args:
            stop: set to end.
            reread: set to have the thresholds looked at between this part and the next, whether their file has changed or not.
        """
        required = self._settings.acceptance == "required"
        watch = ThresholdsWatch(self._settings.data / TAKEN_OVER_FILE, required=required, asked=reread)
        follow = self._follow_plc if self._settings.trigger == "plc" else self._follow_camera
        self._unwritten = self._write_acceptance(self._inspector)
        self._show_what_serves()
        self._plc.answer(PlcRequest(kind=RequestKind.JOB_CHANGE, received_ns=time.monotonic_ns(), job=self._job), job=self._job)
        try:
            if self._camera_is_up(stop):
                self._plc.ready(True)
                self._status.state("ready")
            while not stop.is_set():
                follow()
                self._look_for_thresholds(watch)
                self._take_next_job()
                self._status.beat()
        finally:
            self._plc.ready(False, "the station is stopping")
            self._status.state("stopping")
            self._serve_what_is_asked()
            self._jobs.close()
            self._opened.close()
            self._status.state("stopped")

    def _camera_is_up(self, stop: Event) -> bool:
        """Wait for a camera that connects by itself; False where `stop` came first."""
        while isinstance(self._camera, MayBeAway) and (reason := self._camera.away):
            self._delivery.alarm("camera", reason)
            self._serve_what_is_asked()
            self._status.beat()
            if stop.wait(IDLE_S):
                return False
        self._delivery.alarm("camera", "")
        return True

    # where parts come from

    def _follow_plc(self) -> None:
        request = self._poll(IDLE_S)
        if request is not None:
            self._serve(request)
        elif isinstance(self._camera, MayBeAway):
            self._delivery.alarm("camera", self._camera.away)

    def _follow_camera(self) -> None:
        self._serve_what_is_asked()
        try:
            frame = self._grab(IDLE_S)
        except FrameLost as lost:
            self._fault_gap(lost.sequence)
            self._fault_unseen(str(lost), part_id=lost.part_id)
        except CameraError as error:
            self._delivery.alarm("camera", str(error))
            time.sleep(REFUSED_S)
        else:
            if frame is not None:
                self._fault_gap(frame.sequence)
                trigger = self._announce(frame.exposed_ns)
                inspection = self._inspect(frame, trigger)
                self._delivery.deliver(inspection, trigger)
                self._guarded(inspection)

    def _serve_what_is_asked(self) -> None:
        while (request := self._poll(0)) is not None:
            self._serve(request)

    def _serve(self, request: PlcRequest) -> None:
        if request.kind is RequestKind.TRIGGER:
            trigger = self._noted(trigger_from_request(request, sequence=self._count()))
            inspection = self._expose(trigger)
            self._delivery.deliver(inspection, trigger)
            self._guarded(inspection)
        elif request.kind is RequestKind.MISSED:
            trigger = trigger_from_request(request, sequence=self._count())
            self._delivery.record(fault(trigger, self._inspector, "the PLC triggered while the station was not ready"))
        elif request.kind is RequestKind.JOB_CHANGE:
            self._change_job(request)
        else:
            log.info("the PLC has cleared the error")

    def _poll(self, timeout_s: float) -> PlcRequest | None:
        try:
            request = self._plc.poll(timeout_s)
        except PlcError as error:
            self._delivery.alarm("plc", str(error))
            time.sleep(REFUSED_S)
            return None
        self._delivery.alarm("plc", "")
        return request

    def _grab(self, timeout_s: float) -> Frame | None:
        frame = self._camera.grab(timeout_s)
        self._delivery.alarm("camera", "")
        return frame

    def _expose(self, trigger: Trigger) -> Inspection:
        """One part that the PLC has triggered."""
        left_s = max(0.0, -trigger.late_ms / 1e3)
        try:
            frame = self._grab(left_s)
        except FrameLost as lost:
            return fault(trigger, self._inspector, str(lost), part_id=lost.part_id)
        except CameraError as error:
            self._delivery.alarm("camera", str(error))
            return fault(trigger, self._inspector, str(error))
        self._plc.exposed(trigger.acquisition)
        if frame is None:
            return fault(trigger, self._inspector, f"the camera gave no frame within {left_s * 1e3:.0f} ms; check its trigger and exposure")
        return self._inspect(frame, trigger)

    def _announce(self, exposed_ns: int) -> Trigger:
        """One part that the camera saw by itself."""
        deadline_ns = exposed_ns + self._deadline_ns
        acquisition = self._plc.begin(deadline_ns)
        return self._noted(Trigger(sequence=self._count(), acquisition=acquisition, received_ns=exposed_ns, deadline_ns=deadline_ns))

    def _noted(self, trigger: Trigger) -> Trigger:
        """What is recorded of this part should the station be killed now."""
        self._delivery.expect(fault(trigger, self._inspector, "the station ended before the verdict stood"))
        return trigger

    def _fault_gap(self, arrived: int) -> None:
        """A gap in the camera's count is so many parts that nobody saw."""
        expected = arrived if self._seen is None else self._seen + 1
        self._seen = arrived
        if 0 < arrived - expected <= LARGEST_GAP:
            for lost in range(expected, arrived):
                self._fault_unseen(f"exposure {lost} of the camera was lost; check its link")
        elif arrived != expected:
            log.warning("the camera's count jumped from %d to %d: it counts anew", expected - 1, arrived)

    def _fault_unseen(self, reason: str, *, part_id: str = "") -> None:
        trigger = self._announce(time.monotonic_ns())
        self._delivery.deliver(fault(trigger, self._inspector, reason, part_id=part_id), trigger)

    def _count(self) -> int:
        sequence = self._sequence.next()
        self._delivery.alarm("count", self._sequence.alarm)
        return sequence

    # from a frame to a verdict

    def _inspect(self, frame: Frame, trigger: Trigger) -> Inspection:
        try:
            finding = self._inspector.inspect(frame)
        except EdgeInspectError as error:
            return fault(trigger, self._inspector, str(error), part_id=frame.part_id, taken_at=frame.taken_at)
        return inspection_from_finding(finding, frame, trigger, self._inspector)

    # another part on the same line

    def _change_job(self, request: PlcRequest) -> None:
        if self._jobs.under_way:
            self._plc.answer(request, job=self._job, error="another job change is under way; ask again when it is done")
            return
        if not self._beside:
            self._plc.ready(False, f"job {request.job} is being opened")
        self._jobs.start(request)

    def _take_next_job(self) -> None:
        """Between two parts: the engine that is ready takes over, or the old one goes on and the PLC is told why."""
        job = self._jobs.take()
        if job is None:
            return
        if job.inspector is None:
            self._delivery.alarm("job", job.error)
            self._plc.answer(job.request, job=self._job, error=job.error)
            self._plc.ready(True)
            return
        self._swap(job.request, job.inspector, job.opened)
        self._show_what_serves()

    def _swap(self, request: PlcRequest, inspector: Inspector, opened: ExitStack) -> None:
        started = time.monotonic_ns()
        self._plc.ready(False, f"job {request.job} takes over")
        self._serve_what_is_asked()  # accepted before Ready fell: a part of the old job
        before = self._opened
        self._opened, self._inspector, self._job = opened, inspector, request.job
        self._plc.answer(request, job=self._job)
        self._plc.ready(True)
        log.info("job %d runs: %s; Ready was off for %.2f ms", self._job, inspector.recipe.part, (time.monotonic_ns() - started) / 1e6)
        self._jobs.give_up(before)

    @contextmanager
    def _open_job(self, job: int) -> Iterator[Inspector]:
        """Open a job and write down its acceptance, all beside the line: after the swap no part waits for a disk."""
        if job not in self._settings.jobs:
            known = ", ".join(map(str, sorted(self._settings.jobs))) or "none"
            raise PlcError(f"job {job} is not in the station file, which has {known}; add it to `jobs`")
        recipe = self._settings.jobs[job]
        required, key = self._settings.acceptance == "required", self._settings.public_key
        with open_inspector(recipe, self._settings.runtime, base=recipe.parent, accepted_before=required, public_key=key) as inspector:
            self._unwritten = self._write_acceptance(inspector)
            yield inspector

    def _open_guard(self) -> Guard | None:
        """The guard of what serves now, where the station file asks for one; why there is none is an alarm."""
        if not self._settings.guard:
            return None
        try:
            guard = open_guard(self._inspector.recipe)
        except ConfigError as error:
            self._delivery.alarm("guard", str(error))
            return None
        self._delivery.alarm("guard", "")
        return guard

    def _guarded(self, inspection: Inspection) -> None:
        """Hold a part whose verdict has been delivered against the calibration: an alarm at most."""
        if self._guard is not None:
            self._delivery.alarm("guard", self._guard.note(inspection))

    def _look_for_thresholds(self, watch: ThresholdsWatch) -> None:
        """Between two parts: no part is held against a mixture of old and new ones."""
        said = watch.look(self._inspector)
        if said is not None:
            self._delivery.alarm("thresholds", said)
            self._guard = self._open_guard()
            self._tell_what_serves()

    def _show_what_serves(self) -> None:
        self._delivery.alarm("job", "")
        self._delivery.alarm("acceptance", self._unwritten)
        self._guard = self._open_guard()
        self._tell_what_serves()

    def _tell_what_serves(self) -> None:
        self._status.serving(
            self._inspector.recipe,
            engine_sha256=self._inspector.model.engine_sha256,
            calibration_id=self._inspector.calibration_id,
        )

    def _write_acceptance(self, inspector: Inspector) -> str:
        """Write down on what the engine was accepted as it was opened; why it cannot be written, or ""."""
        try:
            write_acceptance(self._settings.data / ACCEPTANCE_FILE, inspector.binding, inspector.acceptance)
        except ConfigError as error:
            return str(error)
        return ""
