"""A record whose disk refuses for a while: nothing is lost, nothing comes twice, the order stays."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.errors import AlreadyRecorded, OutputError
from edge_inspect.outputs import catching_up as module
from edge_inspect.outputs.catching_up import open_catching_up
from edge_inspect.testing import sample_inspections


class Disk:
    """An output that remembers, and refuses while it is full."""

    def __init__(self):
        self.full = False
        self.held = []
        self.error = OutputError("the disk is full; make room")
        self.alarm = ""

    def holds(self, sequence):
        return sequence in [inspection.sequence for inspection in self.held]

    def emit(self, inspection):
        if self.full:
            raise self.error
        if self.holds(inspection.sequence):
            raise AlreadyRecorded(f"inspection {inspection.sequence} stands there")
        self.held.append(inspection)


class Forgetful:
    def emit(self, inspection):
        raise OutputError("no room")


@contextmanager
def given_to(output):
    yield output


@pytest.fixture
def disk():
    return Disk()


def sequences(disk):
    return [inspection.sequence for inspection in disk.held]


def refused(output, inspection):
    with pytest.raises(OutputError) as caught:
        output.emit(inspection)
    return str(caught.value)


def test_what_was_refused_is_written_before_what_comes_after_and_the_alarm_is_over(disk, inspection, caplog):
    with open_catching_up(given_to(disk), name="database") as output:
        output.emit(inspection(1))
        disk.full = True
        assert "make room; 1 wait and are recorded as soon as that can be" in refused(output, inspection(2))
        assert "2 wait" in refused(output, inspection(3))
        assert output.waiting == 2
        assert output.alarm.startswith("2 inspections wait to be recorded: the disk is full")
        assert output.holds(3)
        disk.full = False
        output.emit(inspection(4))
        assert (output.waiting, output.alarm) == (0, "")
    assert sequences(disk) == [1, 2, 3, 4]
    assert "database: what waited is recorded" in caplog.text
    assert disk.held[1].evidence is None
    assert disk.held[1].regions == inspection(2).regions


def test_an_idle_line_catches_up_too_and_a_disk_that_still_refuses_changes_nothing(disk, inspection):
    with open_catching_up(given_to(disk), name="log") as output:
        disk.full = True
        refused(output, inspection(1))
        output.catch_up(1.0)
        assert output.waiting == 1
        disk.full = False
        output.catch_up(1.0)
        assert sequences(disk) == [1]


def test_a_part_is_not_held_up_by_all_that_wait_before_it(disk, inspection, monkeypatch):
    monkeypatch.setattr(module, "EACH_PART_S", -1.0)
    with open_catching_up(given_to(disk), name="log") as output:
        disk.full = True
        for sequence in range(1, 5):
            refused(output, inspection(sequence))
        disk.full = False
        output.emit(inspection(5))  # no error: it waits behind the others
        assert sequences(disk) == [1]
        assert output.waiting == 4
    assert sequences(disk) == [1, 2, 3, 4, 5]


def test_regions_go_before_records_and_records_before_counts(disk, inspection, monkeypatch, caplog):
    monkeypatch.setattr(module, "REGIONS_KEPT", 1)
    with open_catching_up(given_to(disk), name="database", most=2) as output:
        disk.full = True
        refused(output, inspection(1))
        refused(output, inspection(2))
        said = refused(output, inspection(3))
        assert "2 wait already: its verdict is counted, its record is lost (1 so far)" in said
        assert output.dropped == 1
        disk.full = False
        output.catch_up(1.0)
    assert [bool(one.regions) for one in disk.held] == [True, False]
    assert "database: too many had to wait: no record stands of 1 NG" in caplog.text


def test_a_count_that_stands_there_already_is_told_and_blocks_nothing(disk, inspection, caplog):
    with open_catching_up(given_to(disk), name="database") as output:
        output.emit(inspection(1))
        with pytest.raises(AlreadyRecorded):
            output.emit(inspection(1))
        disk.full = True
        refused(output, inspection(2))
        disk.full, disk.held = False, [*disk.held, inspection(2)]  # the disk had taken it and said no
        output.emit(inspection(3))
    assert sequences(disk) == [1, 2, 3]
    assert "inspection 2 stands there" in caplog.text


def test_out_of_memory_waits_like_a_full_disk(disk, inspection):
    with open_catching_up(given_to(disk), name="database") as output:
        disk.full, disk.error = True, MemoryError()
        assert "this machine is out of memory" in refused(output, inspection(1))
        disk.full = False
    assert sequences(disk) == [1]


def test_what_still_waits_at_the_end_is_told(disk, inspection, caplog):
    with open_catching_up(given_to(disk), name="log") as output:
        disk.full = True
        for sequence in (4, 5):
            refused(output, inspection(sequence))
    assert "log: inspections 4 to 5 are not recorded; the next start records them from the crash note" in caplog.text


def test_an_alarm_of_the_output_itself_is_passed_on(disk):
    disk.alarm = "a damaged file lies aside"
    with open_catching_up(given_to(disk), name="database") as output:
        assert output.alarm == "a damaged file lies aside"


def test_an_output_that_cannot_say_what_it_holds_is_left_as_it_is():
    forgetful = Forgetful()
    with open_catching_up(given_to(forgetful), name="images") as output:
        assert output is forgetful


@given(st.lists(st.booleans(), max_size=40))
def test_whenever_the_disk_refuses_each_inspection_stands_once_and_in_order(fullness):
    disk, sample = Disk(), sample_inspections()[1]
    with open_catching_up(given_to(disk), name="log") as output:
        for sequence, full in enumerate(fullness):
            disk.full = full
            try:
                output.emit(sample.__class__(**{**{name: getattr(sample, name) for name in sample.__slots__}, "sequence": sequence}))
            except OutputError:
                assert full
        disk.full = False
    assert sequences(disk) == list(range(len(fullness)))
