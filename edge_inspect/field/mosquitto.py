"""A broker of its own for a trial: mosquitto, which can be killed and started again on its port and keeps its sessions."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from edge_inspect.errors import PlcError

START_WITHIN_S = 10.0
AGAIN_S = 0.01
DATABASE = "mosquitto.db"


class Mosquitto:
    """The broker's process; a context manager.

    Attributes:
        port: the port it listens on, on this machine alone.
    """

    def __init__(self, folder: Path) -> None:
        """Start it; its files lie in `folder`.

        Raises:
            PlcError: mosquitto is not installed or does not start.
        """
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise PlcError("fake PLC: wire mqtt needs mosquitto for --spawn; apt install mosquitto")
        self.port = free_port()
        self._database = folder / DATABASE
        file = folder / "mosquitto.conf"
        file.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
            + ("user root\n" if os.getuid() == 0 else ""),
            encoding="utf-8",
        )
        self._command = [program, "-c", str(file)]
        self.start()

    def __enter__(self) -> Mosquitto:
        """It listens already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self._kill()

    def start(self) -> None:
        """Start it, also again.

        Raises:
            PlcError: it does not listen in time.
        """
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - found above
        self._wait(self._listens, "does not listen")

    def kill(self) -> None:
        """SIGKILL, once it has written down its sessions: a broker that forgets its subscribers is another fault than a dead one.

        Raises:
            PlcError: it does not write them down.
        """
        before = self._saved()
        self._process.send_signal(signal.SIGUSR1)
        self._wait(lambda: self._saved() != before, "does not write its sessions")
        self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _saved(self) -> tuple[int, int]:
        try:
            status = self._database.stat()
        except OSError:
            return 0, 0
        return status.st_ino, status.st_mtime_ns

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + START_WITHIN_S
        while not is_so():
            if time.monotonic() > until or self._process.poll() is not None:
                raise PlcError(f"fake PLC: mosquitto {what}; see {self._command[-1]}")
            time.sleep(AGAIN_S)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
