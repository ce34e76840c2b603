"""A record that loses nothing while its disk refuses: what was not written waits, in its order, and is written when the disk is back.

What is given up, in this order: pictures at once (they are outputs of their own, and what waits keeps no frame); beyond
`REGIONS_KEPT` that wait, the regions of further ones; beyond `most`, the record itself, whose verdict is still counted and told in the log.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

from edge_inspect.datatypes import Inspection
from edge_inspect.errors import AlreadyRecorded, OutputError
from edge_inspect.protocols import Output, Remembers, StandingAlarm
from edge_inspect.time_left import THE_END

REGIONS_KEPT = 2_000
MOST_WAITING = 20_000
"""About 20 MB, and as much again in the crash note; eleven minutes of 30 parts a second, five and a half hours of one."""
EACH_PART_S = 0.005
"""How long a part may be held up by those before it [s]; one is written in any case."""
AT_THE_END_S = 1.0

_log = logging.getLogger(__name__)


@contextmanager
def open_catching_up(opened: AbstractContextManager[Output], *, name: str, most: int = MOST_WAITING) -> Iterator[Output]:
    """Open an output; one that can say what it holds is given again what it refused. What still waits at the end is told.

    Args:
        opened: context manager of the output.
        name: of the output, for messages.
        most: how many may wait.

    Raises:
        OutputError: the output cannot be opened.
    """
    with opened as output:
        if not isinstance(output, Remembers):
            yield output
            return
        catching_up = CatchingUp(output, name=name, most=most)
        try:
            yield catching_up
        finally:
            catching_up.catch_up(THE_END.at_most(AT_THE_END_S))
            catching_up.tell_what_is_left()


class CatchingUp:
    """An `Output` in front of one that remembers. Used by one thread at a time.

    Attributes:
        dropped: inspections that were only counted, since too many waited.
    """

    def __init__(self, output: Remembers, *, name: str, most: int) -> None:
        self._output = output
        self._standing = output if isinstance(output, StandingAlarm) else None
        self._name = name
        self._most = most
        self._waiting: deque[Inspection] = deque()
        self._counted: Counter[str] = Counter()
        self._why = ""
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Inspections that are still to be written."""
        return len(self._waiting)

    @property
    def alarm(self) -> str:
        """What a person must look at although every inspection is recorded, or will be."""
        if self._waiting:
            return f"{self.waiting} inspections wait to be recorded: {self._why}"
        return "" if self._standing is None else self._standing.alarm

    def holds(self, sequence: int) -> bool:
        """Whether the inspection of this count is recorded, or waits to be.

        Raises:
            OutputError: nobody can say.
        """
        return any(inspection.sequence == sequence for inspection in self._waiting) or self._output.holds(sequence)

    def emit(self, inspection: Inspection) -> None:
        """Record it after all that waits, or let it wait too.

        Raises:
            OutputError: why it waits, or was only counted.
        """
        try:
            self._write_waiting(EACH_PART_S)
            if not self._waiting:
                self._give(inspection)
                return
        except AlreadyRecorded:
            raise
        except OutputError as error:
            self._why = str(error)
            raise OutputError(f"{error}; {self._kept(inspection)}") from error
        self._kept(inspection)

    def catch_up(self, limit_s: float) -> None:
        """Write what waits, at least one of them, until the time is over or the disk refuses."""
        with suppress(OutputError):
            self._write_waiting(limit_s)

    def tell_what_is_left(self) -> None:
        """At the end: what the next start has to find in the crash note."""
        if self._waiting:
            first, last = self._waiting[0].sequence, self._waiting[-1].sequence
            said = "%s: inspections %d to %d are not recorded; the next start records them from the crash note"
            _log.error(said, self._name, first, last)

    def _write_waiting(self, limit_s: float) -> None:
        until = time.monotonic() + limit_s
        before = self.waiting
        while self._waiting:
            self._write(self._waiting[0])
            self._waiting.popleft()
            if time.monotonic() > until:
                break
        if before and not self._waiting:
            self._tell_what_was_counted()

    def _write(self, inspection: Inspection) -> None:
        try:
            self._give(inspection)
        except AlreadyRecorded as error:  # the disk had taken it and said no, or another inspection has this count
            _log.warning("%s", error)

    def _give(self, inspection: Inspection) -> None:
        try:
            self._output.emit(inspection)
        except MemoryError as error:
            raise OutputError(f"{self._name}: inspection {inspection.sequence} was not recorded: this machine is out of memory") from error

    def _kept(self, inspection: Inspection) -> str:
        """Let it wait, or count it; what is said of it."""
        if self.waiting >= self._most:
            self.dropped += 1
            self._counted[inspection.verdict.value] += 1
            return f"{self.waiting} wait already: its verdict is counted, its record is lost ({self.dropped} so far)"
        regions = inspection.regions if self.waiting < REGIONS_KEPT else ()
        self._waiting.append(replace(inspection, evidence=None, regions=regions))
        return f"{self.waiting} wait and are recorded as soon as that can be"

    def _tell_what_was_counted(self) -> None:
        _log.warning("%s: what waited is recorded", self._name)
        if self._counted:
            counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self._counted.items()))
            _log.error("%s: too many had to wait: no record stands of %s", self._name, counts)
        self._counted.clear()
