"""How long the end of the process may take: one deadline, shared by all that waits on the way out.

Each of them closes after the other and knows nothing of the others' waits; added up they would be longer than systemd is patient. Until
the end has begun everybody gets the time that it asks for.
"""

from __future__ import annotations

import math
import time


class TimeLeft:
    """The deadline. `begin` is called by one thread, `at_most` by all."""

    def __init__(self) -> None:
        """The end has not begun."""
        self._until_s = math.inf

    def begin(self, within_s: float) -> None:
        """The end begins: whoever asks from now on has `within_s` [s] in all, together with the others."""
        self._until_s = time.monotonic() + within_s

    def at_most(self, wanted_s: float, *, share: float = 1.0) -> float:
        """What whoever wants to wait for `wanted_s` [s] may wait now [s]; 0 when the time is over.

        Args:
            wanted_s: what it would wait for by itself [s].
            share: of the time that is left; less than 1 where others close after it who have more to lose.
        """
        return max(0.0, min(wanted_s, share * (self._until_s - time.monotonic())))


THE_END = TimeLeft()
"""Of this process."""
