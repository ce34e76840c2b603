"""Any output in a thread of its own, behind a bounded queue: the part does not wait for it.

What is given up for that is told: a record dropped because the queue was full, and one that the output could not write,
raise `OutputError` at an `emit`, where the station's alarm sees them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from queue import Full, Queue

from edge_inspect.datatypes import Inspection
from edge_inspect.errors import OutputError
from edge_inspect.protocols import Output, StandingAlarm

DRAIN_S = 1.0
"""How long a station that stops waits for what is queued [s]: with the part in flight it must end within two seconds."""

_log = logging.getLogger(__name__)


@contextmanager
def run_in_background(
    opened: AbstractContextManager[Output], *, queue: int, name: str, drain_s: float = DRAIN_S
) -> Iterator[BackgroundOutput]:
    """Open an output and write to it from a thread; on leaving, what is queued is written within a time limit.

    What could not be written in that time is counted in the log. An output that still hangs then is left to the end
    of the process: closing a file under a thread that writes to it would do worse.

    Args:
        opened: context manager of the output.
        queue: how many inspections may wait; bounds the memory that their frames take.
        name: of the output, for messages.
        drain_s: longest wait on leaving [s].

    Raises:
        OutputError: the output cannot be opened.
    """
    with ExitStack() as stack:
        background = BackgroundOutput(stack.enter_context(opened), queue=queue, name=name)
        try:
            yield background
        finally:
            if not background.drain(drain_s):
                background.leave_open(stack.pop_all())


class BackgroundOutput:
    """An `Output` in front of another one. `emit` is called by one thread.

    Attributes:
        queued: inspections accepted so far.
        written: those of them that the output has recorded.
        failed: those of them that the output could not record.
        dropped: inspections refused because the queue was full.
    """

    def __init__(self, output: Output, *, queue: int, name: str) -> None:
        self.queued = 0
        self.written = 0
        self.failed = 0
        self.dropped = 0
        self._output = output
        self._name = name
        self._queue: Queue[Inspection | None] = Queue(maxsize=queue)
        self._errors: deque[OutputError] = deque()  # at most one per inspection accepted since the last `emit` looked
        self._left_open: ExitStack | None = None
        self._thread = self._start()

    @property
    def waiting(self) -> int:
        """Inspections accepted and not yet dealt with."""
        return self.queued - self.written - self.failed

    @property
    def alarm(self) -> str:
        """What a person must look at of the output behind, where it says so."""
        return self._output.alarm if isinstance(self._output, StandingAlarm) else ""

    def emit(self, inspection: Inspection) -> None:
        """Queue one inspection and return at once.

        Raises:
            OutputError: this inspection was dropped because the queue is full; or it is queued, and earlier ones could
                not be written (the sentence says which of the two, and how many).
        """
        revived = self._revive()
        try:
            self._queue.put_nowait(inspection)
        except Full as error:
            self.dropped += 1
            raise OutputError(
                f"{self._name}: inspection {inspection.sequence} was dropped: {self._queue.maxsize} are waiting already, {self.dropped} "
                "dropped so far; the disk is too slow for this line: keep fewer pictures, or give it a faster disk"
            ) from error
        self.queued += 1
        self._raise_earlier(revived)

    def drain(self, limit_s: float) -> bool:
        """Wait until everything queued is dealt with, and end the thread; what is lost by then goes to the log.

        Args:
            limit_s: longest wait [s].

        Returns:
            Whether the thread has ended within the time.
        """
        give_up = time.monotonic() + limit_s
        self._revive()
        with suppress(Full):
            self._queue.put(None, timeout=limit_s)
        self._thread.join(max(0.0, give_up - time.monotonic()))
        if self._errors:
            _log.error("%s: %d inspections could not be written; the last: %s", self._name, len(self._errors), self._errors[-1])
        if self.waiting:
            _log.error("%s: stopped; %d inspections were not written within %g s", self._name, self.waiting, limit_s)
        return not self._thread.is_alive()

    def leave_open(self, stack: ExitStack) -> None:
        """Keep a hanging output open for as long as the thread lives; without a reference Python would close it."""
        self._left_open = stack

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, name=f"output {self._name}", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        while (inspection := self._queue.get()) is not None:
            self._write(inspection)

    def _write(self, inspection: Inspection) -> None:
        try:
            self._output.emit(inspection)
            self.written += 1
        except OutputError as error:
            self._errors.append(error)
            self.failed += 1

    def _revive(self) -> bool:
        """Start the thread again after a defect in the output has ended it (its trace is in the log). Whether it had ended."""
        if self._thread.is_alive():
            return False
        self.failed += 1
        self._thread = self._start()
        return True

    def _raise_earlier(self, revived: bool) -> None:
        if revived:
            raise OutputError(
                f"{self._name}: the output has a defect: an inspection was lost and its thread ended, {self.failed} not written so far; "
                "the thread was started again; report the trace in the log to whoever wrote the output"
            )
        errors = [self._errors.popleft() for _ in range(len(self._errors))]
        if errors:
            raise OutputError(
                f"{self._name}: {len(errors)} earlier inspections were not written, {self.failed} so far; the last: {errors[-1]}"
            ) from errors[-1]
