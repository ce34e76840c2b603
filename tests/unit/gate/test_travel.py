"""Counts that wrap, an encoder's two lines, and where the belt was at a moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.gate.travel import APART_NS, KEPT, History, Quadrature, Wrapping


@pytest.mark.parametrize("bits", [16, 32])
@given(first=st.integers(0, 2**32), moves=st.lists(st.integers(-(2**15) + 1, 2**15 - 1), max_size=50))
def test_a_counter_that_wraps_either_way_is_one_long_number(bits: int, first: int, moves: list[int]):
    wrapping, total, shown = Wrapping(bits, first), 0, first
    for move in moves:
        total, shown = total + move, (shown + move) % 2**bits
        assert wrapping.take(shown) == total


@given(moves=st.lists(st.sampled_from([1, -1]), max_size=100), start=st.integers(0, 3))
def test_every_edge_of_an_encoder_is_one_count_in_its_direction(moves: list[int], start: int):
    order = [(False, False), (True, False), (True, True), (False, True)]
    quadrature, phase = Quadrature(*order[start]), start
    for move in moves:
        before, phase = order[phase % 4], phase + move
        after = order[phase % 4]
        line = "a" if before[0] != after[0] else "b"
        quadrature.edge(line, after[0] if line == "a" else after[1])
    assert quadrature.count == sum(moves)
    assert quadrature.lost == 0


def test_an_edge_to_the_level_that_is_there_means_that_some_were_lost():
    quadrature = Quadrature(False, False)
    assert quadrature.edge("a", True) == 1
    assert quadrature.edge("a", True) == 1
    assert quadrature.lost == 1


def test_the_belt_between_two_looks_is_in_proportion():
    history = History(0, 0)
    history.note(10 * APART_NS, 100)
    history.note(20 * APART_NS, 100)
    history.note(30 * APART_NS, 400)
    assert history.at(-1) is None
    assert history.at(0) == 0
    assert history.at(5 * APART_NS) == 50
    assert history.at(15 * APART_NS) == 100
    assert history.at(25 * APART_NS) == 250
    assert history.at(99 * APART_NS) == 400


def test_a_belt_that_stands_keeps_its_history():
    history = History(0, 0)
    history.note(10 * APART_NS, 100)
    for look in range(11, 11 + 2 * KEPT):
        history.note(look * APART_NS, 100)
    assert history.at(5 * APART_NS) == 50
    history.note((12 + 2 * KEPT) * APART_NS, 110)
    assert history.at((11 + 2 * KEPT) * APART_NS) == 105


def test_looks_closer_than_it_keeps_are_one():
    history = History(0, 0)
    for look in range(1, 10 * KEPT):
        history.note(look * APART_NS // 100, look)
    assert history.at(APART_NS * KEPT // 20) == pytest.approx(5 * KEPT, abs=101)


def test_the_speed_is_that_of_the_last_moment_and_never_backwards():
    history = History(0, 0)
    history.note(1_000_000_000, 1000)
    history.note(1_050_000_000, 1100)
    assert history.speed(1_050_000_000) == pytest.approx(100 / 50e6)
    history.note(1_100_000_000, 1000)
    assert history.speed(1_100_000_000) == 0.0
    assert History(10**9, 0).speed(10**9) == 0.0
