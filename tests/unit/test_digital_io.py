"""Lines are found by name, offset and label; what cannot be had is said in one sentence."""

from __future__ import annotations

import errno
import sys

import pytest

pytest.importorskip("gpiod", reason="gpiod is not installed (extra gpio)")

from edge_inspect.digital_io import Line, open_lines
from edge_inspect.errors import PlcError, PluginError
from tests.fake_gpiod import Board

OUT = Line(signal="ok", line="LAMP", output=True)
IN = Line(signal="trigger", line="TRIG")


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    return Board(gpiochip0=["LAMP", "TRIG", "TWICE"], gpiochip1=["GATE", "TWICE"]).install(monkeypatch)


def refusal(*lines: Line) -> str:
    with pytest.raises(PlcError) as raised, open_lines(lines, who="plc: gpio"):
        pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("chip", ["/dev/gpiochip1", "gpiochip1", "label of gpiochip1"])
def test_a_line_is_found_by_its_offset_on_a_chip_of_any_name(board: Board, chip: str):
    with open_lines([Line(signal="gate", line=0, chip=chip, output=True)], who="gate") as lines:
        lines.set({"gate": True})
        assert board.level("GATE")


def test_a_line_is_found_by_its_name_on_any_chip_and_one_call_sets_lines_of_both(board: Board):
    with open_lines([OUT, Line(signal="gate", line="GATE", output=True)], who="plc: gpio") as lines:
        lines.set({"ok": True, "gate": True, "nobody's": True})
        assert board.level("LAMP")
        assert board.level("GATE")


def test_active_low_turns_outputs_inputs_and_edges(board: Board):
    wanted = [Line(signal="ok", line="LAMP", output=True, active_low=True), Line(signal="trigger", line="TRIG", active_low=True)]
    with open_lines(wanted, who="plc: gpio") as lines:
        assert board.level("LAMP")
        lines.set({"ok": True})
        assert not board.level("LAMP")
        assert lines.inputs() == {"trigger": True}
        board.drive("TRIG", True)
        [edge] = lines.edges()
        assert not edge.rising


def test_an_output_has_its_level_from_the_moment_it_is_taken(board: Board):
    with open_lines([Line(signal="gate", line="GATE", output=True, initially=True)], who="gate"):
        assert board.changes("GATE")[0][1]


def test_edges_come_in_the_order_of_their_time_with_the_kernels_count(board: Board):
    with open_lines([IN, Line(signal="sensor", line="GATE")], who="gate") as lines:
        board.drive("GATE", True, at_ns=200)
        board.drive("TRIG", True, at_ns=100)
        board.drive("TRIG", False, at_ns=300)
        assert [(edge.signal, edge.rising, edge.at_ns, edge.number) for edge in lines.edges()] == [
            ("trigger", True, 100, 1),
            ("sensor", True, 200, 1),
            ("trigger", False, 300, 2),
        ]
        assert lines.edges() == []


def test_a_line_that_somebody_else_has_is_told_with_his_name(board: Board):
    board.line("TRIG").consumer = "spi0 CS0"
    assert refusal(OUT, IN) == (
        "plc: gpio: trigger: line 'TRIG' of /dev/gpiochip0 is taken by 'spi0 CS0'; stop that one, or give another line"
    )


def test_a_machine_without_a_chip_is_told(board: Board):
    board.refuse_open = errno.ENOENT
    assert "this machine has no GPIO chip" in refusal(OUT)


def test_a_chip_that_may_not_be_opened_is_told_with_what_to_do(board: Board):
    board.refuse_open = errno.EACCES
    assert "/dev/gpiochip0, /dev/gpiochip1 may not be opened; put the user who runs this into the group" in refusal(OUT)


def test_a_chip_that_goes_away_while_it_is_looked_for_is_passed_over(board: Board):
    board.refuse_open = errno.ENODEV
    assert "has no GPIO chip" in refusal(OUT)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            Line(signal="ok", line="LAMP", chip="gpiochip7"),
            "no chip 'gpiochip7'; this machine has /dev/gpiochip0 (label of gpiochip0)",
        ),
        (Line(signal="ok", line=3), "line 3 is an offset and needs its chip"),
        (Line(signal="ok", line=3, chip="gpiochip0"), "/dev/gpiochip0 has lines 0 to 2, and no line 3"),
        (Line(signal="ok", line="LAMB"), "'LAMB': no line of that name on /dev/gpiochip0, /dev/gpiochip1"),
        (Line(signal="ok", line="TWICE"), "'TWICE': that line on several chips"),
    ],
)
def test_a_line_that_is_not_there_is_told(board: Board, line: Line, says: str):
    assert says in refusal(line)


def test_one_line_cannot_be_two_signals(board: Board):
    assert "line 0 is ok already; give each its own" in refusal(OUT, Line(signal="ng", line=0, chip="gpiochip0", output=True))


@pytest.mark.parametrize(
    ("number", "says"), [(errno.EPERM, "into the group of the device"), (errno.EOPNOTSUPP, "no bias, drive or debounce")]
)
def test_what_a_chip_refuses_is_told(board: Board, number: int, says: str):
    board.refuse_request = number
    assert says in refusal(OUT)


def test_a_chip_that_is_pulled_out_is_told_by_every_call(board: Board):
    with open_lines([OUT, IN], who="plc: gpio") as lines:
        board.broken = True
        for call in (lambda: lines.set({"ok": True}), lines.inputs, lines.edges):
            with pytest.raises(PlcError, match="plc: gpio: the GPIO chip does not answer: No such device"):
                call()


def test_without_gpiod_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(PluginError, match=r"pip install 'edge-inspect\[gpio\]'"), open_lines([OUT], who="plc: gpio"):
        pass


def test_the_kernel_of_this_machine_is_asked():
    """No fake: with a real gpiod, a machine without a chip (or one where the line is not) says so."""
    with pytest.raises(PlcError, match=r"no GPIO chip|no line of that name|may not be opened"), open_lines([OUT], who="plc: gpio"):
        pass
