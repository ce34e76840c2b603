"""The pace of exposures. Only lower bounds are asserted: a machine may be slower than asked, never faster."""

import time

from edge_inspect.cameras.pacing import Pace


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
