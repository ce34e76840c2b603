"""What the loop does for the gate: its alarm, its counts, and the record of what it decided by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from edge_inspect.datatypes import Verdict
from edge_inspect.gate.driver import Report
from edge_inspect.gate.parts import Fate, Why
from edge_inspect.service.live import LiveStatus
from edge_inspect.station import gate_watch
from edge_inspect.station.gate_watch import FILE, OLDER, WAIT_S, GateWatch, fate_at_the_gate
from edge_inspect.testing.samples import sample_inspections

QUIET = Report(alarm="", counts={"passed": 3}, fates=(), cleared=())
UNKNOWN = Fate(acquisition=7, verdict=Verdict.OK, rejected=True, why=Why.UNKNOWN, text="what lay on the belt was unknown: a test")
PASSED = Fate(acquisition=6, verdict=Verdict.OK, rejected=False, why=Why.VERDICT, text="its verdict")


class Told:
    """A gate that says what a test gives it."""

    def __init__(self) -> None:
        self.report = QUIET
        self.reasons: list[str] = []

    def look(self) -> Report:
        report, self.report = self.report, QUIET
        return report

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)


class Bench:
    """A watch with a gate, a clock and the alarms it raised."""

    def __init__(self, data: Path) -> None:
        self.data, self.gate, self.now_s = data, Told(), 0.0
        self.alarms: dict[str, str] = {}
        self.status = LiveStatus(data / "status.json", station="cell")
        self.watch = GateWatch(self.gate, data=data, status=self.status, now_s=lambda: self.now_s)

    def look(self, **report: object) -> None:
        self.gate.report = replace(QUIET, **report)
        self.watch.look(self.alarms.__setitem__)

    def inspected(self, acquisition: int, sequence: int) -> None:
        self.status.note(replace(sample_inspections()[0], acquisition=acquisition, sequence=sequence, part_id="bolt"))

    @property
    def lines(self) -> list[dict[str, object]]:
        path = self.data / FILE
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_part_that_the_gate_decided_over_is_written_with_its_sequence(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.inspected(7, 1042)
    bench.look(fates=(PASSED, UNKNOWN), cleared=("a test",))
    cleared, part = bench.lines
    assert (cleared["event"], cleared["why"]) == ("cleared", "a test")
    assert {key: part[key] for key in ("sequence", "acquisition", "part_id", "verdict", "rejected")} == {
        "sequence": 1042,
        "acquisition": 7,
        "part_id": "bolt",
        "verdict": "OK",
        "rejected": True,
    }
    assert fate_at_the_gate(tmp_path, 1042) == "rejected at the gate: what lay on the belt was unknown: a test"
    assert fate_at_the_gate(tmp_path, 1) == ""


def test_a_part_that_is_ahead_of_its_verdict_waits_for_it(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.look(fates=(replace(UNKNOWN, verdict=None, why=Why.NO_VERDICT, text="no verdict"),))
    assert bench.lines == []
    bench.inspected(7, 5)
    bench.look()
    assert bench.lines[0]["sequence"] == 5
    assert bench.lines[0]["verdict"] is None


def test_a_part_whose_verdict_never_comes_and_one_that_only_the_sensor_saw_are_written_without_a_sequence(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.look(fates=(UNKNOWN, replace(UNKNOWN, acquisition=0)))
    assert [line["acquisition"] for line in bench.lines] == [0]
    bench.now_s = WAIT_S
    bench.look()
    assert [line["sequence"] for line in bench.lines] == [None, None]


def test_a_slipped_part_is_told_as_not_rejected(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.inspected(7, 5)
    bench.look(fates=(replace(UNKNOWN, rejected=False, why=Why.SLIPPED, text="the output came too late"),))
    assert fate_at_the_gate(tmp_path, 5) == "NOT rejected at the gate: the output came too late"


def test_alarm_and_counts_are_shown(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.look(alarm="everything is rejected")
    assert bench.alarms == {"gate": "everything is rejected"}
    assert bench.watch.counts() == {"passed": 3}
    bench.status.state("ready")
    assert json.loads((tmp_path / "status.json").read_text())["gate"] == {"passed": 3}


def test_a_record_that_cannot_be_written_is_an_alarm(tmp_path: Path):
    bench = Bench(tmp_path)
    (tmp_path / FILE).mkdir()
    bench.look(cleared=("a test",))
    assert "could not be written" in bench.alarms["gate record"]
    assert fate_at_the_gate(tmp_path, 5) == ""


def test_a_long_record_is_put_aside_and_still_read(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(gate_watch, "LARGEST_BYTES", 10)
    bench = Bench(tmp_path)
    bench.inspected(7, 5)
    bench.look(fates=(UNKNOWN,))
    bench.look(cleared=("a test",))
    assert (tmp_path / (FILE + OLDER)).exists()
    assert len(bench.lines) == 1
    assert fate_at_the_gate(tmp_path, 5)


def test_what_it_remembers_is_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(gate_watch, "KNOWN", 2)
    bench = Bench(tmp_path)
    for acquisition in (7, 8, 9):
        bench.inspected(acquisition, acquisition + 100)
    bench.look(fates=(UNKNOWN, replace(UNKNOWN, acquisition=8)))
    assert [line["sequence"] for line in bench.lines] == [108]


def test_a_lost_part_goes_to_the_gate_and_without_one_nothing_is_done(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.watch.lost("unseen")
    assert bench.gate.reasons == ["unseen"]
    without = GateWatch(None, data=tmp_path, status=bench.status)
    without.lost("unseen")
    without.look(bench.alarms.__setitem__)
    assert bench.alarms == {}
