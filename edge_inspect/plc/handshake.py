"""The PLC handshake as a state machine. Pure: no I/O, no thread, no clock; time comes in as `now_ns`.

Every trigger gets exactly one result. An acquisition is *open* from its trigger until its result is made, and a result is
made in one place only, `_close`: by the station's verdict, or as FAULT by this machine at the deadline, for a trigger that
was missed, and for a part that the next one overtook. The wires (Modbus, later others) only translate.

Whoever calls in passes the time, and everything that was due by then happens first. A deadline is therefore kept to the
nanosecond for everyone who can look, without a timer.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable

from edge_inspect.datatypes import GateShown, Inspection, Notices, PlcRequest, RequestKind, Verdict
from edge_inspect.plc.command import Asked, JobCommand
from edge_inspect.plc.results import ResultQueue
from edge_inspect.plc.signals import TROUBLE_MEANING, Control, Counters, OfflineReason, Result, Status, Trouble, result_from_inspection

LAST_ACQUISITION = 65_535
SECOND_NS = 1_000_000_000
LATE_REMEMBERED = 64
"""Acquisitions of which is remembered that the machine itself said FAULT; the station works on one at a time."""


class Emitted(enum.Enum):
    """What became of a verdict."""

    DELIVERED = "delivered"
    LATE = "late"
    UNKNOWN = "unknown"


class Handshake:
    """One station and one PLC.

    Args:
        allowed_ns: time from a trigger of the PLC until FAULT is said for it [ns].
        now_ns: monotonic clock at the start [ns]; the heartbeat counts from here.
        results: where results wait; a wire or a test passes one that listens.
    """

    def __init__(self, *, allowed_ns: int, now_ns: int = 0, results: ResultQueue | None = None) -> None:
        self._allowed_ns = allowed_ns
        self._started_ns = now_ns
        self._results = ResultQueue() if results is None else results
        self._control = Control()
        self._station_ready = False
        self._deadlines: dict[int, int] = {}
        self._seen_by_camera: int | None = None
        self._working_on: int | None = None
        self._taken = False
        self._requests: deque[PlcRequest] = deque()
        self._said_fault: deque[int] = deque(maxlen=LATE_REMEMBERED)
        self._acquisition = self._last_opened = self._triggers = self._missed_count = self._late_count = 0
        self._trigger_ack = self._missed = self._completed_toggle = self._exposed = False
        self._command = JobCommand()
        self._trouble = Trouble.NONE
        self._notices = Notices()
        self.announce: Callable[[int, Verdict | None, str], None] | None = None
        """Called with each result before it can be shown."""
        self.announce_trigger: Callable[[int, int], None] | None = None
        """Called with each acquisition as it is counted, and when its part was triggered [ns]."""
        self.gate = GateShown()
        """What the reject gate shows."""

    # ---- the PLC's side ----

    def write(self, control: Control, now_ns: int) -> Asked:
        """Take what the PLC has written, and say what its Execute Command has asked for.

        The acknowledgement counts first (it is for the result the PLC has seen), the trigger last: a trigger written
        together with Set Offline or a job change is missed, since nobody could say which job it is for. Later ones are the
        running job's until Command Completed.
        """
        before, self._control = self._control, control
        self._results.acknowledge(control.results_ack)
        self.tick(now_ns)
        if control.clear_error and not before.clear_error:
            self._clear_error(now_ns)
        asked = self._execute(now_ns)
        if control.trigger and not before.trigger and control.trigger_enable:
            self._trigger(now_ns, ambiguous=asked is Asked.JOB)
        self._trigger_ack = self._trigger_ack and control.trigger
        return asked

    def status(self, now_ns: int) -> Status:
        """What the PLC sees now."""
        self.tick(now_ns)
        results = self._results
        return Status(
            trigger_ready=self._control.trigger_enable and self._can_take_a_trigger(),
            trigger_ack=self._trigger_ack,
            missed_acquisition=self._missed,
            offline_reason=self._offline_reason(),
            online=self._offline_reason() is OfflineReason.ONLINE,
            system_busy=self._busy() or self._command.executing,
            inspection_completed=self._completed_toggle,
            results_buffer_overrun=results.overrun,
            results_valid=results.valid,
            command_executing=self._command.executing,
            command_completed=self._command.completed,
            command_failed=self._command.failed,
            error=self._trouble is not Trouble.NONE,
            exposure_complete=self._exposed,
            job_pass=results.valid and results.shown.verdict is Verdict.OK,
            reject_gate=self.gate.reject,
            gate_clearing=self.gate.clearing,
            heartbeat=(now_ns - self._started_ns) // SECOND_NS % (LAST_ACQUISITION + 1),
            current_job=self._command.job,
            error_code=self._trouble,
            acquisition_id=self._acquisition,
            result=results.shown,
            counters=self.counters,
            notices=self._notices,
        )

    @property
    def job(self) -> int:
        """The job that runs."""
        return self._command.job

    @property
    def counters(self) -> Counters:
        """What has happened so far."""
        return Counters(
            triggers=self._triggers,
            delivered=self._results.delivered,
            overrun=self._results.thrown_away,
            missed=self._missed_count,
            late=self._late_count,
            waiting=len(self._results),
        )

    # ---- the station's side ----

    def ready(self, is_ready: bool) -> None:
        """Whether the station can take a trigger. An acquisition that is open stays open."""
        self._station_ready = is_ready

    def notice(self, notices: Notices) -> None:
        """Show this from now on. That golden parts are due is an error, which ends with it: nobody need clear it."""
        if notices.challenge_due and not self._notices.challenge_due:
            self._trouble = Trouble.CHALLENGE
        elif not notices.challenge_due and self._trouble is Trouble.CHALLENGE:
            self._trouble = Trouble.NONE
        self._notices = notices

    def take(self, now_ns: int) -> PlcRequest | None:
        """The next request. Asking for it says that the station has finished with the trigger it took before.

        A missed trigger comes as a request too, for the record only: it has its FAULT already and takes no verdict.
        """
        self.tick(now_ns)
        if self._taken:
            self._working_on, self._taken = None, False
        if not self._requests:
            return None
        request = self._requests.popleft()
        self._taken = request.kind is RequestKind.TRIGGER
        return request

    def begin(self, deadline_ns: int, now_ns: int) -> int:
        """The camera saw a part by itself; its acquisition count. One that was still open from the camera is a FAULT now."""
        self.tick(now_ns)
        if self._seen_by_camera in self._deadlines:
            self._say_fault(self._seen_by_camera, Trouble.SUPERSEDED)
        self._seen_by_camera = self._open(deadline_ns, at_ns=deadline_ns - self._allowed_ns)
        return self._seen_by_camera

    def exposed(self, acquisition: int) -> None:
        """The part of this acquisition may move."""
        self._exposed = self._exposed or acquisition == self._last_opened

    def emit(self, inspection: Inspection, now_ns: int) -> Emitted:
        """The station's verdict. Only an acquisition that is still open takes one."""
        self.tick(now_ns)
        if self._taken and inspection.acquisition == self._working_on:
            self._working_on, self._taken = None, False
        if inspection.acquisition in self._deadlines:
            self._close(result_from_inspection(inspection))
            return Emitted.DELIVERED
        return Emitted.LATE if inspection.acquisition in self._said_fault else Emitted.UNKNOWN

    def answer(self, job: int, *, failed: bool) -> None:
        """The station's answer to a job change; unasked, it only says which job runs."""
        if self._command.answer(job, failed=failed) and failed:
            self._trouble = Trouble.JOB_FAILED

    def runs(self, job: int) -> None:
        """Which job runs now, whoever asked for it; a command that waits goes on waiting."""
        self._command.job = job

    # ---- time ----

    @property
    def due_ns(self) -> int | None:
        """When the next FAULT is due by itself [ns]; None while nothing is open."""
        return min(self._deadlines.values(), default=None)

    def tick(self, now_ns: int) -> None:
        """Let everything happen that is due: FAULT for each acquisition whose deadline has come, earliest first."""
        if not self._deadlines or min(self._deadlines.values()) > now_ns:
            return
        due = [acquisition for acquisition, deadline_ns in self._deadlines.items() if deadline_ns <= now_ns]
        for acquisition in sorted(due, key=self._deadlines.__getitem__):
            self._say_fault(acquisition, Trouble.LATE)

    # ---- acquisitions ----

    def _trigger(self, now_ns: int, *, ambiguous: bool) -> None:
        if ambiguous or not self._can_take_a_trigger():
            self._miss(now_ns)
            return
        deadline_ns = now_ns + self._allowed_ns
        acquisition = self._open(deadline_ns, at_ns=now_ns)
        self._working_on, self._taken = acquisition, False
        self._trigger_ack, self._missed = True, False
        self._ask(RequestKind.TRIGGER, now_ns, acquisition=acquisition, deadline_ns=deadline_ns)

    def _miss(self, now_ns: int) -> None:
        """FAULT at once; the station is asked to record it, since it never saw this part."""
        self._missed = True
        self._missed_count += 1
        self._trouble = Trouble.MISSED
        acquisition = self._count(now_ns)
        self._close(Result(acquisition=acquisition, verdict=Verdict.FAULT, trouble=Trouble.MISSED))
        self._ask(RequestKind.MISSED, now_ns, acquisition=acquisition, deadline_ns=now_ns)

    def _open(self, deadline_ns: int, *, at_ns: int) -> int:
        acquisition = self._count(at_ns)
        if self.announce is not None:
            self.announce(acquisition, None, "")
        self._deadlines[acquisition] = deadline_ns
        self._last_opened, self._exposed = acquisition, False
        return acquisition

    def _count(self, at_ns: int) -> int:
        """The next acquisition: 1 to 65535, never one that is open or that the station may still answer."""
        self._triggers += 1
        self._acquisition = self._acquisition % LAST_ACQUISITION + 1
        while self._acquisition in self._deadlines or self._acquisition == self._working_on:
            self._acquisition = self._acquisition % LAST_ACQUISITION + 1
        if self.announce_trigger is not None:
            self.announce_trigger(self._acquisition, at_ns)
        return self._acquisition

    def _say_fault(self, acquisition: int, trouble: Trouble) -> None:
        self._late_count += 1
        self._trouble = trouble
        self._said_fault.append(acquisition)
        self._close(Result(acquisition=acquisition, verdict=Verdict.FAULT, trouble=trouble))

    def _close(self, result: Result) -> None:
        """The only place where a result is made."""
        if self.announce is not None and result.verdict is not None:
            self.announce(result.acquisition, result.verdict, TROUBLE_MEANING[result.trouble])
        self._deadlines.pop(result.acquisition, None)
        self._completed_toggle = not self._completed_toggle
        self.exposed(result.acquisition)
        self._results.put(result, buffered=self._control.buffer_results_enable)

    # ---- commands ----

    def _execute(self, now_ns: int) -> Asked:
        asked = self._command.write(self._control.execute_command)
        if asked is Asked.JOB:
            self._ask(RequestKind.JOB_CHANGE, now_ns, job=self._control.job)
        elif asked is Asked.REFUSED:
            self._trouble = Trouble.COMMAND_REFUSED
        return asked

    def _clear_error(self, now_ns: int) -> None:
        self._trouble = Trouble.NONE
        self._missed = False
        self._results.overrun = False
        if not any(request.kind is RequestKind.RESET for request in self._requests):
            self._ask(RequestKind.RESET, now_ns)

    def _ask(self, kind: RequestKind, now_ns: int, *, acquisition: int = 0, deadline_ns: int = 0, job: int = 0) -> None:
        self._requests.append(PlcRequest(kind=kind, received_ns=now_ns, acquisition=acquisition, deadline_ns=deadline_ns, job=job))

    # ---- what is shown ----

    def _can_take_a_trigger(self) -> bool:
        return self._offline_reason() is OfflineReason.ONLINE and not self._busy()

    def _busy(self) -> bool:
        """Busy until the station is free, not only until FAULT was said: a hung engine must not look ready."""
        return bool(self._deadlines) or self._working_on is not None

    def _offline_reason(self) -> OfflineReason:
        if not self._station_ready:
            return OfflineReason.STATION
        return OfflineReason.PLC if self._control.set_offline else OfflineReason.ONLINE
