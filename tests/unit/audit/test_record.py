"""The record of a running station: nobody waits for the disk, nothing is lost that can be held, and what is lost is counted."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_inspect.audit import AuditRecord, last_entries, open_audit, verify
from edge_inspect.audit import record as record_module
from edge_inspect.audit.chain import Chain
from edge_inspect.audit.crowd import KEYS, MOST, WINDOW_S, Crowd
from edge_inspect.config import Audit
from edge_inspect.datatypes import Action, Deed, Outcome, Peer

WITHIN_S = 30.0


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.005)


def job(number: int, outcome: Outcome = Outcome.WANTED) -> Action:
    return Action(deed=Deed.JOB, outcome=outcome, wire="modbus", by=Peer("10.0.0.7"), subject=f"job {number}")


class Disk(Chain):
    """A chain whose disk is full, hangs, or has a defect, on demand."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, rotate_bytes=10**6, keep=10)
        self.full = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.defect = False

    def append(self, drafts):
        assert self.goes_on.wait(WITHIN_S)
        if self.defect:
            raise RuntimeError("a defect")
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(drafts)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(record_module, "AGAIN_S", 0.01)


def test_actions_stand_in_the_record_in_order_when_it_is_closed(tmp_path):
    with open_audit(tmp_path, Audit()) as audit:
        for number in range(50):
            audit.note(job(number))
        eventually(lambda: audit.summary()["entries"] == 50)
        summary = audit.summary()
        assert audit.alarm == ""
    assert [entry.subject for entry in last_entries(tmp_path / "audit", 100)] == [f"job {number}" for number in range(50)]
    assert (summary["waiting"], summary["dropped"], summary["last"]["subject"]) == (0, 0, "job 49")
    assert summary["sha256"] == verify(tmp_path / "audit").last.sha256
    assert json.dumps(summary)


def test_the_number_goes_on_after_a_new_start_before_anything_is_said(tmp_path):
    with open_audit(tmp_path, Audit()) as audit:
        audit.note(job(1))
    with open_audit(tmp_path, Audit()) as audit:
        eventually(lambda: audit.summary()["entries"] == 1)


def test_whoever_notes_does_not_wait_for_a_disk_that_hangs(tmp_path):
    disk = Disk(tmp_path)
    disk.goes_on.clear()
    audit = AuditRecord(disk, folder=tmp_path)
    audit.note(job(1))
    for number in range(2, 30):
        audit.note(job(number))
    assert audit.summary()["waiting"] == 29
    disk.goes_on.set()
    audit.close()
    assert len(last_entries(tmp_path, 100)) == 29


def test_a_full_disk_is_an_alarm_and_what_waits_is_written_when_there_is_room(tmp_path):
    disk = Disk(tmp_path)
    audit = AuditRecord(disk, folder=tmp_path, queue=5)
    audit.note(job(0))
    eventually(lambda: audit.summary()["entries"] == 1)
    disk.full = True
    for number in range(1, 10):
        audit.note(job(number))
    eventually(lambda: audit.alarm)
    assert audit.alarm == (
        f"{tmp_path}: control actions cannot be recorded: No space left on device; free space on this disk; recording goes on by itself; "
        "5 actions wait, 4 dropped so far"
    )
    disk.full = False
    eventually(lambda: not audit.alarm)
    audit.note(job(10))
    audit.close()
    entries = last_entries(tmp_path, 100)
    assert [entry.subject for entry in entries] == [
        *(f"job {number}" for number in range(6)),
        "4 actions not recorded",
        "job 10",
    ]
    assert (entries[6].outcome, entries[6].times) == ("failed", 4)
    assert verify(tmp_path).problems == ()


def test_what_was_lost_is_told_even_if_nothing_more_comes(tmp_path):
    disk = Disk(tmp_path)
    disk.full = True
    audit = AuditRecord(disk, folder=tmp_path, queue=2)
    for number in range(4):
        audit.note(job(number))
    disk.full = False
    audit.close()
    assert last_entries(tmp_path, 1)[0].subject == "2 actions not recorded"


def test_what_cannot_be_written_at_the_end_goes_to_the_log(tmp_path, caplog):
    disk = Disk(tmp_path)
    disk.full = True
    audit = AuditRecord(disk, folder=tmp_path)
    audit.note(job(7))
    audit.close()
    assert "the audit record has no room for" in caplog.text
    assert "'subject': 'job 7'" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_a_defect_has_ended_is_an_alarm(tmp_path):
    disk = Disk(tmp_path)
    audit = AuditRecord(disk, folder=tmp_path)
    disk.defect = True
    audit.note(job(1))
    eventually(lambda: "its thread has ended by a defect" in audit.alarm)
    audit.close()


def test_a_record_that_was_changed_is_an_alarm(tmp_path):
    with open_audit(tmp_path, Audit()) as audit:
        audit.note(job(1))
    path = tmp_path / "audit" / "audit-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"job 1", b"job 2"))
    with open_audit(tmp_path, Audit()) as audit:
        eventually(lambda: "not as it was written (audit-000001.jsonl: line 1: its hash" in audit.alarm)


def test_a_challenge_made_on_this_machine_is_found(tmp_path):
    said = {
        **{"passed": True, "by": "anna", "part": "cell", "parts": [1, 2], "made_at": "now"},
        **{"how": "live parts", "bound": {"engine": {"engine_sha256": "e", "calibration_id": "c"}}},
    }
    (tmp_path / "challenge.json").write_text(json.dumps({"challenges": [said]}))
    with open_audit(tmp_path, Audit()) as audit:
        eventually((tmp_path / "audit").exists)
        (tmp_path / "challenge.json").write_text("no challenge")
        time.sleep(0.05)
        (tmp_path / "challenge.json").write_text(json.dumps({"challenges": [said, said | {"passed": False}]}))
        eventually(lambda: audit.summary()["entries"] == 1)
    (entry,) = last_entries(tmp_path / "audit", 10)
    assert (entry.deed, entry.outcome, entry.user, entry.subject) == ("challenge", "failed", "anna", "2 golden parts of cell")


# a flood


def noise(peer: str = "10.0.0.66") -> Action:
    return Action(deed=Deed.REQUEST, outcome=Outcome.REFUSED, wire="modbus", by=Peer(peer), reason="malformed")


def test_noise_gets_one_line_a_minute_and_the_rest_is_counted():
    crowd = Crowd()
    assert [crowd.lets_through(noise(), float(second)) for second in range(5)] == [True, False, False, False, False]
    assert crowd.lets_through(noise("10.0.0.67"), 5.0)
    assert list(crowd.due(WINDOW_S - 1)) == []
    (counted,) = crowd.due(WINDOW_S)
    assert (counted.times, counted.action) == (4, noise())
    assert crowd.lets_through(noise(), WINDOW_S)


def test_somebody_who_was_let_in_gets_a_line_for_each_action_until_it_is_a_flood():
    crowd = Crowd()
    let = [crowd.lets_through(job(number), 0.0) for number in range(100)]
    assert let == [True] * MOST[False] + [False] * (100 - MOST[False])
    assert crowd.lets_through(job(1, Outcome.DONE), 0.0)
    (counted,) = crowd.all()
    assert (counted.times, counted.action) == (100 - MOST[False], job(99))


def test_more_peers_than_are_told_apart_share_one_line():
    crowd = Crowd()
    for number in range(KEYS):
        assert crowd.lets_through(noise(f"peer {number}"), 0.0)
    assert crowd.lets_through(noise("one more"), 0.0)
    assert not crowd.lets_through(noise("and another"), 0.0)
    assert not crowd.lets_through(noise("peer 0"), 0.0)
    assert [draft.action.by.address for draft in crowd.all()] == ["peer 0", "others"]


def test_a_flood_that_is_over_is_told_by_the_record_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_inspect.audit.crowd.WINDOW_S", 0.05)
    with open_audit(tmp_path, Audit()) as audit:
        for _ in range(1000):
            audit.note(noise())
        eventually(lambda: audit.summary()["entries"] >= 2)
    assert sum(entry.times for entry in last_entries(tmp_path / "audit", 10**4)) == 1000
