"""One station a data folder: a second one would mix its count and its records into the first one's."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_inspect.errors import OutputError


@contextmanager
def hold_alone(data: Path) -> Iterator[None]:
    """Hold the data folder until the end; the kernel lets go of it when the process dies.

    Raises:
        OutputError: another process holds it, or it cannot be written.
    """
    path = data / "station.lock"
    try:
        file = path.open("a", encoding="ascii")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check `data` in the station file and the permissions") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"{data}: another running station uses this folder; give each station a `data` folder of its own") from error
        yield
