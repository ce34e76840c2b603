"""The station's process as the kernel shows it: start, Ready, memory, descriptors, its camera's child, signals."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM, Signals
from types import TracebackType
from typing import IO, Any

from edge_inspect.errors import EdgeInspectError, PlcError
from edge_inspect.field.soak.setting import Setting
from edge_inspect.service.live import STATUS_FILE, read_status

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 20.0
_LOOK_S = 0.02
AS_THE_UNIT = {"MALLOC_ARENA_MAX": "2"}
"""What systemd/edge-inspect@.service sets that memory depends on."""


class StationProcess:
    """`edge-inspect run` of a setting; a context manager.

    Attributes:
        life: how often it was started.
        stop_s: how long it took to end after SIGTERM [s]; NaN before.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._note = setting.folder / "run"
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[Any] | None = None
        self.life = 0
        self.stop_s = float("nan")

    def __enter__(self) -> StationProcess:
        """Start it and wait until it is Ready.

        Raises:
            PlcError: it ended, or was not Ready in time.
        """
        self._note.mkdir()
        self._said = (self._setting.folder / "stderr").open("ab")
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Kill what is left of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._said is not None:
            self._said.close()

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, and wait until it is Ready.

        Raises:
            PlcError: it ended, or was not Ready in time.
        """
        command = [sys.executable, "-m", "edge_inspect", "run", "--station", "station.yaml"]
        environment = {**os.environ, **AS_THE_UNIT, "RUNTIME_DIRECTORY": str(self._note)}
        self._process = subprocess.Popen(command, cwd=self._setting.folder, stderr=self._said, env=environment)  # noqa: S603 - our own program
        until = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise PlcError(f"soak: the station did not get Ready; it said: {self.said()[-2000:]}")
            time.sleep(_LOOK_S)
        self.life += 1

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for its end.

        Raises:
            PlcError: it did not end in time, or not with 0.
        """
        started = time.monotonic()
        self.signal(SIGTERM)
        try:
            code = None if self._process is None else self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            code = None
        self.stop_s = time.monotonic() - started
        if code != 0:
            raise PlcError(f"soak: the station ended with {code} after SIGTERM; it said: {self.said()[-2000:]}")

    def signal(self, number: Signals) -> None:
        """Send it a signal; one that is gone hears nothing."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def signal_camera(self, number: Signals) -> None:
        """Send the camera's child a signal."""
        with suppress(OSError):
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split() + self._grandchildren():
                if "camera_opening" in Path(f"/proc/{child}/cmdline").read_text():
                    os.kill(int(child), number)

    def resident_mb(self) -> float:
        """Memory of the process in RAM [MB]; NaN where it is gone."""
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6
        return float("nan")

    def descriptors(self) -> float:
        """Open descriptors of the process; NaN where it is gone."""
        with suppress(OSError):
            return float(len(list(Path(f"/proc/{self.pid}/fd").iterdir())))
        return float("nan")

    def threads(self) -> float:
        """Threads of the process; NaN where it is gone."""
        with suppress(OSError):
            return float(len(list(Path(f"/proc/{self.pid}/task").iterdir())))
        return float("nan")

    def alarms(self) -> dict[str, str]:
        """Alarms that stand now; that the station does not tell them is one."""
        try:
            return {source: alarm["text"] for source, alarm in read_status(self._setting.data / STATUS_FILE)["alarms"].items()}
        except EdgeInspectError as error:
            return {"status": str(error)}

    def said(self) -> str:
        """What it has written to standard error."""
        return (self._setting.folder / "stderr").read_text(errors="replace")

    def _grandchildren(self) -> list[str]:
        """A child belongs to the thread that started it."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [child for task in tasks for child in task.read_text().split()]

    def _is_ready(self) -> bool:
        try:
            status = read_status(self._setting.data / STATUS_FILE)
        except EdgeInspectError:
            return False
        return bool(status["state"] == "ready" and status["pid"] == self.pid)
