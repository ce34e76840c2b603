"""From trigger to verdict, part by part, in one thread: grab and emit around `Inspector.inspect`.

What goes wrong with one part is that part's FAULT; what goes wrong with a device is an alarm, and the device is tried again
for ever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence as Several
from contextlib import AbstractContextManager
from threading import Event

from edge_inspect.audit import AuditRecord
from edge_inspect.config import Station as Settings
from edge_inspect.datatypes import Frame, Inspection, PlcRequest, RequestKind
from edge_inspect.errors import CameraError, EdgeInspectError, FrameLost, PlcError
from edge_inspect.inspector import Inspector
from edge_inspect.protocols import Camera, FailsSafe, MayBeAway, Output, Plc, note_nothing
from edge_inspect.service.live import LiveStatus
from edge_inspect.service.sampling import Sampler
from edge_inspect.service.sequence import Sequence
from edge_inspect.station.delivery import Delivery
from edge_inspect.station.gate_watch import GateWatch
from edge_inspect.station.inspections import OUT_OF_MEMORY, Trigger, fault, inspection_from_finding, trigger_from_request
from edge_inspect.station.promised import Promised
from edge_inspect.station.serving import Serving

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
        audit: AuditRecord | None = None,
        gate: GateWatch | None = None,
    ) -> None:
        self._settings = settings
        self._camera = camera
        self._plc = plc
        self._status = status
        self._delivery = Delivery(plc=plc, outputs=outputs, status=status, promised=promised or Promised(None, station=settings.name))
        self._sequence = sequence
        self._gate = gate or GateWatch(None, data=settings.data, status=status)
        self._deadline_ns = int(settings.deadline_ms * 1e6)
        self._seen: int | None = None
        self._waits = False  # for a frame
        self._audit = audit
        self._sampler = Sampler(settings.data)
        self._serving = Serving(
            settings=settings,
            inspector=inspector,
            plc=plc,
            delivery=self._delivery,
            status=status,
            note=note_nothing if audit is None else audit.note,
            finish=self._serve_what_is_asked,
        )

    @property
    def _inspector(self) -> Inspector:
        return self._serving.inspector

    def run(self, stop: Event, *, reread: Event | None = None) -> None:
        """Serve until `stop` is set; then finish the part in flight and what the PLC has already triggered.

        Args:
            stop: set to end.
            reread: set to have the thresholds looked at between this part and the next, whether their file has changed or not.
        """
        follow = self._follow_plc if self._settings.trigger == "plc" else self._follow_camera
        self._serving.begin(reread=reread)
        self._delivery.alarm("count", self._sequence.alarm)
        try:
            if self._camera_is_up(stop):
                self._serving.ready()
            while not stop.is_set():
                follow()
                self._delivery.catch_up()
                self._serving.look()
                self._look_at_audit()
                self._sampler.look()
                self._gate.look(self._delivery.alarm)
                self._status.beat()
        finally:
            self._plc.ready(False, "the station is stopping")
            self._status.state("stopping")
            self._serve_what_is_asked()
            self._gate.fail_safe()
            self._gate.look(self._delivery.alarm)
            self._serving.close()
            self._status.state("stopped")

    def fail_safe(self) -> None:
        """Outputs that would stay as they are when the process ends: the gate rejects, a wire's lines are off. Called in any thread."""
        self._gate.fail_safe()
        if isinstance(self._plc, FailsSafe):
            self._plc.fail_safe()

    def wait_no_longer(self) -> None:
        """Give up a frame that is being waited for; called in the loop's own thread, by a signal, once the station is to stop.

        Raises:
            CameraError: out of the camera's `grab`, which makes the part a FAULT; nothing where no frame is waited for.
        """
        if self._waits:
            raise CameraError("no frame had come when the station was stopped")

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
                self._deliver(self._inspect(frame, trigger), trigger)

    def _serve_what_is_asked(self) -> None:
        while (request := self._poll(0)) is not None:
            self._serve(request)

    def _serve(self, request: PlcRequest) -> None:
        if request.kind is RequestKind.TRIGGER:
            trigger = self._noted(trigger_from_request(request, sequence=self._count()))
            self._deliver(self._expose(trigger), trigger)
        elif request.kind is RequestKind.MISSED:
            trigger = trigger_from_request(request, sequence=self._count())
            self._delivery.record(fault(trigger, self._inspector, "the PLC triggered while the station was not ready"))
        elif request.kind is RequestKind.JOB_CHANGE:
            self._serving.change(request)
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
        self._waits = True
        try:
            frame = self._camera.grab(timeout_s)
        except MemoryError as error:
            raise CameraError(f"no frame could be taken: {OUT_OF_MEMORY}") from error
        finally:
            self._waits = False
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
            self._gate.lost("the camera counts anew, and parts may have passed it unseen")

    def _fault_unseen(self, reason: str, *, part_id: str = "") -> None:
        self._gate.lost(f"a part passed the camera at an unknown time: {reason}")
        trigger = self._announce(time.monotonic_ns())
        self._deliver(fault(trigger, self._inspector, reason, part_id=part_id), trigger)

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
        except MemoryError:
            self._delivery.alarm("memory", OUT_OF_MEMORY)
            return fault(trigger, self._inspector, OUT_OF_MEMORY, part_id=frame.part_id, taken_at=frame.taken_at)
        self._delivery.alarm("memory", "")
        return inspection_from_finding(finding, frame, trigger, self._inspector)

    def _deliver(self, inspection: Inspection, trigger: Trigger) -> None:
        """Tell PLC and records what may be said of the part; then whoever watches the line, or shows it golden parts."""
        told = self._serving.told(inspection)
        self._delivery.deliver(told, trigger)
        if self._serving.delivered(inspection):
            self._sampler.note(inspection)

    def _look_at_audit(self) -> None:
        if self._audit is not None:
            self._delivery.alarm("audit record", self._audit.alarm)
