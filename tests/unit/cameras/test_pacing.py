"""The pace of exposures. Only lower bounds are asserted: a machine may be slower than asked, never faster."""

import time

import pytest

from edge_inspect.cameras import pacing
from edge_inspect.cameras.pacing import Clock, Pace


def test_exposures_are_never_closer_than_the_rate_allows() -> None:
    pace, started_s = Pace(200), time.monotonic()
    assert all(pace.wait(10) for _ in range(5))
    assert time.monotonic() - started_s >= 4 / 200


def test_an_exposure_not_due_within_the_time_is_not_made() -> None:
    pace = Pace(0.01)
    assert pace.wait(0)
    started_s = time.monotonic()
    assert not pace.wait(0.02)
    assert time.monotonic() - started_s >= 0.02


def test_whoever_comes_late_is_served_at_once_and_without_a_burst() -> None:
    pace = Pace(50)
    assert pace.wait(0)
    time.sleep(0.1)
    late_s = time.monotonic()
    assert pace.wait(0)
    assert pace.wait(10)
    assert pace.wait(10)
    assert time.monotonic() - late_s >= 2 / 50


def test_without_a_rate_every_call_exposes() -> None:
    pace = Pace(None)
    assert all(pace.wait(0) for _ in range(100))


class Time:
    """A time that passes only where it is slept away."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(pacing, "time", time)
    return time


def test_a_clock_waits_for_nobody_keeps_the_newest_and_counts_the_others_as_lost(slept: Time) -> None:
    clock = Clock(100, kept=2)
    assert clock.missed() == 0
    assert clock.wait(0)
    began_ns = clock.exposed_ns
    slept.sleep(0.085)
    assert clock.missed() == 6  # of the eight exposures that passed
    for place in (7, 8, 9):
        assert clock.missed() == 0
        assert clock.wait(1)
        assert (clock.exposed_ns - began_ns) / 1e7 == pytest.approx(place, abs=1e-3)
    assert slept.now_s == pytest.approx(1000.09)


def test_a_clock_loses_nothing_for_whoever_is_there_in_time(slept: Time) -> None:
    clock = Clock(50, kept=2)
    assert [(clock.missed(), clock.wait(10)) for _ in range(5)] == [(0, True)] * 5
    assert not clock.wait(0.01)
    assert slept.now_s == pytest.approx(1000.09)
