"""A request of a verb to the running station: a file in the station's data that the verb touches for as long as it waits.

No socket: whoever may write into the station's data may ask, and a verb that dies is noticed since it no longer touches its file.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from edge_inspect.durable import FILE_MODE, replace_file
from edge_inspect.errors import OutputError

TOUCH_EVERY_S = 1.0
"""How often the verb touches its file [s]."""

GIVEN_UP_AFTER_S = 10.0
"""A file that nobody has touched for so long was left behind [s]."""


class Request:
    """The verb's side."""

    def __init__(self, path: Path, content: dict[str, str]) -> None:
        """Ask; take the request back with `withdraw`.

        Raises:
            OutputError: the file cannot be written.
        """
        self._path = path
        self._content = content
        self._touched_s = time.monotonic()
        self._write()

    def keep_up(self) -> None:
        """Let the station know that somebody still waits; called again and again.

        Raises:
            OutputError: the file cannot be written.
        """
        if time.monotonic() - self._touched_s < TOUCH_EVERY_S:
            return
        self._touched_s = time.monotonic()
        try:
            os.utime(self._path)
        except OSError:
            self._write()

    def withdraw(self) -> None:
        """Ask no longer."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        try:
            replace_file(self._path, json.dumps(self._content).encode(), mode=FILE_MODE)
        except OSError as error:
            raise OutputError(
                f"{self._path}: cannot be written: {error.strerror}; run this as the station's user, and check space"
            ) from error


class Asked:
    """The station's side: looks at the file from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touched: tuple[int, float] | None = None

    def now(self) -> dict[str, str]:
        """What is asked for now; empty where nothing is.

        By this process's own clock: one that is set meanwhile neither ends a request nor keeps a forgotten one going.
        """
        now_s = time.monotonic()
        try:
            touched = self._path.stat().st_mtime_ns
        except OSError:
            return {}
        if self._touched is None and time.time() - touched / 1e9 > GIVEN_UP_AFTER_S:
            self._touched = touched, now_s - GIVEN_UP_AFTER_S  # left behind by a verb that was killed before this station began
        elif self._touched is None or touched != self._touched[0]:
            self._touched = touched, now_s
        return self._read() if now_s - self._touched[1] < GIVEN_UP_AFTER_S else {}

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
