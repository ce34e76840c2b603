"""The database: every inspection and its regions in one SQLite file, with functions that read it beside the running station.

One transaction per inspection in WAL mode with `synchronous=FULL`: what `emit` acknowledged survives a kill -9 and a
power cut. A file that is damaged, or whose tables a newer program has changed, is put aside and a new one begun
(`aside.py`). There is one writer; readers open the file read-only, so that no second program ever checkpoints (SQLite
before 3.51.3 can lose a WAL then).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from edge_inspect.datatypes import Inspection
from edge_inspect.durable import make_folder
from edge_inspect.errors import AlreadyRecorded
from edge_inspect.outputs.aside import NEWER_MARK, alarm_for, every_aside, is_damage, put_aside
from edge_inspect.outputs.disk import FILE_MODE, lock, output_error
from edge_inspect.outputs.history import count_by_verdict, find_inspection, inspections_since, last_sequence, recent
from edge_inspect.outputs.records import STAGES, Record, record_from_inspection, utc_text
from edge_inspect.outputs.schema import (
    COLUMNS,
    REGION_COLUMNS,
    STAGE_COLUMNS,
    count_on_after,
    database_error,
    highest_recorded,
    is_too_new,
    migrate,
    transaction,
    version_of,
)

__all__ = ["Database", "count_by_verdict", "find_inspection", "inspections_since", "last_sequence", "open_database", "recent"]

_PRUNED_PER_INSERT = 20  # an old row goes with a new one, in its transaction: no pause for a big clean-up


@contextmanager
def open_database(
    *,
    station: str,
    path: Path,
    keep_days: Annotated[float, Field(gt=0)] | None = None,
    busy_ms: Annotated[int, Field(ge=0, le=60_000)] = 500,
) -> Iterator[Database]:
    """Open the database; an older one is migrated, and one that only a newer program can write is put aside.

    Args:
        station: name of the station, given by it.
        path: the file; made, with its folder, where it is missing.
        keep_days: age at which inspections are deleted [days]; None keeps all.
        busy_ms: how long an inspection waits for another program that has locked the file [ms].

    Raises:
        OutputError: the file cannot be written, or another program records into it.
    """
    database = Database(station=station, path=path, keep_days=keep_days, busy_ms=busy_ms)
    try:
        database.open()
        yield database
    finally:
        database.close()


class Database:
    """An `Output` into one SQLite file. Used by one thread at a time."""

    def __init__(self, *, station: str, path: Path, keep_days: float | None, busy_ms: int) -> None:
        self._station = station
        self._path = path
        self._keep_days = keep_days
        self._busy_ms = busy_ms
        self._lock: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._opened_file: os.stat_result | None = None
        self._aside: tuple[Path, ...] = ()

    @property
    def alarm(self) -> str:
        """What a person must look at although all is recorded: files that lie aside; "" when there is none."""
        if not all(aside.exists() for aside in self._aside):
            self._aside = every_aside(self._path)
        return "; ".join(alarm_for(self._path, aside) for aside in self._aside)

    def open(self) -> None:
        """Open the file, make or migrate its tables.

        Raises:
            OutputError: see `open_database`.
        """
        with self._told("the database cannot be opened"):
            self._begin_anew_if_damaged(self._open)

    def close(self) -> None:
        """Close the file; the next `emit` would open it again."""
        if self._connection is not None:
            with suppress(sqlite3.Error):  # on a full disk the WAL stays, and its rows with it
                self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
        self._connection = self._lock = None

    def emit(self, inspection: Inspection) -> None:
        """Record one inspection; it is on the disk when this returns.

        Raises:
            AlreadyRecorded: another inspection of this count stands there.
            OutputError: it is not recorded. The next call starts from scratch.
        """
        record = record_from_inspection(inspection, station=self._station)
        with self._told(f"inspection {inspection.sequence} was not recorded"):
            self._begin_anew_if_damaged(lambda: self._insert(self._open_connection(), record))

    def _begin_anew_if_damaged(self, attempt: Callable[[], object]) -> None:
        """Do it; in a new file where the old one turns out to be damaged."""
        try:
            attempt()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.close()
            put_aside(self._path, error)
            attempt()

    def holds(self, sequence: int) -> bool:
        """Whether an inspection of this count stands there.

        Raises:
            OutputError: the file cannot be read.
        """
        with self._told(f"inspection {sequence} cannot be looked for"):
            found = self._open_connection().execute("SELECT 1 FROM inspections WHERE sequence = ?", (sequence,))
            return found.fetchone() is not None

    def _insert(self, connection: sqlite3.Connection, record: Record) -> None:
        try:
            with transaction(connection):
                connection.execute(_insert_into("inspections", COLUMNS + STAGE_COLUMNS), _inspection_row(record))
                connection.executemany(_insert_into("regions", ("sequence", "rank", *REGION_COLUMNS)), _region_rows(record))
                self._prune(connection, record["sequence"])
        except sqlite3.IntegrityError as error:
            raise AlreadyRecorded(
                f"{self._path}: inspection {record['sequence']} was not recorded: an inspection with this sequence stands there "
                "already; count on from last_sequence(), or begin a new file"
            ) from error

    def _prune(self, connection: sqlite3.Connection, newest: int) -> None:
        if self._keep_days is None:
            return
        too_old = utc_text(datetime.now(timezone.utc) - timedelta(days=self._keep_days))
        connection.execute(
            "DELETE FROM inspections WHERE sequence IN"
            " (SELECT sequence FROM inspections WHERE taken_at < ? AND sequence <> ? ORDER BY taken_at LIMIT ?)",
            (too_old, newest, _PRUNED_PER_INSERT),
        )

    def _open_connection(self) -> sqlite3.Connection:
        """The open connection, opened again after an error or where the file was deleted or replaced behind our back."""
        if self._connection is not None and self._opened_file is not None:
            with suppress(FileNotFoundError, NotADirectoryError):
                if os.path.samestat(self._path.stat(), self._opened_file):
                    return self._connection
        return self._open()

    def _open(self) -> sqlite3.Connection:
        self.close()
        make_folder(self._path.parent)
        self._lock = lock(self._path.with_name(self._path.name + ".lock"))
        _create(self._path)
        self._connection = connection = self._connect()
        if is_too_new(connection):  # looked at before anything is changed in the file
            return self._open_anew(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection, self._path)
        self._opened_file = self._path.stat()
        self._aside = every_aside(self._path)
        return connection

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=self._busy_ms / 1000, isolation_level=None, check_same_thread=False)

    def _open_anew(self, newer: sqlite3.Connection) -> sqlite3.Connection:
        """A new file beside the one of a newer program; it goes on with the count of that one."""
        highest, version = highest_recorded(newer), version_of(newer)
        self.close()
        put_aside(self._path, f"a newer program wrote it (schema version {version}), and this one cannot", NEWER_MARK)
        connection = self._open()
        count_on_after(connection, highest)
        return connection

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn errors into sentences, and close: the next call opens the file again, which is all that ever helps."""
        try:
            yield
        except OSError as error:
            self.close()
            raise output_error(self._path, what, error) from error
        except sqlite3.Error as error:
            self.close()
            raise database_error(self._path, what, error) from error


def _create(path: Path) -> None:
    """Make an empty file of the right mode, whatever the umask; SQLite gives its WAL the same."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            os.fchmod(descriptor, FILE_MODE)
        finally:
            os.close(descriptor)


def _insert_into(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - own names only


def _inspection_row(record: Record) -> list[Any]:
    return [record[column] for column in COLUMNS] + [record["latency_ms"][stage] for stage in STAGES]


def _region_rows(record: Record) -> list[list[Any]]:
    return [[record["sequence"], rank, *(region[column] for column in REGION_COLUMNS)] for rank, region in enumerate(record["regions"])]
