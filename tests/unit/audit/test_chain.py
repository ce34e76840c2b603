"""The files of the audit record: what is edited is noticed, the chain goes on across files, what was torn is cut off and told."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edge_inspect.audit import last_entries, verify
from edge_inspect.audit.chain import Chain
from edge_inspect.audit.entry import LONGEST, draft_of
from edge_inspect.audit.lines import chain_files
from edge_inspect.datatypes import Action, Deed, Outcome, Peer
from edge_inspect.errors import OutputError


def job(number: int) -> Action:
    return Action(deed=Deed.JOB, outcome=Outcome.DONE, wire="modbus", by=Peer("10.0.0.7"), subject=f"job {number}")


def chain(folder: Path, *, rotate_bytes: int = 10**6, keep: int = 40) -> Chain:
    return Chain(folder, rotate_bytes=rotate_bytes, keep=keep)


def write(folder: Path, count: int, *, first: int = 1, rotate_bytes: int = 10**6, keep: int = 40) -> None:
    record = chain(folder, rotate_bytes=rotate_bytes, keep=keep)
    for number in range(first, first + count):
        record.append([draft_of(job(number))])
    record.close()


def subjects(folder: Path) -> list[str]:
    return [entry.subject for entry in last_entries(folder, 10**6)]


def replace_line(path: Path, index: int, *lines: bytes) -> None:
    content = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*content[:index], *lines, *content[index + 1 :]]))


def test_entries_are_numbered_and_each_carries_the_hash_of_the_one_before(tmp_path):
    write(tmp_path, 3)
    entries = last_entries(tmp_path, 10)
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert entries[0].previous == ""
    assert [entry.previous for entry in entries[1:]] == [entry.sha256 for entry in entries[:-1]]
    assert entries[2].model_dump(exclude={"at", "previous"}, exclude_defaults=True) == {
        "number": 3,
        "deed": "job change",
        "outcome": "done",
        "wire": "modbus",
        "peer": "10.0.0.7",
        "subject": "job 3",
    }
    found = verify(tmp_path)
    assert (found.entries, found.first, found.problems) == (3, 1, ())
    assert found.last.sha256 == entries[2].sha256


def test_it_is_the_stations_to_write_and_its_groups_to_read(tmp_path):
    write(tmp_path / "audit", 1)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "audit", tmp_path / "audit" / "audit-000001.jsonl")]
    assert modes == [0o750, 0o640]


def test_the_chain_goes_on_in_the_next_program_and_in_the_next_file(tmp_path):
    write(tmp_path, 5, rotate_bytes=600)
    write(tmp_path, 5, first=6, rotate_bytes=600)
    assert len(chain_files(tmp_path)) > 2
    found = verify(tmp_path)
    assert (found.entries, found.last.entry.number, found.problems) == (10, 10, ())
    assert subjects(tmp_path) == [f"job {number}" for number in range(1, 11)]
    assert [entry.number for entry in last_entries(tmp_path, 4)] == [7, 8, 9, 10]
    assert last_entries(tmp_path, 0) == []


@pytest.mark.parametrize("line", [0, 4, 8, 9])
@pytest.mark.parametrize("change", ["edited", "edited with a right hash", "taken out", "doubled"])
def test_a_line_that_was_changed_is_noticed_with_its_place(tmp_path, line, change):
    write(tmp_path, 10)
    path = tmp_path / "audit-000001.jsonl"
    before = path.read_bytes().splitlines(keepends=True)
    known = (10, verify(tmp_path).last.sha256)
    edited = before[line].replace(b"10.0.0.7", b"10.0.0.8")
    if change == "edited with a right hash":
        from edge_inspect.chained import line_of

        edited = line_of(edited[edited.index(b'"entry":') + 8 : -2])
    lines = {"taken out": (), "doubled": (before[line], before[line])}.get(change, (edited,))
    replace_line(path, line, *lines)
    found = verify(tmp_path, known=known)
    assert found.problems
    if change == "edited":
        assert f"audit-000001.jsonl: line {line + 1}: its hash is not that of its text" in found.problems[0]


def test_an_end_that_was_cut_off_is_noticed_by_whoever_knows_the_last_hash(tmp_path):
    write(tmp_path, 10)
    known = (10, verify(tmp_path).last.sha256)
    replace_line(tmp_path / "audit-000001.jsonl", 9)
    assert verify(tmp_path).problems == ()
    assert "entry #10" in verify(tmp_path, known=known).problems[0]


def test_a_file_that_was_taken_out_is_noticed_in_the_middle_and_at_the_beginning(tmp_path):
    write(tmp_path, 10, rotate_bytes=600)
    first, second, *_ = chain_files(tmp_path)
    aside = second.rename(tmp_path / "aside")
    assert "does not follow" in verify(tmp_path).problems[0]
    aside.rename(second)
    first.unlink()
    assert "nothing in it says that those before were given up" in verify(tmp_path).problems[0]


def test_old_files_are_given_up_with_an_entry_that_says_so(tmp_path):
    write(tmp_path, 60, rotate_bytes=600, keep=3)
    assert len(chain_files(tmp_path)) == 3
    found = verify(tmp_path)
    assert found.problems == ()
    assert 1 < found.first == found.last.entry.number - found.entries + 1
    retired = [entry.retired_to for entry in last_entries(tmp_path, 100) if entry.deed == "audit record"]
    assert max(retired) == found.first - 1
    write(tmp_path, 1, rotate_bytes=600, keep=3)
    assert verify(tmp_path).problems == ()


def test_a_line_that_was_never_finished_is_no_problem_and_is_cut_off_and_told(tmp_path):
    write(tmp_path, 3)
    path = tmp_path / "audit-000001.jsonl"
    with path.open("ab") as file:
        file.write(b'{"sha256":"abc')
    assert (verify(tmp_path).entries, verify(tmp_path).problems) == (3, ())
    write(tmp_path, 1, first=4)
    told = last_entries(tmp_path, 2)[0]
    assert (told.deed, told.outcome, told.subject) == ("audit record", "done", "audit-000001.jsonl")
    assert told.reason.startswith("14 bytes of a line that was never finished were cut off")
    assert (verify(tmp_path).entries, verify(tmp_path).problems) == (5, ())


def test_a_file_of_nothing_but_an_unfinished_line_goes_on_with_the_one_before(tmp_path):
    write(tmp_path, 3)
    (tmp_path / "audit-000002.jsonl").write_bytes(b'{"sha')
    write(tmp_path, 1, first=4)
    assert subjects(tmp_path)[-1] == "job 4"
    assert (verify(tmp_path).entries, verify(tmp_path).problems) == (5, ())


def test_a_record_that_was_changed_is_left_as_evidence_and_a_new_chain_says_why(tmp_path):
    write(tmp_path, 3)
    path = tmp_path / "audit-000001.jsonl"
    content = path.read_bytes().replace(b"job 2", b"job 9")
    path.write_bytes(content)
    record = chain(tmp_path)
    record.append([draft_of(job(4))])
    record.close()
    assert record.broken == "audit-000001.jsonl: line 2: its hash is not that of its text"
    assert path.read_bytes() == content
    told, after = last_entries(tmp_path, 2)
    assert (told.number, told.outcome, after.subject) == (1, "failed", "job 4")
    assert "line 2: its hash is not that of its text; a new chain begins here" in told.reason
    assert len(verify(tmp_path).problems) == 1
    assert [entry.subject for entry in last_entries(tmp_path, 10)] == ["job 1", "audit-000001.jsonl", "job 4"]


@pytest.mark.parametrize("loss", ["deleted", "replaced by an older copy"])
def test_a_record_that_was_taken_away_while_it_is_written_is_noticed(tmp_path, loss):
    record = chain(tmp_path)
    record.append([draft_of(job(1))])
    path = tmp_path / "audit-000001.jsonl"
    older = path.read_bytes()
    record.append([draft_of(job(2))])
    path.unlink()
    if loss != "deleted":
        path.write_bytes(older)
    record.append([draft_of(job(3))])
    record.close()
    assert "does not end with the last entry that was written" in record.broken
    told, after = last_entries(tmp_path, 2)
    assert (told.deed, told.outcome, after.subject) == ("audit record", "failed", "job 3")


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, name, refused)


@pytest.mark.parametrize("also", [[], ["ftruncate"]], ids=["taken back at once", "taken back before the next"])
def test_what_could_not_be_synced_does_not_turn_up_later(tmp_path, monkeypatch, also):
    record = chain(tmp_path)
    record.append([draft_of(job(1))])
    with monkeypatch.context() as patched:
        for name in ["fdatasync", *also]:
            refuse(patched, name)
        with pytest.raises(OSError, match="Input/output error"):
            record.append([draft_of(job(2))])
    record.append([draft_of(job(3))])
    record.close()
    assert subjects(tmp_path) == ["job 1", "job 3"]
    assert verify(tmp_path).problems == ()


def test_a_key_of_a_later_version_is_read_by_this_one_and_hashed_as_it_stands(tmp_path):
    from edge_inspect.chained import line_of

    write(tmp_path, 1)
    path = tmp_path / "audit-000001.jsonl"
    text = path.read_bytes()
    path.write_bytes(line_of(text[text.index(b'"entry":') + 8 : -3] + b',"shift":"night"}'))
    write(tmp_path, 1, first=2)
    assert (verify(tmp_path).entries, verify(tmp_path).problems) == (2, ())


def test_a_peer_cannot_fill_the_disk_with_one_reason(tmp_path):
    record = chain(tmp_path)
    record.append([draft_of(Action(deed=Deed.REQUEST, outcome=Outcome.REFUSED, reason="x" * 10**6))])
    record.close()
    assert len(last_entries(tmp_path, 1)[0].reason) == LONGEST


def test_a_record_that_is_not_there_or_not_to_be_read_is_told(tmp_path):
    with pytest.raises(OutputError, match="cannot be read: No such file or directory; has the station run"):
        verify(tmp_path / "audit")
    (tmp_path / "audit-000001.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot be read: Is a directory"):
        last_entries(tmp_path, 1)


def test_a_file_that_the_station_has_just_given_up_is_passed_over(tmp_path, monkeypatch):
    write(tmp_path, 2)
    files = chain_files(tmp_path)
    monkeypatch.setattr("edge_inspect.audit.reading.chain_files", lambda _: [tmp_path / "audit-000000.jsonl", *files])
    assert (verify(tmp_path).entries, verify(tmp_path).problems) == (2, ())
