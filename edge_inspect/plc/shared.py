"""One handshake that two threads use: the station's (`poll`, `emit`) and a wire's (what the PLC writes and reads).

Both meet in one lock and pass the time to the handshake, which does first what is due, so FAULT is there for whoever looks at
or after the deadline, also while the station's thread is inside the engine. Every wire is this and a cable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from edge_inspect.datatypes import Action, Deed, GateShown, Inspection, Notices, Outcome, Peer, PlcRequest, RequestKind
from edge_inspect.errors import DeadlineMissed, PlcError
from edge_inspect.plc.command import Asked
from edge_inspect.plc.deeds import deeds_between
from edge_inspect.plc.handshake import Emitted, Handshake
from edge_inspect.plc.results import ResultQueue
from edge_inspect.plc.signals import Control, Counters, Status
from edge_inspect.protocols import Note, Told, Triggered

MS_NS = 1_000_000
NOTES_KEPT = 256
"""Control actions kept until somebody asks for them: a wire is opened before the station listens."""
logger = logging.getLogger(__name__)


class SharedHandshake:
    """A `protocols.Plc` without its cable.

    Args:
        deadline_ms: time from a trigger of the PLC until FAULT is said for it [ms].
        wire: name of the wire, for messages.
        results: where results wait for the PLC; a wire that must know of each when it is made passes one that listens.
    """

    def __init__(self, *, deadline_ms: float, wire: str, results: ResultQueue | None = None) -> None:
        self._wire = wire
        self._deadline_ms = deadline_ms
        self._handshake = Handshake(allowed_ns=round(deadline_ms * MS_NS), now_ns=time.monotonic_ns(), results=results)
        self._changed = threading.Condition()
        self._news = 0
        self._is_ready: bool | None = None
        self._job_asked: PlcRequest | None = None
        self._written = Control()
        self._asked_by = Peer()
        self._note: Note | None = None
        self._unheard: deque[Action] = deque(maxlen=NOTES_KEPT)
        self._is_closed = False

    # ---- the station's side ----

    @property
    def counters(self) -> Counters:
        """Triggers, results delivered, overrun, missed, late and waiting since the wire was opened."""
        with self._changed:
            self._handshake.tick(time.monotonic_ns())
            return self._handshake.counters

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say whether the station can take a trigger now; `reason` is why not and goes to the log."""
        with self._changed:
            self._handshake.ready(is_ready)
            self._tell()
        if is_ready is not self._is_ready:
            logger.info("%s: ready" if is_ready else "%s: not ready: %s", self._wire, *() if is_ready else (reason or "no reason given",))
        self._is_ready = is_ready

    def notice(self, notices: Notices) -> None:
        """Show the PLC what a person should look at."""
        with self._changed:
            self._handshake.notice(notices)
            self._tell()

    def poll(self, timeout_s: float) -> PlcRequest | None:
        """Wait for the next request of the PLC; None when there was none within `timeout_s` [s].

        Calling it says that the station has finished with the trigger it took before.

        Raises:
            PlcError: the wire is closed.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                self._must_be_open()
                request = self._take()
                left_s = until - time.monotonic()
                if request is not None or left_s <= 0:
                    return request
                self._changed.wait(left_s)

    def announce_to(self, told: Told) -> None:
        """Call `told` for each acquisition and each result from here on, before the PLC can read it."""
        with self._changed:
            self._handshake.announce = told

    def audit_to(self, note: Note) -> None:
        """Call `note` for each control action from here on, and now for those that came since the wire was opened."""
        with self._changed:
            self._note = note
            while self._unheard:
                note(self._unheard.popleft())

    def triggers_to(self, triggered: Triggered) -> None:
        """Call `triggered` for each acquisition from here on, before any result of it."""
        with self._changed:
            self._handshake.announce_trigger = triggered

    def show_gate(self, shown: GateShown) -> None:
        """Show the PLC what the reject gate shows."""
        with self._changed:
            self._handshake.gate = shown
            self._tell()

    def begin(self, deadline_ns: int) -> int:
        """Tell the wire that the camera saw a part by itself; FAULT is said for it at `deadline_ns` (monotonic clock) [ns].

        An acquisition of the camera that is still open gets FAULT now.

        Returns:
            The acquisition count to put into the inspection.
        """
        with self._changed:
            acquisition = self._handshake.begin(deadline_ns, time.monotonic_ns())
            self._tell()
            return acquisition

    def exposed(self, acquisition: int) -> None:
        """Tell the PLC that the part of this acquisition may move; otherwise it is told with the result."""
        with self._changed:
            self._handshake.exposed(acquisition)
            self._tell()

    def emit(self, inspection: Inspection) -> None:
        """Publish the verdict of `inspection.acquisition`; the PLC's next look shows it.

        Raises:
            DeadlineMissed: the wire has already said FAULT for this acquisition.
            PlcError: the wire is closed, or nobody asked for this acquisition or it has its verdict already.
        """
        with self._changed:
            self._must_be_open()
            emitted = self._handshake.emit(inspection, time.monotonic_ns())
            self._tell()
        part = f"plc: {self._wire}: acquisition {inspection.acquisition}: verdict {inspection.verdict.value}"
        if emitted is Emitted.LATE:
            raise DeadlineMissed(
                f"{part} came too late, the PLC was told FAULT already; raise deadline_ms ({self._deadline_ms:g}) or use a faster engine"
            )
        if emitted is Emitted.UNKNOWN:
            raise PlcError(f"{part} refused: the acquisition was never asked for or has its verdict; emit once for each trigger or begin()")

    def answer(self, request: PlcRequest, *, job: int, error: str = "") -> None:
        """Finish a job change: `job` is the one that runs now; `error` is why the wanted one does not.

        A request that did not come from this wire finishes nothing here: this PLC only sees which job runs.
        """
        if error:
            logger.warning("%s: job %d does not run, job %d goes on: %s", self._wire, request.job, job, error)
        with self._changed:
            if request == self._job_asked:
                self._job_asked = None
                self._handshake.answer(job, failed=bool(error))
                outcome = Outcome.REFUSED if error else Outcome.DONE
                self.note(Deed.JOB, outcome, by=self._asked_by, subject=f"job {request.job}", reason=error)
            else:
                self._handshake.runs(job)
            self._tell()

    def close(self) -> None:
        """Wake whoever waits; from now on `poll` and `emit` raise."""
        with self._changed:
            self._is_closed = True
            self._tell()

    # ---- the wire's side ----

    def status(self) -> Status:
        """What the PLC sees now."""
        with self._changed:
            return self._handshake.status(time.monotonic_ns())

    def write(self, control: Control, *, by: Peer | None = None, at_ns: int | None = None) -> None:
        """Take what the PLC has written, and wake the station.

        Args:
            control: all of it as it stands now.
            by: who wrote it, for the audit record; None for the wire itself, whose doing is no control action.
            at_ns: when it was written, where the wire knows (monotonic clock) [ns].
        """
        with self._changed:
            before, self._written = self._written, control
            asked = self._handshake.write(control, time.monotonic_ns() if at_ns is None else at_ns)
            if by is not None:
                self._note_written(before, control, asked, by)
            self._changed.notify_all()

    def note(self, deed: Deed, outcome: Outcome, *, by: Peer, subject: str = "", reason: str = "") -> None:
        """Say a control action for the audit record."""
        action = Action(deed=deed, outcome=outcome, by=by, wire=self._wire, subject=subject, reason=reason)
        with self._changed:
            if self._note is None:
                self._unheard.append(action)
            else:
                self._note(action)

    @property
    def due_ns(self) -> int | None:
        """When the wire must say FAULT by itself (monotonic clock) [ns]; None while nothing is open."""
        with self._changed:
            return self._handshake.due_ns

    def wait_for_news(self, seen: int, timeout_s: float) -> int:
        """Wait until the station has said something after `seen`, or `timeout_s` [s]; the number to pass the next time."""
        with self._changed:
            self._changed.wait_for(lambda: self._news != seen or self._is_closed, timeout_s)
            return self._news

    @property
    def is_open(self) -> bool:
        """Whether the wire serves."""
        return not self._is_closed

    def _note_written(self, before: Control, control: Control, asked: Asked, by: Peer) -> None:
        for deed, subject in deeds_between(before, control):
            self.note(deed, Outcome.DONE, by=by, subject=subject)
        if asked is Asked.JOB:
            self._asked_by = by
            self.note(Deed.JOB, Outcome.WANTED, by=by, subject=f"job {control.job}")
        elif asked is Asked.REFUSED:
            self.note(Deed.JOB, Outcome.REFUSED, by=by, subject=f"job {control.job}", reason="another command is executing")

    def _take(self) -> PlcRequest | None:
        request = self._handshake.take(time.monotonic_ns())
        if request is not None and request.kind is RequestKind.JOB_CHANGE:
            self._job_asked = request
        return request

    def _tell(self) -> None:
        self._news += 1
        self._changed.notify_all()

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise PlcError(f"plc: {self._wire}: the wire is closed; open it again")
