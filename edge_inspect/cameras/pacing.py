"""When the next exposure is due, for cameras that have no clock of their own: files, films and drawn parts."""

from __future__ import annotations

import math
import time


class Pace:
    """Exposures at a fixed rate, or at once.

    Exposures lie on a grid that starts with the first one, so that a rate is kept exactly. Whoever comes more than one period late is
    served at once and the grid starts again from there: nothing is skipped, and nothing is made up for in a burst.
    """

    def __init__(self, fps: float | None) -> None:
        """`fps` is exposures per second; None exposes at every call, as a software trigger does."""
        self._period_s = 0.0 if fps is None else 1.0 / fps
        self._due_s = 0.0

    @property
    def exposed_ns(self) -> int:
        """When the exposure was made that was waited for last (monotonic clock) [ns]: now."""
        return time.monotonic_ns()

    def missed(self) -> int:
        """How many exposures nobody took in time since the last one: none."""
        return 0

    def wait(self, timeout_s: float) -> bool:
        """Wait for the next exposure, at most `timeout_s` [s]; False when it is not due by then."""
        left_s = self._due_s - time.monotonic()
        if left_s > timeout_s:
            time.sleep(timeout_s)
            return False
        if left_s > 0:  # also a sleep of nothing gives the processor away
            time.sleep(left_s)
        late_s = time.monotonic() - self._due_s
        self._due_s += self._period_s + (late_s if late_s > self._period_s else 0.0)
        return True


class Clock(Pace):
    """Exposures on a grid that nobody can hold up, as a camera makes them that runs freely: whoever comes late has lost all but the newest.

    Attributes:
        exposed_ns: when the exposure was made that was waited for last: its place on the grid, however late it was fetched.
    """

    exposed_ns = 0

    def __init__(self, fps: float, *, kept: int) -> None:
        """`fps` is exposures per second; `kept` of them wait for whoever comes late."""
        super().__init__(fps)
        self._kept = kept

    def missed(self) -> int:
        """How many exposures are lost since the last call; the next one that is waited for is the oldest that is kept."""
        late_s = time.monotonic() - self._due_s if self._due_s else 0.0
        lost = max(0, math.ceil(late_s / self._period_s) - self._kept)
        self._due_s += lost * self._period_s
        return lost

    def wait(self, timeout_s: float) -> bool:
        """Wait for the next exposure, at most `timeout_s` [s]; False when it is not due by then."""
        self._due_s = self._due_s or time.monotonic()
        left_s = self._due_s - time.monotonic()
        time.sleep(min(max(left_s, 0.0), timeout_s))
        if left_s > timeout_s:
            return False
        self.exposed_ns = int(self._due_s * 1e9)
        self._due_s += self._period_s
        return True
