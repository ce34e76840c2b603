"""When the next exposure is due, for cameras that have no clock of their own: files, films and drawn parts."""

from __future__ import annotations

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

    def wait(self, timeout_s: float) -> bool:
        """Wait for the next exposure, at most `timeout_s` [s]; False when it is not due by then."""
        left_s = self._due_s - time.monotonic()
        if left_s > timeout_s:
            time.sleep(timeout_s)
            return False
        time.sleep(max(left_s, 0.0))
        late_s = time.monotonic() - self._due_s
        self._due_s += self._period_s + (late_s if late_s > self._period_s else 0.0)
        return True
