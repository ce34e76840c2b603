"""The pace of a line, with a clock that is moved by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edge_inspect.field.bench_frames import make_frames
from edge_inspect.field.pace import keep_pace
from edge_inspect.model_folder import open_model_folder
from tests.conftest import MODELS

FRAMES = make_frames(open_model_folder(MODELS / "tiny"), 64, 48, 3)


class Clock:
    """Time passes only while somebody sleeps or inspects."""

    def __init__(self):
        self.now_ns = 1_000_000_000

    def monotonic_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("edge_inspect.field.pace.time", clock)
    return clock


def paced(clock, durations_ms, *, rate_per_s=100, deadline_ms=10):
    left = iter(durations_ms)
    return keep_pace(lambda frame: clock.sleep(next(left) / 1e3), FRAMES, len(durations_ms), rate_per_s=rate_per_s, deadline_ms=deadline_ms)


def test_a_line_that_keeps_up_waits_for_nothing(clock):
    line = paced(clock, [4] * 20)
    assert (line.missed, line.jitter_ms) == (0, 0)
    assert line.wait_ms["max"] == 0
    assert line.exposure_to_verdict_ms == {"p50": 4, "p95": 4, "p99": 4, "max": 4}
    assert clock.now_ns == 1_000_000_000 + 20 * 10_000_000 + 4_000_000


def test_one_slow_part_makes_the_next_ones_wait(clock):
    line = paced(clock, [4, 25, 4, 4, 4])
    assert line.missed == 3
    assert line.wait_ms["max"] == 15
    assert line.exposure_to_verdict_ms["max"] == 25


def test_each_part_is_exposed_when_it_is_due(clock):
    exposed = []
    keep_pace(lambda frame: exposed.append(frame.exposed_ns), FRAMES, 3, rate_per_s=50, deadline_ms=20)
    assert [later - earlier for earlier, later in pairwise(exposed)] == [20_000_000] * 2
