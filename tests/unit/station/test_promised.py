"""The crash note: what it holds at each instant, and what the next start makes of it."""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.datatypes import Verdict
from edge_inspect.errors import OutputError
from edge_inspect.outputs.database import open_database
from edge_inspect.outputs.jsonl import open_jsonl
from edge_inspect.outputs.records import inspection_from_record, record_from_inspection
from edge_inspect.plc.handshake import Handshake
from edge_inspect.plc.signals import Control
from edge_inspect.service.sequence import Sequence
from edge_inspect.station import promised as promised_module
from edge_inspect.station.promised import Promised, promised_path, read_left
from edge_inspect.station.recovery import record_what_was_left
from edge_inspect.testing import sample_inspections

NG = next(sample for sample in sample_inspections() if sample.verdict is Verdict.NG)


def part(sequence=1, acquisition=1, verdict=Verdict.NG):
    return replace(NG, sequence=sequence, acquisition=acquisition, verdict=verdict)


@pytest.fixture
def note(tmp_path):
    promised = Promised(tmp_path / "note", station="cell-3")
    promised.begin(wire_tells=True)
    yield promised
    promised.close()


class Kept:
    """An output that remembers."""

    def __init__(self, *held):
        self.inspections = list(held)
        self.broken = False

    def holds(self, sequence):
        return sequence in [inspection.sequence for inspection in self.inspections]

    def emit(self, inspection):
        if self.broken:
            raise OutputError("the disk is full; make room")
        self.inspections.append(inspection)


class Forgetful:
    """An output that cannot say what it holds, such as pictures."""

    def emit(self, inspection):
        raise AssertionError("a part was given to an output that may hold it already")


def recovered_inspections(tmp_path, *held):
    kept = Kept(*held)
    sequence = Sequence(tmp_path / "sequence")
    record_what_was_left(tmp_path / "note", outputs=[("kept", kept), ("pictures", Forgetful())], sequence=sequence, station="cell-3")
    return kept.inspections


def recover(tmp_path, *held):
    found = recovered_inspections(tmp_path, *held)
    return [(inspection.sequence, inspection.acquisition, inspection.verdict, inspection.reason) for inspection in found]


def holds_a_part(path):
    left = read_left(path)
    return bool(left.parts or left.told or left.counted or left.settled)


@pytest.mark.parametrize("sample", sample_inspections(), ids=lambda sample: sample.verdict.value)
def test_an_inspection_comes_back_from_its_record_but_for_its_evidence(sample):
    record = record_from_inspection(sample, station="a")
    assert record_from_inspection(inspection_from_record(record), station="a") == record


def test_a_part_that_was_told_and_not_recorded_is_recorded_with_what_was_told(tmp_path, note):
    note.expect(part())
    note.told(1, Verdict.NG, "none")
    assert recover(tmp_path) == [(1, 1, Verdict.NG, NG.reason)]


def test_a_part_that_is_recorded_already_is_not_recorded_again(tmp_path, note):
    note.expect(part())
    note.told(1, Verdict.NG, "none")
    assert recover(tmp_path, part()) == [(1, 1, Verdict.NG, NG.reason)]


def test_a_verdict_that_was_not_told_is_a_fault(tmp_path, note):
    note.expect(part())
    [(_, _, verdict, reason)] = recover(tmp_path)
    assert verdict is Verdict.FAULT
    assert reason.startswith("not inspected: the station ended before the PLC was told; it would have been NG: ")


def test_a_part_for_which_the_wire_had_said_fault_is_a_fault(tmp_path, note):
    note.told(1, Verdict.FAULT, "the verdict had not come at the deadline")
    note.expect(part())
    [(_, _, verdict, reason)] = recover(tmp_path)
    assert verdict is Verdict.FAULT
    assert "the verdict had not come at the deadline; it would have been NG" in reason


def test_a_fault_that_only_the_wire_knew_of_gets_a_count_of_its_own_and_keeps_it(tmp_path, note):
    note.told(7, Verdict.FAULT, "a trigger came while Trigger Ready was off")
    first = recover(tmp_path)
    assert [(acquisition, verdict) for _, acquisition, verdict, _ in first] == [(7, Verdict.FAULT)]
    assert "Trigger Ready was off; the station ended before it was recorded" in first[0][3]
    assert recover(tmp_path) == first  # killed in the middle of it: the next start finds the same


def test_a_trigger_that_was_only_counted_is_a_fault_once(tmp_path, note):
    (tmp_path / "sequence").write_text("100")
    note.told(6, None, "")
    note.told(7, None, "")
    note.expect(part(acquisition=6))
    note.told(6, Verdict.NG, "none")
    note.recorded(part(acquisition=6))
    first = recover(tmp_path, part(acquisition=6))
    assert [(acquisition, verdict) for _, acquisition, verdict, _ in first] == [(6, Verdict.NG), (7, Verdict.FAULT)]
    assert first[1][3].startswith("not inspected: the station had not seen its trigger yet; the station ended")


def test_what_a_record_is_still_owed_stays_in_the_note_through_further_starts(tmp_path, note):
    (tmp_path / "sequence").write_text("100")
    note.expect(part())
    note.told(1, Verdict.NG, "none")
    note.recorded(part(), owed=True)
    note.close()
    for _ in range(2):  # started on a full disk, and killed, twice
        settled = read_left(tmp_path / "note")
        kept = Kept()
        kept.broken = True
        record_what_was_left(tmp_path / "note", outputs=[("kept", kept)], sequence=Sequence(tmp_path / "sequence"), station="cell-3")
        again = Promised(tmp_path / "note", station="cell-3")
        again.begin(wire_tells=True, owed=True)
        again.told(1, Verdict.FAULT, "another part of that number")
        again.close()
        assert len(settled.parts) + len(settled.settled) >= 1
    found = recover(tmp_path)
    assert (1, 1, Verdict.NG, NG.reason) in found
    assert [verdict for *_, verdict, _ in found].count(Verdict.NG) == 1


def test_a_line_cut_short_by_a_full_disk_spoils_no_other(tmp_path, note, monkeypatch):
    def cut(file, content):
        os.write(file, content[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(promised_module, "write_whole", cut)
        note.told(1, None, "")
    note.told(2, None, "")
    assert list(read_left(tmp_path / "note").counted) == [2]


def test_when_all_has_caught_up_the_note_is_empty(tmp_path, note):
    note.expect(part())
    note.recorded(part(), owed=True)
    assert holds_a_part(tmp_path / "note")
    note.told(2, None, "")
    note.caught_up()
    assert holds_a_part(tmp_path / "note")
    note.recorded(part(acquisition=2), owed=True)
    note.caught_up()
    assert not holds_a_part(tmp_path / "note")


def test_without_a_wire_that_tells_the_note_is_all_there_is(tmp_path, note):
    note.begin(wire_tells=False)
    note.expect(part(acquisition=0, verdict=Verdict.FAULT))
    note.expect(part(acquisition=0))
    assert recover(tmp_path) == [(1, 0, Verdict.NG, NG.reason)]


def test_the_note_is_empty_when_all_is_recorded_and_not_before(tmp_path, note):
    note.expect(part())
    note.told(2, Verdict.FAULT, "a trigger came while Trigger Ready was off")
    note.told(1, Verdict.NG, "none")
    note.recorded(part())
    assert holds_a_part(tmp_path / "note")
    note.recorded(part(sequence=2, acquisition=2))
    assert not holds_a_part(tmp_path / "note")


@given(cut=st.integers(0, 5000))
def test_wherever_the_note_is_cut_a_part_is_recorded_once_or_was_never_told(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    note = Promised(folder / "note", station="cell-3")
    note.begin(wire_tells=True)
    note.expect(part(verdict=Verdict.FAULT))
    note.expect(part())
    note.told(1, Verdict.NG, "none")
    note.close()
    content = (folder / "note").read_bytes()
    (folder / "note").write_bytes(content[:cut])
    recovered = recover(folder)
    head, first, *_ = (len(line) for line in content.splitlines(keepends=True))
    assert len(recovered) == (1 if cut >= head + first else 0)
    if cut >= len(content):
        assert recovered[0][2] is Verdict.NG


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json\n",
        b'{"decides": 1}\n',
        b'{"decides": {"engine": 2}}\n',
        b'{"part": 1}\n',
        b'{"part": {"sequence": 1}, "wire": true}\n',
        b'{"told": [1]}\n',
        b"[]\n",
    ],
)
def test_a_note_that_is_none_starts_the_station_all_the_same(tmp_path, content):
    (tmp_path / "note").write_bytes(content)
    assert recover(tmp_path) == []


def test_a_note_that_is_not_there_says_nothing(tmp_path):
    assert read_left(tmp_path / "note").parts == ()


def test_a_note_that_cannot_be_written_is_an_alarm_until_it_can_and_holds_nothing_up(tmp_path):
    note = Promised(tmp_path / "gone" / "note", station="cell-3")
    note.expect(part())
    assert "cannot be noted: No such file or directory; a crash now may lose the record of one part" in note.alarm
    (tmp_path / "gone").mkdir()
    note.expect(part())
    note.close()
    assert note.alarm == ""


def test_a_part_that_cannot_be_recorded_at_the_start_either_is_told(tmp_path, note, caplog):
    caplog.set_level(logging.ERROR)
    note.expect(part())
    kept = Kept()
    kept.broken = True
    record_what_was_left(tmp_path / "note", outputs=[("kept", kept)], sequence=Sequence(tmp_path / "sequence"), station="a")
    assert "kept: inspection 1, left by a crash, was not recorded: the disk is full" in caplog.text


def test_the_note_lies_in_the_services_memory_where_there_is_a_service(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert promised_path(tmp_path).parent == tmp_path
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
    assert str(promised_path(tmp_path).parent) == "/run/a"


def test_the_handshake_announces_each_count_and_each_result_before_it_can_be_seen():
    handshake = Handshake(allowed_ns=1000)
    seen = []
    handshake.announce = lambda acquisition, verdict, why: seen.append((acquisition, verdict, why, handshake._results.valid))
    handshake.ready(True)
    handshake.write(Control(trigger_enable=True, trigger=True), 0)
    handshake.write(Control(trigger_enable=True), 1)
    handshake.write(Control(trigger_enable=True, trigger=True), 2)
    handshake.tick(5000)
    assert seen == [
        (1, None, "", False),
        (2, Verdict.FAULT, "a trigger came while Trigger Ready was off", False),
        (1, Verdict.FAULT, "the verdict had not come at the deadline", True),
    ]


@pytest.mark.parametrize("rotate", [50, 0.001])
def test_log_and_database_say_what_they_hold(tmp_path, rotate):
    with (
        open_jsonl(station="a", path=tmp_path / "log", rotate_mb=rotate) as log,
        open_database(station="a", path=tmp_path / "a.db") as rows,
    ):
        for output in (log, rows):
            for sequence in (1, 12):
                output.emit(part(sequence))
            assert [sequence for sequence in range(20) if output.holds(sequence)] == [1, 12]
    assert json.loads((tmp_path / "log" / "inspections.jsonl").read_text().splitlines()[-1])["sequence"] == 12


def test_a_log_that_cannot_be_read_cannot_say_what_it_holds(tmp_path):
    with open_jsonl(station="a", path=tmp_path / "log") as log:
        (tmp_path / "log" / "inspections.jsonl").unlink()
        with pytest.raises(OutputError, match="inspection 1 cannot be looked for"):
            log.holds(1)
