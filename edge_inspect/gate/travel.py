"""How far the belt has run: counts that wrap, made into one long number, and where the belt was at a moment. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

KEPT = 16_384
APART_NS = 500_000
"""Positions remembered, and how far apart [ns]: eight seconds at least."""
SPEED_OVER_NS = 50_000_000
"""The belt's speed is taken over this time [ns]."""


class Wrapping:
    """A counter of few bits as a number that never wraps.

    Args:
        bits: of the counter.
        first: what it shows at the beginning; the number begins with 0.
    """

    def __init__(self, bits: int, first: int) -> None:
        self._span = 1 << bits
        self._last = first % self._span
        self.total = 0

    def take(self, shown: int) -> int:
        """The number for what the counter shows now; it may have moved by less than half its span since, either way."""
        moved = (shown - self._last) % self._span
        if moved >= self._span // 2:
            moved -= self._span
        self._last = shown % self._span
        self.total += moved
        return self.total


class Quadrature:
    """The two lines of an incremental encoder as a count: four a period, backwards where the belt runs back.

    Args:
        a, b: the lines' levels at the beginning.
    """

    _ORDER = ((False, False), (True, False), (True, True), (False, True))

    def __init__(self, a: bool, b: bool) -> None:
        self._levels = {"a": a, "b": b}
        self.count = 0
        self.lost = 0

    def edge(self, line: str, rising: bool) -> int:
        """One edge; the count after it. An edge to a level that the line has already means that others were lost: counted in `lost`."""
        if self._levels[line] is rising:
            self.lost += 1
            return self.count
        before = self._phase()
        self._levels[line] = rising
        self.count += 1 if (self._phase() - before) % 4 == 1 else -1
        return self.count

    def _phase(self) -> int:
        return self._ORDER.index((self._levels["a"], self._levels["b"]))


class History:
    """Where the belt was, for the last few seconds."""

    def __init__(self, at_ns: int, position: int) -> None:
        self._times: deque[int] = deque([at_ns], maxlen=KEPT)
        self._positions: deque[int] = deque([position], maxlen=KEPT)

    def note(self, at_ns: int, position: int) -> None:
        """The belt was here then; time does not go back."""
        if len(self._times) > 1 and (at_ns - self._times[-2] < APART_NS or position == self._positions[-1] == self._positions[-2]):
            self._times.pop()
            self._positions.pop()
        self._times.append(at_ns)
        self._positions.append(position)

    def at(self, at_ns: int) -> int | None:
        """Where the belt was at this time, between two positions in proportion; None for before anything is known."""
        index = bisect_right(self._times, at_ns)
        if index == 0:
            return None
        if index == len(self._times):
            return self._positions[-1]
        (then, here), (next_ns, next_) = ((self._times[i], self._positions[i]) for i in (index - 1, index))
        return here + (next_ - here) * (at_ns - then) // (next_ns - then)

    def speed(self, now_ns: int) -> float:
        """Steps a nanosecond over the last time; 0 for a belt that stands or runs backwards."""
        before = self.at(now_ns - SPEED_OVER_NS)
        return 0.0 if before is None else max(0, self._positions[-1] - before) / SPEED_OVER_NS
