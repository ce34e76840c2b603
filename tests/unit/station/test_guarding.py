"""A guard is opened beside the line: one at a time, the one asked for last counts, and no failure is silent."""

from __future__ import annotations

import threading
import time

import pytest

from edge_inspect.errors import ConfigError
from edge_inspect.station.guarding import Opening


@pytest.fixture
def opening():
    return Opening()


def taken(opening):
    """What is given within ten seconds."""
    until = time.monotonic() + 10
    while (opened := opening.take()) is None and time.monotonic() < until:
        time.sleep(0.001)
    return opened


def test_what_was_asked_for_last_is_given_once_and_one_is_opened_at_a_time(opening):
    go_on, at_work, most = threading.Event(), [], []

    def open_as(name):
        def open_it(rests):
            at_work.append(name)
            go_on.wait(10)
            most.append(len(at_work))
            at_work.remove(name)
            return name

        return open_it

    for name in ("first", "second", "third"):
        opening.start(open_as(name))
    assert opening.take() is None
    go_on.set()
    assert taken(opening).guard == "third"
    assert opening.take() is None
    assert most == [1, 1]


def test_why_there_is_no_guard_is_given(opening):
    def fail(rests):
        raise ConfigError("no frames; calibrate")

    opening.start(fail)
    assert (opened := taken(opening)).error == "no frames; calibrate"
    assert opened.guard is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_is_said_and_is_no_guard_that_watches(opening):
    opening.start(lambda rests: 1 / 0)
    assert "the guard could not be opened: ZeroDivisionError" in taken(opening).error


def test_the_end_waits_for_what_is_being_opened_and_opens_nothing_further(opening):
    go_on, opened = threading.Event(), []
    opening.start(lambda rests: [go_on.wait(10), opened.append(1), "first"][-1])
    opening.start(lambda rests: opened.append(2))
    threading.Timer(0.05, go_on.set).start()
    assert opening.close().guard == "first"
    assert opened == [1]
    assert opening.close() is None


def test_the_end_has_what_is_being_opened_rest_no_more(opening, monkeypatch):
    begun, rested_s = threading.Event(), []
    monkeypatch.setattr("edge_inspect.rests.time.thread_time", iter(range(0, 10_000, 100)).__next__)

    def open_it(rests):
        for number in rests.between(range(2)):
            begun.set()
            rested_s.append(number)
        return "a guard"

    opening.start(open_it)
    assert begun.wait(10)
    assert opening.close().guard == "a guard"  # with its rests it would be a quarter of an hour
    assert rested_s == [0, 1]
