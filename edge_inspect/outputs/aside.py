"""A database that is damaged, or whose tables a newer program has changed, is put aside, whole, and a new one begun.

The line goes on recording, and an alarm stands until a person has looked. The write-ahead log moves first: left beside a new file SQLite
would take it for that file's own.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from edge_inspect.durable import ASIDE_MARK, aside_name
from edge_inspect.events import Event, fields

NEWER_MARK = ".newer-"
_DAMAGE = ("malformed", "not a database")

_log = logging.getLogger(__name__)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken. The texts are SQLite's own; Python 3.10 does not tell the code."""
    return any(text in str(error) for text in _DAMAGE)


def put_aside(path: Path, why: object, mark: str = ASIDE_MARK) -> None:
    """Rename the file and its write-ahead log; nothing of them is changed.

    Raises:
        OSError: the folder cannot be written.
    """
    name = aside_name(path, mark)
    for suffix in ("-shm", "-wal", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(name.with_name(name.name + suffix))
    said = fields(Event.PUT_ASIDE, file=path)
    _log.error("%s: %s; put aside as %s, a new database is begun", path, why, name.name, extra=said)


def newest_aside(path: Path, mark: str = ASIDE_MARK) -> Path | None:
    """The file that was put aside last under this mark and still lies there."""
    aside = sorted(file for file in path.parent.glob(f"{path.name}{mark}*") if not file.name.endswith(("-wal", "-shm")))
    return aside[-1] if aside else None


def every_aside(path: Path) -> tuple[Path, ...]:
    """The newest damaged one and the newest of a newer program, as far as they lie there."""
    found = (newest_aside(path, mark) for mark in (ASIDE_MARK, NEWER_MARK))
    return tuple(aside for aside in found if aside is not None)


def alarm_for(path: Path, aside: Path) -> str:
    """The sentence that stands as long as the file lies there."""
    if aside.name.startswith(path.name + NEWER_MARK):
        return (
            f"{path} was written by a newer program and lies aside as {aside.name}, a new database was begun: the inspections of before "
            "are in that file, which the program that wrote it can read; move it away, which ends this alarm"
        )
    return (
        f"{path} was damaged and lies aside as {aside.name}, a new database was begun: look at the disk, save what can be read "
        f"(`sqlite3 {aside.name} .recover`), and move that file away, which ends this alarm"
    )
