"""Results on their way to the PLC: shown one at a time, each until it is acknowledged. Pure.

Acknowledge rises: the result shown was read. Acknowledge falls: the next one is shown. A result that is thrown away is
always counted as overrun, so results made = delivered + overrun + waiting, at every instant.
"""

from __future__ import annotations

from collections import deque

from edge_inspect.plc.signals import Result

BUFFER = 8
"""Results kept for a PLC that is slow, the one shown included (as in the Cognex In-Sight block)."""


class ResultQueue:
    """Where results wait.

    Attributes:
        shown: the result the PLC reads now, or read last.
        valid: `shown` waits for its acknowledgement.
        overrun: the last result put in threw another one away.
        delivered: count of results acknowledged.
        thrown_away: count of results that nobody acknowledged.
    """

    def __init__(self, buffer: int = BUFFER) -> None:
        """Keep `buffer` results."""
        self._buffer = buffer
        self.shown = Result()
        self.valid = False
        self.overrun = False
        self.delivered = 0
        self.thrown_away = 0
        self._waiting: deque[Result] = deque()
        self._ack = False

    def __len__(self) -> int:
        """Results not yet acknowledged."""
        return len(self._waiting) + self.valid

    def put(self, result: Result, *, buffered: bool) -> None:
        """Take a result in; without a buffer the newest replaces whatever nobody has acknowledged."""
        room = self._buffer - 1 if buffered else 0
        before = self.thrown_away
        if not buffered:
            self._throw_away_shown()
        while len(self) > room:
            self._throw_away_oldest_waiting()
        self._waiting.append(result)
        self.overrun = self.thrown_away > before
        self._show_next()

    def acknowledge(self, ack: bool) -> None:
        """Take the level of Inspection Results Ack. A result becomes valid only while it is low, so high means *it rose*."""
        if ack and self.valid:
            self.valid = False
            self.delivered += 1
        self._ack = ack
        self._show_next()

    def _show_next(self) -> None:
        """Only while the acknowledgement is low: the PLC has seen Results Valid fall."""
        if self._waiting and not self.valid and not self._ack:
            self.shown = self._waiting.popleft()
            self.valid = True

    def _throw_away_shown(self) -> None:
        self.thrown_away += self.valid
        self.valid = False

    def _throw_away_oldest_waiting(self) -> None:
        """The result shown stays: the PLC may be reading it. The newest are worth more than the oldest."""
        self._waiting.popleft()
        self.thrown_away += 1
