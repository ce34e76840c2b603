"""Log lines that repeat: the first at once, then one line a window with how many there were, until they stop.

A fault that comes with each part would write thirty lines a second: a disk fills up, and journald throws away what comes after its
own limit, other lines too. Two lines are the same when they differ in numbers only. The last one of a window is what is told, so that
what is over is told too. Windows grow while it goes on.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

FIRST_WINDOW_S = 10.0
LONGEST_WINDOW_S = 600.0
FREE = 3
"""So many of one kind pass in a window before they are held back."""
MOST_KINDS = 1000

_NUMBER = re.compile(r"\d+")
_Kind = tuple[str, int, str]


@dataclass(slots=True)
class _Window:
    """What has come of one kind since `began_s`."""

    began_s: float
    length_s: float
    passed: int = 0
    held_back: int = 0
    last: logging.LogRecord | None = None


class Repeats(logging.Handler):
    """A handler in front of another one, which gets a few lines of each kind and then sums."""

    def __init__(self, inner: logging.Handler, *, clock: Callable[[], float] = time.monotonic, timer: bool = True) -> None:
        """Hold nothing back yet.

        Args:
            inner: gets what passes.
            clock: gives the time [s].
            timer: end windows by a thread too; without it only the next line does.
        """
        super().__init__()
        self._inner = inner
        self._clock = clock
        self._timer = timer
        self._waits: threading.Timer | None = None
        self._windows: dict[_Kind, _Window] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on, or count it."""
        now_s = self._clock()
        self._end_windows(now_s)
        kind = (record.name, record.levelno, _NUMBER.sub("#", record.getMessage()))
        window = self._windows.setdefault(kind, _Window(began_s=now_s, length_s=FIRST_WINDOW_S))
        if window.passed < FREE:
            window.passed += 1
            self._inner.handle(record)
            return
        window.held_back += 1
        window.last = record
        self._wake_at_the_end(window.began_s + window.length_s - now_s)

    def flush(self) -> None:
        """Tell what was held back so far."""
        with self._guarded():
            for window in self._windows.values():
                self._tell(window, self._clock())
        self._inner.flush()

    def close(self) -> None:
        """Tell the rest, and close."""
        if self._waits is not None:
            self._waits.cancel()
        self.flush()
        self._inner.close()
        super().close()

    def _end_windows(self, now_s: float) -> None:
        ended = [kind for kind, window in self._windows.items() if now_s >= window.began_s + window.length_s]
        for kind in sorted(ended, key=lambda kind: _came_at(self._windows[kind].last)):
            window = self._windows.pop(kind)
            if window.held_back:
                self._tell(window, now_s)
                longer_s = min(2 * window.length_s, LONGEST_WINDOW_S)
                self._windows[kind] = _Window(began_s=now_s, length_s=longer_s, passed=FREE)
        if len(self._windows) > MOST_KINDS:
            self._windows.clear()

    def _tell(self, window: _Window, now_s: float) -> None:
        if window.last is None or not window.held_back:
            return
        told = copy(window.last)
        more = f"{window.held_back} like it" if window.held_back > 1 else "once more"
        told.msg, told.args = f"{window.last.getMessage()} ({more} in {now_s - window.began_s:.0f} s)", None
        window.held_back, window.last = 0, None
        self._inner.handle(told)

    def _wake_at_the_end(self, in_s: float) -> None:
        if self._timer and (self._waits is None or not self._waits.is_alive()):
            self._waits = threading.Timer(max(in_s, 0.0) + 0.05, self._on_time)
            self._waits.daemon = True
            self._waits.start()

    def _on_time(self) -> None:
        with self._guarded():
            self._waits = None
            now_s = self._clock()
            self._end_windows(now_s)
            left = [window.began_s + window.length_s - now_s for window in self._windows.values() if window.held_back]
            if left:
                self._wake_at_the_end(min(left))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _came_at(record: logging.LogRecord | None) -> float:
    return 0.0 if record is None else record.created
