"""The one deadline of all that waits at the end."""

from __future__ import annotations

import pytest

from edge_inspect.time_left import TimeLeft


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("edge_inspect.time_left.time.monotonic", lambda: now[0])
    return now


def test_until_the_end_begins_everybody_gets_what_it_asks_for():
    assert TimeLeft().at_most(30.0, share=0.5) == 30.0


def test_from_then_on_the_waits_share_one_deadline(clock):
    left = TimeLeft()
    left.begin(1.2)
    assert left.at_most(5.0) == pytest.approx(1.2)
    clock[0] += 0.8
    assert left.at_most(5.0) == pytest.approx(0.4)
    assert left.at_most(5.0, share=0.5) == pytest.approx(0.2)
    assert left.at_most(0.1) == 0.1
    clock[0] += 5
    assert left.at_most(5.0) == 0.0
