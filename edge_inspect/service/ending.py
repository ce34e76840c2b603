"""The end of the process: within a time, whatever hangs."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable

from edge_inspect.time_left import THE_END

ORDERLY_S = 1.2
"""From the signal: what all that waits for something at the end has, together [s]. Then it gives up, and says what it gives up."""

WITHIN_S = 1.5
"""From the signal: when whatever is not over by then is left where it is [s]."""

FAIL_SAFE_S = 0.2
TELL_S = 0.1
"""What the fail-safe and the last line of the log may still take then [s]: either may be what hangs."""

STOPS = frozenset({signal.SIGTERM, signal.SIGINT})

_log = logging.getLogger(__name__)


class EndInTime:
    """Ends the process `within_s` after SIGTERM or SIGINT, in a thread of its own; a context manager around all that may hang.

    The thread hears of the signal from the C library's handler itself, so that it does also while Python's main thread is inside an
    engine or a driver. A library that holds the interpreter's lock meanwhile holds this thread too: then systemd must end the process.

    Attributes:
        fail_safe: called first when the time is over, for outputs that must not stay as they are.
    """

    def __init__(self, stop: threading.Event, *, within_s: float = WITHIN_S, orderly_s: float = ORDERLY_S) -> None:
        """Nothing is watched yet; `stop` is set by the signal."""
        self.fail_safe: Callable[[], None] = _nothing
        self._stop = stop
        self._within_s, self._orderly_s = within_s, orderly_s
        self._heard, self._told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._work, name="end", daemon=True)

    def __enter__(self) -> EndInTime:
        """Watch. Called by the main thread, as `signal.set_wakeup_fd` wants it."""
        signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """All is closed in time."""
        signal.set_wakeup_fd(-1)
        os.close(self._told)
        self._thread.join()
        os.close(self._heard)

    def _work(self) -> None:
        if not self._wait_for_stop():
            return
        until_s = time.monotonic() + self._within_s
        THE_END.begin(self._orderly_s)
        self._stop.set()
        while (left_s := until_s - time.monotonic()) > 0:
            if self._next(left_s) == b"":
                return
        _within(FAIL_SAFE_S, self.fail_safe)
        _within(TELL_S, lambda: _log.error("%g s after the signal: the process ends beside what is still open: %s", *self._left()))
        os._exit(0)

    def _wait_for_stop(self) -> bool:
        """Whether the signal came; False where the end came without one."""
        while (said := self._next(None)) != b"":
            if STOPS & set(said or b""):
                return True
        return False

    def _next(self, limit_s: float | None) -> bytes | None:
        """Numbers of the signals that came; b"" when all is closed, None when nothing came within the limit [s]."""
        readable, _, _ = select.select([self._heard], [], [], limit_s)
        return os.read(self._heard, 64) if readable else None

    def _left(self) -> tuple[float, str]:
        return self._within_s, ", ".join([f"the main thread at {_place_of_main()}", *_others(self._thread)])


def end(code: int) -> int:
    """Give the exit code back, or end here with it where a thread is still at work in a library's own code.

    Python ends such a thread in the middle of C++ on its way out, upon which the C++ library aborts the process: systemd would
    take a stop for a crash.
    """
    hanging = _others(threading.current_thread())
    if hanging:
        _log.error("the process ends beside what still hangs: %s", ", ".join(hanging))
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return code


def _others(but: threading.Thread) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.daemon and thread is not but]


def _place_of_main() -> str:
    """File, line and function that Python's main thread is in; what it called there is a library's."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None:
        return "its end"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"


def _within(limit_s: float, work: Callable[[], None]) -> None:
    """Do it, but go on after the limit [s]."""
    thread = threading.Thread(target=work, name="last words", daemon=True)
    thread.start()
    thread.join(limit_s)


def _nothing() -> None:
    pass
