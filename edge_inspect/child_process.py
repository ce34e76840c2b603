"""A child process that may be killed at any moment: commands to it, answers from it a line each, and a lifeline.

It ends when this process does, also by kill -9: the kernel closes the lifeline then. Nothing else of it is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping

# A killed process is gone at once, unless a driver holds it; then it is left to the driver.
BURIAL_S = 5.0
_LONGEST_ANSWER = 65_536

Descriptors = Mapping[str, int]
"""File descriptors of the child by what they are for: `commands`, `answers`, `lifeline`, and what is shared with it."""


class ChildProcess:
    """One child, alive until it is closed, killed, or ends by itself.

    Attributes:
        alive: whether it can still be asked.
    """

    def __init__(
        self, command: Callable[[Descriptors], list[str]], *, shared: Descriptors, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it.

        Args:
            command: the command line, from the descriptors it has.
            shared: descriptors of ours that it is to have too.
            environment: its environment; None is ours.

        Raises:
            OSError: it cannot be started.
        """
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        lifeline, self._lifeline = os.pipe()
        self._open = [self._commands, self._answers, self._lifeline]
        self._rest = b""
        there = {"commands": commands, "answers": answers, "lifeline": lifeline, **shared}
        try:
            self._process = _started(command(there), there, environment)
        except OSError:
            self._let_go()
            raise
        finally:
            for descriptor in (commands, answers, lifeline):
                os.close(descriptor)
        self._ready = select.poll()
        self._ready.register(self._answers, select.POLLIN)
        self.alive = True

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended and is buried."""
        return self._process.poll() is not None

    @property
    def ended(self) -> str:
        """How it ended, for a person: a signal's name or an exit code."""
        return how_it_ended(self._process.returncode)

    def tell(self, command: bytes) -> None:
        """Send a command.

        Raises:
            BrokenPipeError: it has ended by itself.
        """
        os.write(self._commands, command)

    def line(self, until_s: float) -> bytes | None:
        """Its next whole line, with the end of the line; None when there was none until then (monotonic clock) [s].

        Raises:
            EOFError: it has ended by itself, or closed its answers.
        """
        while b"\n" not in self._rest:
            left_ms = max(0.0, until_s - time.monotonic()) * 1e3
            if not self._ready.poll(left_ms):
                return None
            more = os.read(self._answers, _LONGEST_ANSWER)
            if not more:
                raise EOFError
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line + b"\n"

    def close(self, farewell_s: float, burial_s: float = BURIAL_S) -> None:
        """End it, gently for `farewell_s` [s] where it still listens, and bury it; nothing of it is left."""
        if self.alive:
            self._open.remove(self._commands)
            os.close(self._commands)
            self.alive = False
            self.bury(farewell_s)
        self.kill(burial_s)
        self._let_go()

    def kill(self, burial_s: float = BURIAL_S) -> None:
        """End it now; waits until it is gone, at most `burial_s` [s]."""
        self.alive = False
        self._process.kill()
        self.bury(burial_s)

    def bury(self, burial_s: float = BURIAL_S) -> None:
        """Wait until it is gone, at most `burial_s` [s]."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(burial_s)

    def _let_go(self) -> None:
        while self._open:
            os.close(self._open.pop())


def end_with_parent(there: Descriptors) -> None:
    """For the child: the kernel kills it when the other end of its lifeline closes, also while it is stopped or hangs."""
    for descriptor in there.values():
        os.set_inheritable(descriptor, False)  # a process of its own would hold them open after its death
    lifeline = there["lifeline"]
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # they are for the parent, which ends us when it is done
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    already = select.poll()
    already.register(lifeline, 0)
    if already.poll(0):
        os._exit(0)


def _started(command: list[str], there: Descriptors, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=tuple(there.values()),
        env=environment,
    )


def how_it_ended(code: int | None) -> str:
    """A signal's name or an exit code, for a person; SIGKILL is what the kernel sends where memory runs out."""
    if code is None:
        return "the driver still holds it"
    if code == -signal.SIGKILL:
        return "SIGKILL: somebody's, or the kernel's because memory ran out: see dmesg"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
