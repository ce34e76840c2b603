"""Reading the database beside the running station: one read-only snapshot per call, which never hinders the writer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_inspect.datatypes import Verdict
from edge_inspect.errors import OutputError
from edge_inspect.outputs.records import STAGES, Record, utc_text
from edge_inspect.outputs.schema import (
    COLUMNS,
    MIGRATIONS,
    REGION_COLUMNS,
    STAGE_COLUMNS,
    database_error,
    highest_recorded,
    refuse_newer,
    version_of,
)

_READER_WAIT_S = 2.0


def last_sequence(path: Path) -> int:
    """The highest sequence ever recorded in this file, 0 where there is none; pruned inspections count too.

    Raises:
        OutputError: the file is damaged or was written by a newer program.
    """
    if not path.exists():
        return 0
    with _reading(path) as connection:
        return highest_recorded(connection)


def find_inspection(path: Path, sequence: int) -> Record | None:
    """One inspection as `record_from_inspection` gave it, or None where no such sequence is recorded.

    Raises:
        OutputError: there is no such file, it is damaged, or its schema version cannot be read.
    """
    found = _select(path, "WHERE sequence = ?", (sequence,))
    return found[0] if found else None


def recent(path: Path, count: int) -> list[Record]:
    """The newest inspections, newest first, as `record_from_inspection` gave them.

    Raises:
        OutputError: there is no such file, it is damaged, or its schema version cannot be read.
    """
    return _select(path, "ORDER BY sequence DESC LIMIT ?", (count,))


def inspections_since(path: Path, moment: datetime, *, verdicts: Sequence[str]) -> list[Record]:
    """Inspections of these verdicts taken at or after a moment, oldest first, as `record_from_inspection` gave them.

    Raises:
        OutputError: there is no such file, it is damaged, or its schema version cannot be read.
    """
    marks = ", ".join("?" * len(verdicts))
    return _select(path, f"WHERE taken_at >= ? AND verdict IN ({marks}) ORDER BY sequence", (utc_text(moment), *verdicts))


def count_by_verdict(path: Path) -> dict[str, int]:
    """How many inspections stand there per verdict; every verdict has a key.

    Raises:
        OutputError: there is no such file, it is damaged, or its schema version cannot be read.
    """
    counts = dict.fromkeys((verdict.value for verdict in Verdict), 0)
    with _reading_tables(path) as connection:
        counts.update(connection.execute("SELECT verdict, count(*) FROM inspections GROUP BY verdict"))
    return counts


def _select(path: Path, which: str, values: tuple[int | str, ...]) -> list[Record]:
    with _reading_tables(path) as connection:
        names = ", ".join(COLUMNS + STAGE_COLUMNS)
        rows = connection.execute(f"SELECT {names} FROM inspections {which}", values).fetchall()  # noqa: S608 - own names only
        return [_record(connection, row) for row in rows]


def _record(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Record:
    record = dict(zip(COLUMNS, row, strict=False))
    record["latency_ms"] = dict(zip(STAGES, row[len(COLUMNS) :], strict=True))
    names = ", ".join(f'"{name}"' for name in REGION_COLUMNS)
    query = f"SELECT {names} FROM regions WHERE sequence = ? ORDER BY rank"  # noqa: S608 - own names only
    regions = connection.execute(query, (record["sequence"],))
    record["regions"] = [dict(zip(REGION_COLUMNS, region, strict=True)) for region in regions]
    return record


@contextmanager
def _reading_tables(path: Path) -> Iterator[sqlite3.Connection]:
    """A reader of a file that has this program's tables, or these and more."""
    with _reading(path) as connection:
        version = version_of(connection)
        if version < len(MIGRATIONS):
            raise OutputError(
                f"{path}: has schema version {version}, this program reads {len(MIGRATIONS)}; start the station once, which migrates it"
            )
        yield connection


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One read-only snapshot of the file."""
    if not path.exists():
        raise OutputError(f"{path}: there is no database; check the path, and that the station has a database output")
    try:
        with closing(sqlite3.connect(_address(path), uri=True, timeout=_READER_WAIT_S, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            refuse_newer(connection, path)
            yield connection
    except sqlite3.Error as error:
        raise database_error(path, "the database cannot be read", error) from error


def _address(path: Path) -> str:
    """Read-only; where the station is stopped (no WAL) and we may make no WAL index beside the file, as it stands."""
    stopped = not path.with_name(path.name + "-wal").exists()
    unchanging = stopped and not os.access(path.parent, os.W_OK)
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if unchanging else ''}"
