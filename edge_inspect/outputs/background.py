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
from queue import Empty, Full, Queue

from edge_inspect.datatypes import Inspection
from edge_inspect.errors import OutputError
from edge_inspect.protocols import Output, StandingAlarm
from edge_inspect.time_left import THE_END

DRAIN_S = 1.0
"""How long a station that stops waits for what is queued [s]."""

DRAIN_SHARE, LAST_SHARE = 0.6, 0.5
"""Of the time that the end of the process has left: the PLC's wires and the audit record close after the outputs."""

LAST_S = 0.5
"""How much longer it waits for the one that is being written, when the others have been given up [s]."""

QUEUE_MB = 64.0
"""Frames that may wait [MB], whatever their number."""

_log = logging.getLogger(__name__)


@contextmanager
def run_in_background(
    opened: AbstractContextManager[Output], *, queue: int, name: str, queue_mb: float = QUEUE_MB, drain_s: float = DRAIN_S
) -> Iterator[BackgroundOutput]:
    """Open an output and write to it from a thread; on leaving, what is queued is written within a time limit.

    What could not be written in that time is counted in the log. An output that still hangs then is left to the end
    of the process: closing a file under a thread that writes to it would do worse.

    Args:
        opened: context manager of the output.
        queue: how many inspections may wait.
        name: of the output, for messages.
        queue_mb: how much memory their frames may take [MB]; a larger one may wait alone.
        drain_s: longest wait on leaving [s].

    Raises:
        OutputError: the output cannot be opened.
    """
    with ExitStack() as stack:
        background = BackgroundOutput(stack.enter_context(opened), queue=queue, name=name, queue_mb=queue_mb)
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

    def __init__(self, output: Output, *, queue: int, name: str, queue_mb: float = QUEUE_MB) -> None:
        self.queued = 0
        self.written = 0
        self.failed = 0
        self.dropped = 0
        self._output = output
        self._standing = output if isinstance(output, StandingAlarm) else None
        self._name = name
        self._most_bytes = int(queue_mb * 1e6)
        self._bytes_in = self._bytes_out = 0  # each is counted by one thread
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
        return "" if self._standing is None else self._standing.alarm

    def emit(self, inspection: Inspection) -> None:
        """Queue one inspection and return at once.

        Raises:
            OutputError: this inspection was dropped because the queue is full; or it is queued, and earlier ones could
                not be written (the sentence says which of the two, and how many).
        """
        revived = self._revive()
        size = _size(inspection)
        waiting = self._bytes_in - self._bytes_out
        if waiting and waiting + size > self._most_bytes:
            raise self._full(inspection, f"frames of {waiting / 1e6:.0f} MB")
        self._bytes_in += size
        try:
            self._queue.put_nowait(inspection)
        except Full as error:
            self._bytes_in -= size
            raise self._full(inspection, str(self._queue.maxsize)) from error
        self.queued += 1
        self._raise_earlier(revived)

    def drain(self, limit_s: float) -> bool:
        """Wait until everything queued is dealt with, and end the thread; what is lost by then goes to the log.

        Args:
            limit_s: longest wait [s].

        Returns:
            Whether the thread has ended within the time.
        """
        limit_s = THE_END.at_most(limit_s, share=DRAIN_SHARE)
        give_up = time.monotonic() + limit_s
        self._revive()
        with suppress(Full):
            self._queue.put(None, timeout=limit_s)
        self._thread.join(max(0.0, give_up - time.monotonic()))
        if self._errors:
            _log.error("%s: %d inspections could not be written; the last: %s", self._name, len(self._errors), self._errors[-1])
        if self.waiting:
            _log.error("%s: stopped; %d inspections were not written within %.2g s", self._name, self.waiting, limit_s)
        if self._thread.is_alive():
            self._give_up_what_waits()
            self._thread.join(THE_END.at_most(min(LAST_S, limit_s), share=LAST_SHARE))
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
        finally:
            self._bytes_out += _size(inspection)

    def _give_up_what_waits(self) -> None:
        """Take everything out of the queue, so that the thread ends after the one that it is at."""
        with suppress(Empty):
            while True:
                self.failed += self._queue.get_nowait() is not None
        self._queue.put_nowait(None)

    def _full(self, inspection: Inspection, waiting: str) -> OutputError:
        self.dropped += 1
        return OutputError(
            f"{self._name}: inspection {inspection.sequence} was dropped: {waiting} are waiting already, {self.dropped} "
            "dropped so far; the disk is too slow for this line: keep fewer pictures, or give it a faster disk"
        )

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


def _size(inspection: Inspection) -> int:
    """Memory that an inspection keeps from being given back [bytes]."""
    return 0 if inspection.evidence is None else inspection.evidence.frame.pixels.nbytes + inspection.evidence.score_map.nbytes
