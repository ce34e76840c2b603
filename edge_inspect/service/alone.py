"""One station a data folder: a second one would mix its count and its records into the first one's."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_inspect.durable import open_for_group
from edge_inspect.errors import OutputError


class FolderHeld(OutputError):
    """A running station holds the data folder."""


@contextmanager
def hold_alone(data: Path) -> Iterator[None]:
    """Hold the data folder until the end; the kernel lets go of it when the process dies.

    Raises:
        FolderHeld: another process holds it.
        OutputError: it cannot be written.
    """
    path = data / "station.lock"
    try:
        file = open_for_group(path, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check `data` in the station file and the permissions") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderHeld(f"{data}: another running station uses this folder; give each station a `data` folder of its own") from error
        yield


def is_held(data: Path) -> bool:
    """Whether a running station holds the data folder now; nothing is made or written there."""
    with suppress(OSError), (data / "station.lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
