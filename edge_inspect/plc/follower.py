"""One wire that follows another: told of every part in a thread of its own, behind a bounded queue that counts what it drops."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from edge_inspect.datatypes import GateShown, Inspection, Notices, PlcRequest, RequestKind
from edge_inspect.errors import DeadlineMissed, OutputError, PlcError
from edge_inspect.protocols import Plc, ShowsGate, TakesNotices
from edge_inspect.time_left import THE_END

QUEUE = 256
"""Events kept for a wire that is slow: some eighty parts. The oldest give way; the wire says FAULT for a part it has begun."""
DRAIN_S = 2.0
LISTEN_EVERY_S = 0.02
UNANNOUNCED_NS = 1_000_000_000
"""Deadline on the follower for a part whose verdict came first: a missed trigger, or one whose beginning was dropped [ns]."""
NO_JOBS = "jobs are changed on the first wire; give this one may_change_job: true in the station file to change them here"
Step = Callable[[], None]

log = logging.getLogger(__name__)


class Follower:
    """A wire behind a queue. `emit` makes it an output of the station.

    Attributes:
        name: of the wire, for alarms.
        plc: the wire itself.
        dropped: events that found the queue full, the oldest first.
        late: verdicts that the wire had no time for; its PLC was told FAULT.
    """

    def __init__(self, plc: Plc, *, name: str, ask: Callable[[PlcRequest], None] | None = None, queue: int = QUEUE) -> None:
        """Start the thread.

        Args:
            plc: the opened wire.
            name: for alarms.
            ask: takes a job change that this wire's PLC asks for; None refuses it.
            queue: events that may wait.
        """
        self.name = name
        self.dropped = self.late = 0
        self.plc = plc
        self._ask = ask
        self._steps: deque[Step] = deque()
        self._queue = queue
        self._states: deque[Step] = deque(maxlen=16)  # Ready, the job, notices: of each only the last word matters
        self._changed = threading.Condition()
        self._stopping = False
        self._counts: dict[int, int] = {}
        self._trouble = ""
        self._job = 0
        self._told_dropped = 0
        self._left_open: ExitStack | None = None
        self._thread = threading.Thread(target=self._work, name=f"wire {name}", daemon=True)
        self._thread.start()

    # ---- called by the station ----

    def ready(self, is_ready: bool, reason: str) -> None:
        """Pass it on."""
        self._say(lambda: self.plc.ready(is_ready, reason))

    def answer(self, request: PlcRequest, *, job: int, error: str) -> None:
        """Pass it on."""
        self._job = job
        self._say(lambda: self.plc.answer(request, job=job, error=error))

    def notice(self, notices: Notices) -> None:
        """Pass it on, where the wire shows such things."""
        plc = self.plc
        if isinstance(plc, TakesNotices):
            self._say(lambda: plc.notice(notices))

    def begin(self, acquisition: int, deadline_ns: int) -> None:
        """A part has begun under this count of the master."""
        self._put(lambda: self._begin(acquisition, deadline_ns))

    def exposed(self, acquisition: int) -> None:
        """The part may move."""
        self._put(lambda: self._exposed(acquisition))

    def show_gate(self, shown: GateShown) -> None:
        """What the reject gate shows, where the wire can show it."""
        plc = self.plc
        if isinstance(plc, ShowsGate):
            self._put(lambda: plc.show_gate(shown))

    def emit(self, inspection: Inspection) -> None:
        """Queue a verdict and return at once.

        Raises:
            OutputError: it is queued, and the wire is in trouble or has dropped events.
        """
        self._put(lambda: self._publish(inspection))
        if self.dropped > self._told_dropped:
            self._told_dropped = self.dropped
            raise OutputError(
                f"{self.name}: {self.dropped} events dropped so far, {self._queue} are waiting: the wire hangs or is too slow; see its PLC"
            )
        if trouble := self._trouble:
            raise OutputError(trouble)

    def drain(self, limit_s: float) -> bool:
        """Wait until everything queued is told, and end the thread; whether it has ended within `limit_s` [s]."""
        limit_s = THE_END.at_most(limit_s)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(limit_s)
        if self._steps:
            log.error("%s: stopped; %d events were not told within %.2g s", self.name, len(self._steps), limit_s)
        return not self._thread.is_alive()

    def leave_open(self, stack: ExitStack) -> None:
        """Keep a hanging wire open for as long as its thread lives."""
        self._left_open = stack

    def _say(self, step: Step) -> None:
        with self._changed:
            self._states.append(step)
            self._changed.notify_all()

    def _put(self, step: Step) -> None:
        with self._changed:
            if len(self._steps) >= self._queue:
                self._steps.popleft()
                self.dropped += 1
            self._steps.append(step)
            self._changed.notify_all()

    # ---- in the thread ----

    def _work(self) -> None:
        while (step := self._next()) is not None:
            try:
                step()
            except DeadlineMissed as error:
                self.late += 1
                self._trouble = str(error)
            except PlcError as error:
                self._trouble = str(error)

    def _next(self) -> Step | None:
        """What to do next; listening, where nothing is queued. None once everything is told and the station stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._states or self._steps or self._stopping, LISTEN_EVERY_S)
            if self._states:
                return self._states.popleft()
            if self._steps:
                return self._steps.popleft()
            return None if self._stopping else self._listen

    def _begin(self, acquisition: int, deadline_ns: int) -> None:
        self._counts[acquisition] = self.plc.begin(deadline_ns)
        while len(self._counts) > self._queue:
            self._counts.pop(next(iter(self._counts)))

    def _exposed(self, acquisition: int) -> None:
        if acquisition in self._counts:
            self.plc.exposed(self._counts[acquisition])

    def _publish(self, inspection: Inspection) -> None:
        count = self._counts.pop(inspection.acquisition, None)
        if count is None:
            count = self.plc.begin(time.monotonic_ns() + UNANNOUNCED_NS)
        self.plc.emit(replace(inspection, acquisition=count))
        self._trouble = ""

    def _listen(self) -> None:
        """A trigger here is no trigger of the line: nobody inspects its part, and the wire says FAULT for it at the deadline."""
        request = self.plc.poll(0)
        if request is None or request.kind is not RequestKind.JOB_CHANGE:
            return
        if self._ask is None:
            self.plc.answer(request, job=self._job, error=NO_JOBS)
        else:
            self._ask(request)
