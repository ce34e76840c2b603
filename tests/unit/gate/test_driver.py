"""The gate as it runs: its thread, its line, and devices that break."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_inspect.config import Encoder, GateOutput, PartSensor
from edge_inspect.config import Gate as Settings
from edge_inspect.datatypes import GateShown, Verdict
from edge_inspect.errors import PlcError
from edge_inspect.gate import driver
from edge_inspect.gate.driver import Gate, open_gate
from edge_inspect.gate.parts import Why

PATIENCE_S = 30.0


class Shown:
    """What the gate has shown, with its time."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.all: list[tuple[int, GateShown]] = []

    def __call__(self, shown: GateShown) -> None:
        with self.changed:
            self.all.append((time.monotonic_ns(), shown))
            self.changed.notify_all()

    def wait_for(self, shown: GateShown, *, after: int = 0) -> int:
        """When this was shown [ns]."""
        with self.changed:
            assert self.changed.wait_for(lambda: any(one == shown and at > after for at, one in self.all), PATIENCE_S), self.all
            return next(at for at, one in self.all if one == shown and at > after)


CLEAR, REJECT = GateShown(), GateShown(reject=True)
CLEARING = GateShown(reject=True, clearing=True)


@contextmanager
def timed(shown: Shown, **more: object) -> Iterator[Gate]:
    """A gate 2 s behind the camera that has run clear; its pulse is long, for a machine that is busy."""
    settings = Settings(**{"distance": 2000, "pulse": 1600, "pitch": 1700, "lead": 700, **more})
    with open_gate(settings, show=shown) as gate:
        shown.wait_for(CLEAR)
        yield gate


def reports_of(gate: Gate, count: int) -> list[object]:
    """The next fates."""
    fates: list[object] = []
    until = time.monotonic() + PATIENCE_S
    while len(fates) < count and time.monotonic() < until:
        fates += gate.look().fates
        time.sleep(0.005)
    return fates


def wait_for_alarm(gate: Gate, text: str) -> str:
    until = time.monotonic() + PATIENCE_S
    while text not in (alarm := gate.look().alarm):
        assert time.monotonic() < until, f"{text!r} is not in {alarm!r}"
        time.sleep(0.005)
    return alarm


def wait_for_no_alarm(gate: Gate) -> None:
    until = time.monotonic() + PATIENCE_S
    while alarm := gate.look().alarm:
        assert time.monotonic() < until, alarm
        time.sleep(0.005)


def test_a_bad_part_is_rejected_at_its_time_and_a_good_one_passes():
    shown = Shown()
    with timed(shown) as gate:
        at = time.monotonic_ns()
        gate.triggered(1, at)
        gate.told(1, Verdict.NG, "")
        on = shown.wait_for(REJECT, after=at)
        off = shown.wait_for(CLEAR, after=on)
        assert on - at >= 1300e6
        assert off - at >= 2900e6
        gate.triggered(2, time.monotonic_ns())
        gate.told(2, Verdict.OK, "")
        bad, good = reports_of(gate, 2)
        assert (bad.rejected, good.rejected) == (True, False)
        assert gate.look().counts["passed"] == 1


def test_a_part_without_a_verdict_is_rejected_whoever_is_busy():
    shown = Shown()
    with timed(shown) as gate:
        gate.triggered(1, time.monotonic_ns())
        [fate] = reports_of(gate, 1)
        assert fate.why is Why.NO_VERDICT
        assert fate.rejected


def test_a_lost_part_clears_with_an_alarm_that_ends_by_itself():
    shown = Shown()
    with timed(shown) as gate:
        gate.lost("the camera lost an exposure")
        alarm = wait_for_alarm(gate, "everything is rejected until the belt has run 2900 ms")
        assert "then it goes on by itself: the camera lost an exposure" in alarm
        shown.wait_for(CLEARING)
        shown.wait_for(CLEAR, after=shown.all[-1][0])
        assert gate.look().alarm == ""
        assert gate.look().counts["cleared"] == 1


def test_what_was_told_before_a_clear_is_reported_once():
    shown = Shown()
    with timed(shown) as gate:
        gate.lost("somebody reached in")
        until = time.monotonic() + PATIENCE_S
        cleared: tuple[str, ...] = ()
        while not cleared and time.monotonic() < until:
            cleared = gate.look().cleared
            time.sleep(0.005)
        assert cleared == ("somebody reached in",)
        assert gate.look().cleared == ()


def test_a_trigger_heard_late_lies_where_it_was_triggered():
    shown = Shown()
    with timed(shown) as gate:
        at = time.monotonic_ns() - 1_000_000_000
        gate.triggered(1, at)
        on = shown.wait_for(REJECT)
        assert on - at >= 1300e6


def test_a_counter_that_breaks_rejects_until_it_answers_and_the_belt_has_run_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(driver, "RETRY_S", 0.02)
    file = tmp_path / "count"
    file.write_text("0")
    shown = Shown()
    settings = Settings(distance=100, pulse=10, pitch=20, lead_ms=5, encoder=Encoder(kind="counter", path=file))
    with open_gate(settings, show=shown) as gate:
        shown.wait_for(CLEARING)
        (tmp_path / "next").write_text("200")
        (tmp_path / "next").replace(file)
        shown.wait_for(CLEAR)
        file.rename(tmp_path / "away")
        wait_for_alarm(gate, "cannot be read: No such file or directory")
        broken = shown.all[-1]
        assert broken[1] == CLEARING
        (tmp_path / "away").rename(file)
        wait_for_no_alarm(gate)
        (tmp_path / "next").write_text("400")
        (tmp_path / "next").replace(file)
        shown.wait_for(CLEAR, after=broken[0])
        assert gate.look().counts["cleared"] == 1


def test_a_fault_of_the_program_rejects_with_an_alarm_until_the_belt_has_run_clear(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(driver, "RETRY_S", 0.02)
    shown = Shown()
    with timed(shown, distance=300, pulse=50, pitch=100, lead=10) as gate:
        broken_ns = time.monotonic_ns()
        gate._say(lambda tracker, belt: {}["no such key"])
        shown.wait_for(CLEARING, after=broken_ns)
        shown.wait_for(CLEAR, after=broken_ns)
        report = gate.look()
    assert report.counts["cleared"] == 1
    assert "KeyError: 'no such key': a fault of this program" in report.cleared[0]


def test_an_encoder_that_jumps_clears(tmp_path: Path):
    file = tmp_path / "count"
    file.write_text("0")
    settings = Settings(distance=100, pulse=10, pitch=20, encoder=Encoder(kind="counter", path=file, max_per_s=1000))
    with open_gate(settings, show=Shown()) as gate:
        (tmp_path / "next").write_text("1000000")
        (tmp_path / "next").replace(file)
        wait_for_alarm(gate, "the encoder jumped by 1000000 counts")


def test_a_device_that_is_not_there_stops_the_start(tmp_path: Path):
    settings = Settings(distance=100, pulse=10, pitch=20, encoder=Encoder(kind="counter", path=tmp_path / "count"))
    with pytest.raises(PlcError, match="cannot be read"), open_gate(settings, show=Shown()):
        pass


def test_nothing_that_is_told_after_the_end_raises():
    with open_gate(Settings(distance=200, pulse=40, pitch=60), show=Shown()) as gate:
        pass
    gate.triggered(1, 0)
    gate.lost("too late")


def test_a_priority_that_is_not_allowed_is_a_warning(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("edge_inspect.gate.fitting.os.sched_setscheduler", refused)
    shown = Shown()
    with timed(shown, priority=50):
        assert "priority 50 is not allowed here" in caplog.text


class TestLines:
    """With lines of an in-process chip."""

    @pytest.fixture
    def board(self, monkeypatch: pytest.MonkeyPatch):
        pytest.importorskip("gpiod", reason="gpiod is not installed (extra gpio)")
        from tests.fake_gpiod import Board

        return Board(gpiochip0=["GATE", "SENSOR", "A"]).install(monkeypatch)

    def test_the_line_rejects_from_the_moment_it_is_taken_and_at_the_end(self, board):
        settings = Settings(distance=1000, pulse=800, pitch=900, lead=300, output=GateOutput(line="GATE", active_low=True))
        shown = Shown()
        with open_gate(settings, show=shown) as gate:
            assert board.changes("GATE")[0][1] is False
            shown.wait_for(CLEAR)
            assert board.level("GATE")
            gate.triggered(1, time.monotonic_ns())
            board.wait_for("GATE", False)
            board.wait_for("GATE", True)
        assert not board.level("GATE")

    def test_a_sensor_corrects_where_a_part_is(self, board):
        shown = Shown()
        sensor = PartSensor(distance=800, window=400, line="SENSOR")
        with timed(shown, sensor=sensor) as gate:
            at = time.monotonic_ns() - 850_000_000
            gate.triggered(1, at)
            gate.told(1, Verdict.NG, "")
            board.drive("SENSOR", True, at_ns=at + 880_000_000)
            on = shown.wait_for(REJECT, after=at)
            assert on - at >= 1380e6

    def test_a_part_that_only_the_sensor_saw_is_rejected_with_an_alarm(self, board):
        shown = Shown()
        with timed(shown, sensor=PartSensor(distance=800, window=400, line="SENSOR")) as gate:
            board.pulse("SENSOR")
            wait_for_alarm(gate, "a part came to the sensor that no trigger had announced there")
            [fate] = reports_of(gate, 1)
            assert fate.rejected
            assert fate.acquisition == 0

    def test_a_slipped_part_is_an_alarm(self, board):
        settings = Settings(distance=100, pulse=10, pitch=20, encoder=Encoder(kind="gpio", a="A"))
        shown = Shown()
        with open_gate(settings, show=shown) as gate:
            for count in (200, 400):
                board.line("A").edges += 200
                board.pulse("A")
                if count == 200:
                    shown.wait_for(CLEAR)
                    gate.triggered(1, time.monotonic_ns())
                    time.sleep(0.2)
            wait_for_alarm(gate, "the output came too late for a part that was to be rejected: look for it behind the gate")
            assert gate.look().counts["slipped"] == 1
