"""The wire of plain levels: what a PLC sees on OK, NG, Ready and so on, and what its inputs do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

pytest.importorskip("gpiod", reason="gpiod is not installed (extra gpio)")

from edge_inspect.datatypes import Inspection, RequestKind, Verdict
from edge_inspect.errors import ConfigError, PlcError
from edge_inspect.plc import gpio
from edge_inspect.plc.gpio import GpioPlc, open_gpio
from edge_inspect.testing import check_plc
from edge_inspect.testing.samples import sample_inspections
from tests.fake_gpiod import PATIENCE_S, Board

NAMES = ["OK", "NG", "FAULT", "READY", "BUSY", "VALID", "BEAT", "TRIG", "ACK", "ONLINE"]
ALL = {"ok": "OK", "ng": "NG", "fault": "FAULT", "ready": "READY", "busy": "BUSY", "results_valid": "VALID", "trigger": "TRIG"}


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(gpiochip0=NAMES).install(monkeypatch)


@contextmanager
def ready(**options: object) -> Iterator[GpioPlc]:
    with open_gpio(**{"deadline_ms": 30_000.0, **ALL, **options}) as plc:
        plc.ready(True)
        yield plc


def inspection(verdict: Verdict, acquisition: int) -> Inspection:
    return replace(sample_inspections()[0], verdict=verdict, acquisition=acquisition)


def triggered(plc: GpioPlc, board: Board) -> int:
    board.wait_for("READY", True)
    board.pulse("TRIG")
    request = plc.poll(PATIENCE_S)
    assert request is not None
    assert request.kind is RequestKind.TRIGGER
    return request.acquisition


def poll_until_it_raises(plc: GpioPlc) -> None:
    for _ in range(1000):
        plc.poll(0.02)


def test_it_keeps_the_promises_of_a_wire(board: Board):
    check_plc(partial(open_gpio, deadline_ms=1000.0, **ALL))


@pytest.mark.parametrize(
    ("verdict", "levels"),
    [(Verdict.OK, (True, False, False)), (Verdict.NG, (False, True, False)), (Verdict.FAULT, (False, True, True))],
)
def test_a_verdict_stands_on_its_lines_for_the_length_of_the_pulse(board: Board, verdict: Verdict, levels: tuple[bool, bool, bool]):
    with ready(pulse_ms=80) as plc:
        plc.emit(inspection(verdict, triggered(plc, board)))
        on = board.wait_for("VALID", True)
        assert tuple(map(board.level, ("OK", "NG", "FAULT"))) == levels
        off = board.wait_for("VALID", False)
        board.wait_until(lambda: not any(board.line(name).level for name in ("OK", "NG", "FAULT")))
        assert off - on >= 80e6


def test_a_result_stands_before_results_valid_comes_on_and_until_it_is_off(board: Board):
    with ready(pulse_ms=20) as plc:
        plc.emit(inspection(Verdict.OK, triggered(plc, board)))
        board.wait_for("VALID", True)
        board.wait_for("OK", False)
        (ok_on, ok_off), (valid_on, valid_off) = ([at for at, _ in board.changes(name)][-2:] for name in ("OK", "VALID"))
        assert ok_on <= valid_on <= valid_off <= ok_off


@pytest.mark.parametrize("slow_s", [0, 0.01])
def test_two_results_are_two_pulses_with_a_gap_however_slow_the_chip_is(board: Board, slow_s: float):
    board.slow_s = slow_s
    with ready(pulse_ms=30, gap_ms=25) as plc:
        for _ in range(2):
            plc.emit(inspection(Verdict.NG, plc.begin(time.monotonic_ns() + 30_000_000_000)))
        board.wait_until(lambda: len(board.line("NG").history) >= 5)
        at = [at for at, _ in board.changes("NG")][-4:]
        assert at[1] - at[0] >= 30e6
        assert at[2] - at[1] >= 25e6


def test_ready_falls_and_busy_comes_with_a_trigger_and_both_turn_with_the_verdict(board: Board):
    with ready() as plc:
        acquisition = triggered(plc, board)
        board.wait_for("BUSY", True)
        assert not board.level("READY")
        plc.emit(inspection(Verdict.OK, acquisition))
        board.wait_for("BUSY", False)
        board.wait_for("READY", True)


def test_a_trigger_counts_from_the_edge_and_not_from_when_it_was_read(board: Board):
    with ready() as plc:
        board.wait_for("READY", True)
        at_ns = time.monotonic_ns() - 3_000_000
        board.drive("TRIG", True, at_ns=at_ns)
        request = plc.poll(PATIENCE_S)
        assert request is not None
        assert request.received_ns == at_ns


def test_a_trigger_of_one_microsecond_is_a_part_and_a_level_that_stands_is_none(board: Board):
    board.drive("TRIG", True)
    with ready() as plc:
        board.wait_for("READY", True)
        assert plc.poll(0.05) is None
        board.drive("TRIG", False)
        assert triggered(plc, board) == 1


def test_a_deadline_is_said_on_the_lines_by_the_wire_itself(board: Board):
    with ready(deadline_ms=60.0) as plc:
        triggered(plc, board)
        board.wait_for("VALID", True)
        assert board.level("FAULT")
        assert board.level("NG")


def test_a_trigger_while_not_ready_is_a_fault_of_its_own(board: Board):
    with ready(pulse_ms=20) as plc:
        plc.ready(False, "test")
        board.wait_for("READY", False)
        board.pulse("TRIG")
        board.wait_for("VALID", True)
        assert board.level("FAULT")
        request = plc.poll(PATIENCE_S)
        assert request is not None
        assert request.kind is RequestKind.MISSED


def test_held_until_it_is_acknowledged_and_the_next_only_after(board: Board):
    with ready(hold="until-ack", ack="ACK", gap_ms=5) as plc:
        for verdict in (Verdict.OK, Verdict.NG):
            plc.emit(inspection(verdict, plc.begin(time.monotonic_ns() + 30_000_000_000)))
        board.wait_for("OK", True)
        time.sleep(0.05)
        assert board.level("OK")
        board.drive("ACK", True)
        board.wait_for("VALID", False)
        time.sleep(0.05)
        assert not board.level("VALID")
        board.drive("ACK", False)
        board.wait_for("NG", True)
        assert not board.level("OK")


def test_an_acknowledgement_too_short_to_be_seen_between_still_shows_no_stale_result(board: Board):
    with ready(hold="until-ack", ack="ACK", gap_ms=5) as plc:
        for verdict in (Verdict.OK, Verdict.NG):
            plc.emit(inspection(verdict, plc.begin(time.monotonic_ns() + 30_000_000_000)))
        board.wait_for("OK", True)
        board.pulse("ACK")
        board.wait_for("NG", True)
        assert not board.level("OK")


def test_held_until_the_next_part_has_begun(board: Board):
    with ready(hold="until-next", pulse_ms=10) as plc:
        plc.emit(inspection(Verdict.OK, triggered(plc, board)))
        board.wait_for("OK", True)
        time.sleep(0.1)
        assert board.level("OK")
        triggered(plc, board)
        board.wait_for("OK", False)


def test_held_until_the_next_result_where_two_wait(board: Board):
    with ready(hold="until-next", pulse_ms=10, gap_ms=5) as plc:
        for verdict in (Verdict.OK, Verdict.NG):
            plc.emit(inspection(verdict, plc.begin(time.monotonic_ns() + 30_000_000_000)))
        board.wait_for("NG", True)
        board.wait_until(lambda: not board.line("OK").level)
        assert [level for _, level in board.changes("OK")][-2:] == [True, False]


def test_offline_by_a_line_takes_ready_away(board: Board):
    board.drive("ONLINE", True)
    with ready(online="ONLINE") as plc:
        board.wait_for("READY", True)
        board.drive("ONLINE", False)
        board.wait_for("READY", False)
        board.drive("ONLINE", True)
        board.wait_for("READY", True)
        assert triggered(plc, board) == 1


def test_active_low_lines_are_high_when_nothing_is_said(board: Board):
    board.drive("TRIG", True)
    with ready(active_low=("ng", "trigger")) as plc:
        board.wait_for("READY", True)
        assert board.level("NG")
        board.drive("TRIG", False)
        request = plc.poll(PATIENCE_S)
        assert request is not None
        plc.emit(inspection(Verdict.NG, request.acquisition))
        board.wait_for("NG", False)


def test_the_heartbeat_stops_with_a_station_that_asks_no_more(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpio, "SILENT_NS", 0)
    with ready(heartbeat="BEAT", heartbeat_ms=10, deadline_ms=50.0) as plc:
        until = len(board.changes("BEAT")) + 4
        for _ in range(1000):
            plc.poll(0.005)
            if len(board.changes("BEAT")) > until:
                break
        assert len(board.changes("BEAT")) > until
        time.sleep(0.3)  # nobody asks
        still = len(board.changes("BEAT"))
        time.sleep(0.3)
        assert len(board.changes("BEAT")) == still


def test_a_clean_stop_switches_everything_off(board: Board):
    with ready(hold="until-next") as plc:
        plc.emit(inspection(Verdict.OK, triggered(plc, board)))
        board.wait_for("OK", True)
    assert not any(board.level(name) for name in NAMES if name != "TRIG")
    with pytest.raises(PlcError, match="the wire is closed"):
        plc.poll(0)


def test_a_chip_that_is_pulled_out_is_an_alarm_and_the_wire_comes_back_with_it(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpio, "RETRY_S", 0.02)
    with ready(pulse_ms=20) as plc:
        acquisition = triggered(plc, board)
        board.broken = True
        plc.ready(False, "something to show")
        with pytest.raises(PlcError, match=r"does not answer|no GPIO chip"):
            poll_until_it_raises(plc)
        with pytest.raises(PlcError, match=r"does not answer|no GPIO chip"):
            plc.emit(inspection(Verdict.OK, acquisition))
        board.broken = False
        board.wait_for("OK", True)
        board.wait_for("OK", False)
        plc.ready(True)
        assert triggered(plc, board) == 2


def test_a_result_that_the_chip_did_not_take_stands_in_full_when_it_is_back(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpio, "RETRY_S", 0.02)
    with ready(pulse_ms=20) as plc:
        acquisition = triggered(plc, board)
        board.wait_for("READY", False)
        board.stuck = True
        with contextlib.suppress(PlcError):
            plc.emit(inspection(Verdict.NG, acquisition))
        time.sleep(0.1)
        board.stuck = False
        on, off = board.wait_for("NG", True), board.wait_for("NG", False)
        assert off - on >= 20e6


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_program_is_told_to_the_station(board: Board, monkeypatch: pytest.MonkeyPatch):
    with ready() as plc:
        monkeypatch.setattr(plc, "_show", lambda now_ns: {}["no such key"])
        with pytest.raises(PlcError, match="the wire is closed"):
            poll_until_it_raises(plc)


def test_a_line_that_is_taken_stops_the_start(board: Board):
    board.line("TRIG").consumer = "somebody"
    with pytest.raises(PlcError, match="taken by 'somebody'"), ready():
        pass


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"active_low": ("heartbeat",)}, "active_low: heartbeat is no signal with a line here"),
        ({"hold": "until-ack"}, "belong together"),
        ({"ack": "ACK"}, "belong together"),
    ],
)
def test_options_that_do_not_go_together_are_told(board: Board, options: dict[str, object], says: str):
    with pytest.raises(ConfigError, match=says), ready(**options):
        pass
