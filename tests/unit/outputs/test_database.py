from __future__ import annotations

import os
import re
import sqlite3
import stat
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError, OutputError
from edge_inspect.outputs.aside import newest_aside, put_aside
from edge_inspect.outputs.database import count_by_verdict, find_inspection, last_sequence, open_database, recent
from edge_inspect.outputs.records import record_from_inspection
from edge_inspect.outputs.schema import COLUMNS, MIGRATIONS, STAGE_COLUMNS, Migration, migrate, transaction, version_of
from edge_inspect.plugins import prepare
from edge_inspect.testing import check_output


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inspections.db"


def sequences(path: Path) -> list[int]:
    return [record["sequence"] for record in reversed(recent(path, 1000))]


def execute(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [row for statement in statements for row in connection.execute(statement).fetchall()]


def test_the_database_keeps_the_promise_of_an_output(path):
    check_output(lambda: open_database(station="a", path=path), read_back=lambda: sequences(path))


def test_the_database_opens_from_a_station_file(tmp_path):
    block = PluginBlock(kind="database", path="new/inspections.db", keep_days=30, busy_ms=100)
    with prepare("outputs", block, base=tmp_path, given={"station": "a"})():
        assert last_sequence(tmp_path / "new" / "inspections.db") == 0


@pytest.mark.parametrize("option", [{"keep_days": 0}, {"busy_ms": -1}, {"keep_days": "long"}])
def test_a_wrong_option_is_a_configuration_error(tmp_path, option):
    with pytest.raises(ConfigError):
        prepare("outputs", PluginBlock(kind="database", path="a.db", **option), base=tmp_path, given={"station": "a"})


def test_an_inspection_is_read_as_it_was_recorded(path, every_kind):
    with open_database(station="press 2", path=path) as database:
        database.emit(every_kind)
        assert find_inspection(path, every_kind.sequence) == record_from_inspection(every_kind, station="press 2")
    assert find_inspection(path, every_kind.sequence) == record_from_inspection(every_kind, station="press 2")


def test_a_sequence_that_is_not_recorded_is_not_found(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
    assert find_inspection(path, 2) is None


def test_the_newest_inspections_come_first(path, inspection):
    with open_database(station="a", path=path) as database:
        for sequence in (3, 4, 9):
            database.emit(inspection(sequence))
        assert [record["sequence"] for record in recent(path, 2)] == [9, 4]


def test_every_verdict_is_counted(path, inspection):
    with open_database(station="a", path=path) as database:
        assert count_by_verdict(path) == {"OK": 0, "NG": 0, "FAULT": 0}
        for sequence, verdict in enumerate([Verdict.OK, Verdict.OK, Verdict.NG], start=1):
            database.emit(inspection(sequence, verdict=verdict))
        assert count_by_verdict(path) == {"OK": 2, "NG": 1, "FAULT": 0}


def test_a_sequence_is_never_replaced(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1, reason="first"))
        with pytest.raises(OutputError, match="inspection 1 was not recorded: an inspection with this sequence stands there already"):
            database.emit(inspection(1, reason="second"))
        database.emit(inspection(2))
    assert [record["reason"] for record in recent(path, 9)] == [inspection().reason, "first"]
    assert len(find_inspection(path, 1)["regions"]) == 2


def test_the_count_goes_on_after_a_restart(path, inspection):
    assert last_sequence(path) == 0
    for sequence in (1, 5):
        with open_database(station="a", path=path) as database:
            database.emit(inspection(sequence))
            assert last_sequence(path) == sequence
    assert last_sequence(path) == 5


def test_an_empty_file_is_an_empty_database(path):
    path.touch()
    assert last_sequence(path) == 0
    with open_database(station="a", path=path):
        assert sequences(path) == []


def test_old_inspections_go_with_their_regions_and_the_count_stays(path, inspection):
    now = datetime.now(timezone.utc)
    with open_database(station="a", path=path) as database:
        for sequence in range(1, 30):
            database.emit(inspection(sequence, taken_at=now - timedelta(days=3)))
    with open_database(station="a", path=path, keep_days=2) as database:
        database.emit(inspection(30, taken_at=now))
        assert sequences(path) == [*range(21, 31)]
        database.emit(inspection(31, taken_at=now - timedelta(days=9)))
        assert sequences(path) == [30, 31]
    assert execute(path, "SELECT DISTINCT sequence FROM regions") == [(30,), (31,)]
    assert last_sequence(path) == 31


def test_the_count_is_known_even_if_every_inspection_is_gone(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(41))
    execute(path, "DELETE FROM inspections")
    assert last_sequence(path) == 41


def test_the_group_can_read_the_files_whatever_the_umask(path, inspection):
    before = os.umask(0o077)
    try:
        with open_database(station="a", path=path) as database:
            database.emit(inspection(1))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("inspections.db*") if file.suffix != ".lock"}
    finally:
        os.umask(before)
    assert modes == {"inspections.db": 0o640, "inspections.db-wal": 0o640, "inspections.db-shm": 0o640}


def test_every_commit_waits_for_the_disk(path):
    with open_database(station="a", path=path) as database:
        assert execute(path, "PRAGMA journal_mode") == [("wal",)]
        assert database._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_file_that_is_no_database_is_put_aside_unchanged_and_an_alarm_stands_until_it_is_moved_away(path, inspection):
    path.write_bytes(b"sequence;verdict\n" * 100)
    with pytest.raises(OutputError, match="the database cannot be read: file is not a database"):
        last_sequence(path)
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
        [aside] = path.parent.glob(f"{path.name}.damaged-*")
        assert aside.read_bytes() == b"sequence;verdict\n" * 100
        assert f"lies aside as {aside.name}, a new database was begun: look at the disk" in database.alarm
    with open_database(station="a", path=path) as database:
        assert database.alarm
        aside.unlink()
        assert database.alarm == ""
    assert [record["sequence"] for record in recent(path, 10)] == [1]


def test_a_file_that_is_damaged_under_the_running_station_costs_no_inspection(path, inspection):
    with open_database(station="a", path=path) as database:
        for sequence in range(1, 200):
            database.emit(inspection(sequence))
        execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        assert database.alarm == ""
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        database.close()  # else SQLite still has the pages
        for sequence in range(200, 203):
            database.emit(inspection(sequence))
        assert "lies aside" in database.alarm
    assert [record["sequence"] for record in recent(path, 10)] == [202, 201, 200]


def test_a_second_damaged_file_of_the_same_second_does_not_overwrite_the_first_and_a_wal_goes_with_its_file(path):
    for count in range(2):
        path.write_bytes(b"no database at all" * 50)
        path.with_name(path.name + "-wal").write_bytes(b"its log %d" % count)
        put_aside(path, sqlite3.DatabaseError("file is not a database"))
    logs = sorted(file.read_bytes() for file in path.parent.glob(f"{path.name}.damaged-*-wal"))
    assert logs == [b"its log 0", b"its log 1"]
    assert newest_aside(path) is not None


def test_a_damaged_file_is_told_to_readers_with_what_to_do(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 1000)
    with pytest.raises(OutputError, match=r"malformed.*move it away"):
        find_inspection(path, 1)
    with open_database(station="a", path=path) as database:
        assert database.alarm


ADDS = Migration(
    ("ALTER TABLE inspections ADD COLUMN shift TEXT NOT NULL DEFAULT ''", "CREATE INDEX by_shift ON inspections (shift)"), only_adds=True
)
CHANGES = Migration(("ALTER TABLE inspections RENAME COLUMN verdict TO said",), only_adds=False)


def migrated_by_a_newer_program(path: Path, *steps: Migration) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, [*MIGRATIONS, *steps])


def test_a_file_to_which_a_newer_program_has_only_added_something_is_written_and_read(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
    migrated_by_a_newer_program(path, ADDS)
    with open_database(station="a", path=path) as database:
        database.emit(inspection(2))
        assert database.alarm == ""
    assert sequences(path) == [1, 2]
    assert last_sequence(path) == 2
    assert execute(path, "PRAGMA user_version", "SELECT shift FROM inspections") == [(len(MIGRATIONS) + 1,), ("",), ("",)]


def test_a_file_that_a_newer_program_has_changed_is_put_aside_and_the_count_goes_on(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(41))
    migrated_by_a_newer_program(path, CHANGES, ADDS)
    with pytest.raises(OutputError, match=f"has schema version {len(MIGRATIONS) + 2}, this program knows {len(MIGRATIONS)} at most"):
        last_sequence(path)
    with open_database(station="a", path=path) as database:
        [aside] = path.parent.glob(f"{path.name}.newer-*")
        assert f"was written by a newer program and lies aside as {aside.name}, a new database was begun" in database.alarm
        assert last_sequence(path) == 41
        database.emit(inspection(42))
    assert sequences(path) == [42]
    assert execute(aside, "PRAGMA user_version", "SELECT sequence FROM inspections") == [(len(MIGRATIONS) + 2,), (41,)]
    with open_database(station="a", path=path) as database:
        aside.unlink()
        assert database.alarm == ""
    assert sequences(path) == [42]


def test_a_damaged_file_and_one_of_a_newer_program_are_both_told(path):
    path.write_bytes(b"no database at all" * 50)
    with open_database(station="a", path=path):
        pass
    migrated_by_a_newer_program(path, CHANGES)
    with open_database(station="a", path=path) as database:
        assert "was damaged and lies aside" in database.alarm
        assert "was written by a newer program and lies aside" in database.alarm


def test_a_file_of_a_newer_program_that_does_not_say_since_when_is_not_written(path):
    execute(path, "CREATE TABLE future (a)", "PRAGMA user_version = 99")
    content = path.read_bytes()
    for read in (lambda: last_sequence(path), lambda: find_inspection(path, 1)):
        with pytest.raises(OutputError, match=f"has schema version 99, this program knows {len(MIGRATIONS)} at most"):
            read()
    with open_database(station="a", path=path):
        [aside] = path.parent.glob(f"{path.name}.newer-*")
    assert aside.read_bytes() == content


def test_a_step_that_says_that_it_only_adds_does():
    adds = re.compile(r"CREATE (TABLE|INDEX) |ALTER TABLE \w+ ADD COLUMN (?=.* DEFAULT )")
    statements = [statement.strip() for step in MIGRATIONS if step.only_adds for statement in step.statements]
    assert statements
    assert [statement for statement in statements if not adds.match(statement)] == []


def test_a_file_without_tables_cannot_be_read_yet(path):
    path.touch()
    with pytest.raises(OutputError, match=f"has schema version 0, this program reads {len(MIGRATIONS)}; start the station once"):
        recent(path, 1)


def test_a_missing_file_is_told_to_a_reader(path):
    with pytest.raises(OutputError, match="there is no database; check the path"):
        count_by_verdict(path)
    assert not path.exists()


def test_a_file_of_an_older_program_is_migrated_with_its_inspections(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, [*MIGRATIONS, ADDS])
        assert version_of(connection) == len(MIGRATIONS) + 1
        assert connection.execute("SELECT sequence, shift FROM inspections").fetchall() == [(1, "")]
        migrate(connection, path, [*MIGRATIONS, ADDS])
        assert version_of(connection) == len(MIGRATIONS) + 1


def test_inspections_of_the_first_version_have_no_hash_of_their_recipe_and_new_ones_do(path, inspection):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, MIGRATIONS[:1])
        names = [name for name in (*COLUMNS, *STAGE_COLUMNS) if name != "recipe_sha256"]
        values = [7 if name == "sequence" else 0 if name.endswith("_ms") or name == "acquisition" else "x" for name in names]
        connection.execute(f"INSERT INTO inspections ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
    with open_database(station="a", path=path) as database:
        database.emit(inspection(8, recipe_sha256="ab" * 32))
    assert [(record["sequence"], record["recipe_sha256"]) for record in recent(path, 9)] == [(8, "ab" * 32), (7, "")]


def test_a_migration_that_fails_leaves_the_older_version_whole(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, [*MIGRATIONS, Migration((*ADDS.statements, "CREATE NONSENSE"), only_adds=True)])
        assert version_of(connection) == len(MIGRATIONS)
    assert sequences(path) == [1]
    with open_database(station="a", path=path) as database:
        database.emit(inspection(2))


def test_a_transaction_that_sqlite_has_ended_by_itself_raises_the_first_error(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a UNIQUE)")
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError), transaction(connection):
            connection.execute("INSERT OR ROLLBACK INTO t VALUES (1)")


def test_a_file_locked_by_another_program_is_told_and_recording_goes_on(path, inspection):
    with open_database(station="a", path=path, busy_ms=1) as database:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(OutputError, match=r"inspection 1 was not recorded: database is locked; another program holds the file"):
                database.emit(inspection(1))
            other.execute("ROLLBACK")
        database.emit(inspection(2))
    assert sequences(path) == [2]


def test_a_second_writer_is_refused(path):
    with (
        open_database(station="a", path=path),
        pytest.raises(OutputError, match="another output or program records here"),
        open_database(station="b", path=path),
    ):
        pytest.fail("opened")


def test_a_reader_does_not_hinder_the_writer(path, inspection):
    with open_database(station="a", path=path, busy_ms=0) as database:
        database.emit(inspection(1))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM inspections").fetchone() == (1,)
            database.emit(inspection(2))
            assert sequences(path) == [1, 2]


def test_a_stopped_station_can_be_read_by_one_who_may_write_nothing(path, inspection, monkeypatch):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
    before = sorted(path.parent.iterdir())
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    assert sequences(path) == [1]
    assert sorted(path.parent.iterdir()) == before


def test_recording_goes_on_after_the_files_were_deleted(path, inspection):
    with open_database(station="a", path=path) as database:
        database.emit(inspection(1))
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
        database.emit(inspection(2))
    assert sequences(path) == [2]


def test_a_folder_in_the_way_is_told(path):
    path.mkdir()
    with (
        pytest.raises(OutputError, match="the database cannot be opened: unable to open database file; check the disk"),
        open_database(station="a", path=path),
    ):
        pytest.fail("opened")


def test_a_file_where_the_folder_should_be_is_told_and_recording_goes_on_when_it_is_gone(tmp_path, inspection):
    path = tmp_path / "data" / "inspections.db"
    with open_database(station="a", path=path) as database:
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
        path.parent.touch()
        with pytest.raises(OutputError, match="a file stands where a folder is wanted"):
            database.emit(inspection(1))
        path.parent.unlink()
        database.emit(inspection(2))
    assert sequences(path) == [2]
