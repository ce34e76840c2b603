"""The ledger of a soak: it closes over whole records, and each way to cook the books is seen."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing

import pytest

from edge_inspect.datatypes import Verdict
from edge_inspect.field.plc_ledger import Answer, acquisitions_between, counted_on
from edge_inspect.field.soak.accounts import Life, balance
from edge_inspect.field.soak.faults import FAULTS, schedule
from edge_inspect.field.soak.setting import Setting
from edge_inspect.outputs.database import open_database
from edge_inspect.outputs.jsonl import open_jsonl
from edge_inspect.plc.signals import RESULT_CODE, Trouble
from edge_inspect.testing import sample_inspections

SAMPLE = sample_inspections()[0]
VERDICTS = [Verdict.OK, Verdict.NG, Verdict.FAULT]


@pytest.fixture
def setting(tmp_path):
    return Setting(folder=tmp_path, data=tmp_path, port=0, thresholds=(), higher=None, is_disk=False)


def verdict_of(acquisition):
    return VERDICTS[acquisition % 3]


def record(setting, numbers, *, first=1):
    """Write both records of these acquisitions."""
    with (
        open_database(station="a", path=setting.database) as database,
        open_jsonl(station="a", path=setting.log) as log,
    ):
        for sequence, acquisition in enumerate(numbers, first):
            inspection = dataclasses.replace(SAMPLE, sequence=sequence, acquisition=acquisition, verdict=verdict_of(acquisition))
            database.emit(inspection)
            log.emit(inspection)


def answer(acquisition, verdict=None):
    return Answer(
        acquisition=acquisition,
        code=RESULT_CODE[verdict or verdict_of(acquisition)],
        fault=Trouble.NONE,
        score=0.0,
        threshold=0.0,
        region_count=0,
        box=(0, 0, 0, 0),
        sequence=0,
        latency_s=0.0,
    )


def life(numbers, **changes):
    fields = {
        "counted": list(numbers),
        "raised": False,
        "answers": [answer(number) for number in numbers],
        "doubled": 0,
        "unasked": 0,
        "overrun": 0,
        "last_sequence": 10**9,
        "killed": False,
    }
    return Life(**{**fields, **changes})


def test_whole_books_close_also_where_the_count_of_acquisitions_goes_round(setting):
    numbers = [65_530, *acquisitions_between(65_530, 20)]
    record(setting, numbers)
    accounts = balance(setting, [life(numbers)])
    assert accounts.closed
    assert accounts.triggers == accounts.plc == accounts.database == accounts.log == len(numbers)
    assert accounts.ok + accounts.ng + accounts.fault == len(numbers)


def test_two_processes_that_both_count_from_one_are_told_apart(setting):
    record(setting, range(1, 6))
    record(setting, range(1, 9), first=1001)
    accounts = balance(setting, [life(range(1, 6), killed=True, last_sequence=5), life(range(1, 9))])
    assert accounts.closed
    assert accounts.triggers == 13


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("DELETE FROM inspections WHERE sequence = 4", "lost"),
        ("UPDATE inspections SET verdict = 'OK' WHERE sequence = 4", "differ"),
        ("UPDATE inspections SET acquisition = 3 WHERE sequence = 4", "doubled"),
        ("INSERT INTO inspections ({names}) SELECT {others} FROM inspections WHERE sequence = 4", "unasked"),
    ],
)
def test_books_that_were_cooked_do_not_close(setting, statement, key):
    record(setting, range(1, 7))
    with closing(sqlite3.connect(setting.database)) as database, database:
        names = ", ".join(row[1] for row in database.execute("PRAGMA table_info(inspections)"))
        others = names.replace("sequence", "99").replace("acquisition", "9")
        database.execute(statement.format(names=names, others=others))
    accounts = balance(setting, [life(range(1, 7))])
    assert not accounts.closed
    assert getattr(accounts, key)


def test_a_line_of_the_log_that_is_missing_is_a_lost_part(setting):
    record(setting, range(1, 7))
    file = setting.log / "inspections.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    accounts = balance(setting, [life(range(1, 7))])
    assert (accounts.lost, accounts.closed) == (1, False)


def test_a_result_that_the_plc_never_read_is_lost_unless_the_station_was_killed_or_threw_it_away(setting):
    record(setting, range(1, 4))
    unread = {"answers": [answer(1), answer(2)]}
    assert balance(setting, [life(range(1, 4), **unread)]).lost == 1
    killed = balance(setting, [life(range(1, 4), killed=True, **unread)])
    assert (killed.lost, killed.unread, killed.closed) == (0, 1, True)
    assert balance(setting, [life(range(1, 4), overrun=1, **unread)]).closed


def test_a_trigger_that_a_killed_station_was_not_seen_to_count_is_one_where_it_stands_in_the_records(setting):
    record(setting, range(1, 4))
    accounts = balance(setting, [life(range(1, 3), killed=True, raised=True)])
    assert (accounts.triggers, accounts.unread, accounts.closed) == (3, 1, True)
    assert balance(setting, [life(range(1, 3), killed=True)]).unasked == 1


def test_a_trigger_of_a_killed_station_without_any_record_is_told(setting):
    record(setting, range(1, 3))
    accounts = balance(setting, [life(range(1, 4), killed=True, answers=[answer(1), answer(2)])])
    assert (accounts.unnoted, accounts.lost) == (1, 0)
    assert not accounts.closed


def test_a_result_of_another_verdict_than_the_record_is_told(setting):
    record(setting, range(1, 4))
    accounts = balance(setting, [life(range(1, 4), answers=[answer(1), answer(2), answer(3, Verdict.NG)])])
    assert (accounts.differ, accounts.closed) == (1, False)


def test_acquisitions_go_round_at_65535_and_are_counted_on():
    assert list(acquisitions_between(65_534, 2)) == [65_535, 1, 2]
    assert list(acquisitions_between(0, 1)) == [1]
    assert list(counted_on([65_534, 65_535, 1, 65_535, 2])) == [65_534, 65_535, 65_536, 65_535, 65_537]
    assert json.dumps(list(counted_on([]))) == "[]"


def test_a_schedule_has_every_fault_in_turn_and_leaves_the_end_in_peace():
    names = tuple(FAULTS)
    plan = schedule(62, names=names, every_s=4.4, kills=0)
    assert [due.name for due in plan] == list(names)
    assert plan[-1].at_s < 62 - 4.4
    killed = schedule(100, names=(), every_s=5, kills=3)
    assert [due.name for due in killed] == ["killed"] * 3
    assert max(due.at_s for due in killed) < 95
