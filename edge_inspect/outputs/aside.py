"""A damaged database is put aside, whole, and a new one begun: the line goes on recording, and an alarm stands until a person has looked.

The write-ahead log moves first: left beside a new file SQLite would take it for that file's own.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

_MARK = ".damaged-"
_DAMAGE = ("malformed", "not a database")

_log = logging.getLogger(__name__)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken. The texts are SQLite's own; Python 3.10 does not tell the code."""
    return any(text in str(error) for text in _DAMAGE)


def put_aside(path: Path, error: sqlite3.Error) -> None:
    """Rename the file and its write-ahead log; nothing of them is changed.

    Raises:
        OSError: the folder cannot be written.
    """
    name = _free_name(path)
    for suffix in ("-shm", "-wal", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(name.with_name(name.name + suffix))
    _log.error("%s: %s; put aside as %s, a new database is begun", path, error, name.name)


def newest_aside(path: Path) -> Path | None:
    """The file that was put aside last and still lies there."""
    aside = sorted(file for file in path.parent.glob(f"{path.name}{_MARK}*") if not file.name.endswith(("-wal", "-shm")))
    return aside[-1] if aside else None


def alarm_for(path: Path, aside: Path) -> str:
    """The sentence that stands as long as the file lies there."""
    return (
        f"{path} was damaged and lies aside as {aside.name}, a new database was begun: look at the disk, save what can be read "
        f"(`sqlite3 {aside.name} .recover`), and move that file away, which ends this alarm"
    )


def _free_name(path: Path) -> Path:
    """A clock that jumped back must not overwrite an older one."""
    stamp = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    names = (path.with_name(f"{path.name}{_MARK}{stamp}{'' if count == 0 else f'.{count}'}") for count in range(1000))
    return next(name for name in names if not name.exists())
