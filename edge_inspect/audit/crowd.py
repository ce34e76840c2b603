"""Of a flood of the same, the first are written and the others counted: nobody pushes older entries out of the record by repetition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_inspect.audit.entry import Draft, draft_of
from edge_inspect.datatypes import Action, Deed, Peer

WINDOW_S = 60.0
NOISE = frozenset({Deed.CONNECTION, Deed.REQUEST})
"""What anybody can cause who reaches the port: one line a minute and peer. The rest is somebody who was let in."""
MOST = {True: 1, False: 60}
"""Lines a minute, for noise and for the rest, of one deed with one outcome by one peer."""
KEYS = 256
"""Peers and deeds told apart at once; more share one line."""
_Key = tuple[Deed, str, str, str]


@dataclass(slots=True)
class _Window:
    began_s: float
    written: int = 0
    counted: int = 0
    last: Action | None = None


class Crowd:
    """What came within the last minute. Used under its caller's lock."""

    def __init__(self) -> None:
        self._windows: dict[_Key, _Window] = {}

    def lets_through(self, action: Action, now_s: float) -> bool:
        """Whether this one gets a line of its own; one that does not is counted."""
        key = _key(action)
        if key not in self._windows and len(self._windows) >= KEYS:
            action = replace(action, by=Peer("others"))
            key = _key(action)
        window = self._windows.setdefault(key, _Window(now_s))
        if window.written < MOST[action.deed in NOISE]:
            window.written += 1
            return True
        window.counted, window.last = window.counted + 1, action
        return False

    def due(self, now_s: float) -> Iterator[Draft]:
        """What was counted in windows that are over, a line each."""
        for key, window in list(self._windows.items()):
            if now_s - window.began_s >= WINDOW_S:
                del self._windows[key]
                if window.last is not None:
                    yield draft_of(window.last, window.counted)

    def all(self) -> Iterator[Draft]:
        """Everything that was counted, at the end."""
        return self.due(float("inf"))


def _key(action: Action) -> _Key:
    return action.deed, action.outcome.value, action.wire, action.by.address
