"""Where the belt is: by the clock, by a counter's file, by an encoder's lines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_inspect.config import Encoder, Gate
from edge_inspect.errors import PlcError
from edge_inspect.gate import belts
from edge_inspect.gate.belts import belt_opener


def gate(encoder: Encoder | None) -> Gate:
    return Gate(distance=100, pulse=10, pitch=20, encoder=encoder)


def now() -> int:
    return time.monotonic_ns()


def test_a_belt_of_one_speed_is_where_the_clock_is():
    with belt_opener(gate(None))() as belt:
        assert belt.read(123) == belt.at(123) == 123
        assert belt.speed(5) == 1.0
        assert belt.suspect() == ""
        assert belt.by_clock


@pytest.mark.parametrize(("backwards", "sign"), [(False, 1), (True, -1)])
def test_a_counter_of_the_kernel_is_read_across_its_wrap(tmp_path: Path, backwards: bool, sign: int):
    file = tmp_path / "count"
    file.write_text("65530\n")
    with belt_opener(gate(Encoder(kind="counter", path=file, bits=16, backwards=backwards)))() as belt:
        file.write_text("4\n")
        assert belt.read(now()) == sign * 10
        assert belt.poll_s == belts.POLL_S


def test_a_counter_that_goes_away_is_told_with_what_to_do(tmp_path: Path):
    file = tmp_path / "count"
    opener = belt_opener(gate(Encoder(kind="counter", path=file)))
    with pytest.raises(PlcError, match="cannot be read: No such file"), opener():
        pass
    file.write_text("up")
    with pytest.raises(PlcError, match="holds no number"), opener():
        pass


def test_a_jump_that_no_belt_makes_is_doubted_once(tmp_path: Path):
    file = tmp_path / "count"
    file.write_text("0")
    with belt_opener(gate(Encoder(kind="counter", path=file, max_per_s=10_000)))() as belt:
        file.write_text("50")
        belt.read(now())
        assert belt.suspect() == ""
        file.write_text("1000000")
        belt.read(now())
        assert belt.read(now()) == 50
        assert "the encoder jumped by 999950 counts" in belt.suspect()
        file.write_text("1000003")
        assert belt.read(now()) == 53
        assert belt.suspect() == ""


class TestLines:
    """Encoders on GPIO lines, in an in-process chip."""

    @pytest.fixture
    def board(self, monkeypatch: pytest.MonkeyPatch):
        pytest.importorskip("gpiod", reason="gpiod is not installed (extra gpio)")
        from tests.fake_gpiod import Board

        return Board(gpiochip0=["A", "B"]).install(monkeypatch)

    def test_one_line_counts_its_rising_edges_and_loses_none_that_was_read_late(self, board):
        with belt_opener(gate(Encoder(kind="gpio", a="A")))() as belt:
            for _ in range(7):
                board.pulse("A")
            board.line("A").edges += 1000  # the kernel threw these away unread, and counted them
            board.pulse("A")
            assert belt.read(now()) == 1008
            assert belt.suspect() == ""
            assert belt.fds

    def test_two_lines_know_the_direction(self, board):
        with belt_opener(gate(Encoder(kind="gpio", a="A", b="B")))() as belt:
            for a, b in ((True, False), (True, True), (False, True), (False, False), (False, True)):
                board.drive("A", a)
                board.drive("B", b)
            assert belt.read(now()) == 3
            assert belt.at(now()) == 3
            assert belt.suspect() == ""

    def test_two_lines_tell_that_edges_were_lost(self, board):
        with belt_opener(gate(Encoder(kind="gpio", a="A", b="B")))() as belt:
            board.drive("A", True)
            board.line("A").edges += 4
            board.drive("A", False)
            belt.read(now())
            assert "use a counter of the kernel" in belt.suspect()
