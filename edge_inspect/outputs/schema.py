"""Tables of the database and how an older file becomes a newer one.

`PRAGMA user_version` is the number of migrations a file has been through. A change of the tables is a new entry at the
end of `MIGRATIONS`; an entry that has been released is never edited.

The file also says since which version programs can use it (`compatible`): one that is put back after an upgrade goes on
writing a file to which the newer one has only added something.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.errors import OutputError
from edge_inspect.outputs.records import STAGES

COLUMNS = (
    *("station", "sequence", "acquisition", "part_id", "taken_at", "verdict", "reason", "score", "threshold"),
    *("recipe", "engine_sha256", "calibration_id", "recipe_sha256", "software"),
)
STAGE_COLUMNS = tuple(f"{stage}_ms" for stage in STAGES)
REGION_COLUMNS = ("left", "top", "right", "bottom", "centre_x", "centre_y", "area_px", "area_mm2", "peak", "mean", "zone", "zone_number")
"""Columns in the order in which they are written and read; their names are those of the record."""

# AUTOINCREMENT: SQLite remembers the highest sequence ever used, also when every row has been pruned by age.
_VERSION_1 = (
    """
    CREATE TABLE inspections (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        station TEXT NOT NULL,
        acquisition INTEGER NOT NULL,
        part_id TEXT NOT NULL,
        taken_at TEXT NOT NULL,
        verdict TEXT NOT NULL,
        reason TEXT NOT NULL,
        score REAL,
        threshold REAL,
        recipe TEXT NOT NULL,
        engine_sha256 TEXT NOT NULL,
        calibration_id TEXT NOT NULL,
        software TEXT NOT NULL,
        wait_ms REAL NOT NULL,
        place_ms REAL NOT NULL,
        infer_ms REAL NOT NULL,
        find_ms REAL NOT NULL,
        decide_ms REAL NOT NULL,
        emit_ms REAL NOT NULL,
        verdict_ms REAL NOT NULL
    )
    """,
    """
    CREATE TABLE regions (
        sequence INTEGER NOT NULL REFERENCES inspections (sequence) ON DELETE CASCADE,
        rank INTEGER NOT NULL,
        "left" INTEGER NOT NULL,
        top INTEGER NOT NULL,
        "right" INTEGER NOT NULL,
        bottom INTEGER NOT NULL,
        centre_x REAL,
        centre_y REAL,
        area_px REAL,
        area_mm2 REAL,
        peak REAL,
        mean REAL,
        PRIMARY KEY (sequence, rank)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX inspections_by_time ON inspections (taken_at)",
    "CREATE INDEX inspections_by_verdict ON inspections (verdict)",
)

# Regions of before zones lie in none; records of before name no recipe.
_VERSION_2 = (
    "ALTER TABLE inspections ADD COLUMN recipe_sha256 TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE regions ADD COLUMN zone TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE regions ADD COLUMN zone_number INTEGER NOT NULL DEFAULT 0",
)

_VERSION_3 = ("CREATE TABLE compatible (since INTEGER NOT NULL)",)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step to a newer version of the tables.

    Attributes:
        statements: SQL, in their order.
        only_adds: nothing but tables, indexes that are not unique, and columns with a default: a program that does not know them
            reads and writes the file as before.
    """

    statements: tuple[str, ...]
    only_adds: bool


MIGRATIONS: Sequence[Migration] = (
    Migration(_VERSION_1, only_adds=False),
    Migration(_VERSION_2, only_adds=True),
    Migration(_VERSION_3, only_adds=True),
)
_SAYS_SINCE = 3
"""The first version whose files say since when they can be used; `migrate` writes it."""


def version_of(connection: sqlite3.Connection) -> int:
    """Schema version of the file; 0 for an empty one.

    Raises:
        sqlite3.Error: the file is no database, or is damaged.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the file to the newest version, one transaction per step: a cut leaves a whole older version.

    Args:
        connection: open for writing, in autocommit mode.
        path: the file, for messages.
        migrations: every step there is, oldest first.

    Raises:
        OutputError: the file is of a newer program, which this one cannot write.
        sqlite3.Error: a step failed and was rolled back.
    """
    refuse_newer(connection, path, newest=len(migrations))
    for version in range(version_of(connection), len(migrations)):
        with transaction(connection):
            for statement in migrations[version].statements:
                connection.execute(statement)
            _say_since(connection, migrations[: version + 1])
            connection.execute(f"PRAGMA user_version = {version + 1}")


def _say_since(connection: sqlite3.Connection, done: Sequence[Migration]) -> None:
    """The last step that did more than add something: programs from there on can use the file."""
    if len(done) < _SAYS_SINCE:
        return
    since = max(number for number, step in enumerate(done, start=1) if not step.only_adds)
    connection.execute("DELETE FROM compatible")
    connection.execute("INSERT INTO compatible VALUES (?)", (since,))


def is_too_new(connection: sqlite3.Connection, newest: int = len(MIGRATIONS)) -> bool:
    """Whether a newer program has changed the tables so that one that knows version `newest` can neither read nor write them.

    Raises:
        sqlite3.Error: the file is no database, or is damaged.
    """
    return version_of(connection) > newest and _compatible_since(connection) > newest


def _compatible_since(connection: sqlite3.Connection) -> int:
    """What the file says; where it says nothing, no version but its own."""
    if not _has_table(connection, "compatible"):
        return version_of(connection)
    row = connection.execute("SELECT since FROM compatible").fetchone()
    return version_of(connection) if row is None else int(row[0])


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone() is not None


def refuse_newer(connection: sqlite3.Connection, path: Path, newest: int = len(MIGRATIONS)) -> None:
    """Leave a file alone that this program cannot know.

    Raises:
        OutputError: the file was written by a newer program, which has done more than add something.
        sqlite3.Error: the file is no database, or is damaged.
    """
    if is_too_new(connection, newest):
        raise OutputError(
            f"{path}: has schema version {version_of(connection)}, this program knows {newest} at most; "
            "read it with the program that wrote it; a station that records here puts it aside and begins a new one"
        )


def highest_recorded(connection: sqlite3.Connection) -> int:
    """The highest count that ever stood in this file, 0 where it does not say; pruned inspections count too.

    Raises:
        sqlite3.Error: the file is no database, or is damaged.
    """
    if not _has_table(connection, "sqlite_sequence"):
        return 0
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inspections'").fetchone()
    return row[0] if row else 0


def count_on_after(connection: sqlite3.Connection, highest: int) -> None:
    """Have a file without inspections say that counts up to `highest` are taken.

    Raises:
        sqlite3.Error: it was not written.
    """
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('inspections', ?)", (highest,))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside stands after the block, or nothing of it.

    Raises:
        sqlite3.Error: nothing of it was written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def database_error(path: Path, what: str, error: sqlite3.Error) -> OutputError:
    """The sentence for an error of SQLite: where, what was not done, why, and what to do."""
    return OutputError(f"{path}: {what}: {error}; {_advice(str(error))}")


def _advice(reason: str) -> str:
    """What to do. The texts are SQLite's own; Python 3.10 does not tell the code."""
    known = (advice for part, advice in _ADVICE.items() if part in reason)
    return next(known, "check the disk and the permissions of the file and its folder; recording goes on by itself")


_ADVICE = {
    "not a database": "move the file away; a new one is begun",
    "malformed": "the file is damaged: move it away, a new one is begun; `sqlite3 FILE .recover` saves what can be read of the old one",
    "is full": "free space on this disk; recording goes on by itself",
    "locked": "another program holds the file: end its transaction, or open it with mode=ro",
    "readonly": "the user who runs this needs the right to write the file and its folder; is the disk mounted read-only?",
}
