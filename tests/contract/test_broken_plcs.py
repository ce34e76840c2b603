"""The check of PLC wires passes an honest one, finds each broken promise, and says which."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest

from edge_inspect.errors import DeadlineMissed, PlcError
from edge_inspect.testing import check_plc


class Honest:
    """A wire as a third party would write it, without the cable."""

    def __init__(self):
        self.deadlines = {}
        self.count = 0

    def ready(self, is_ready, reason=""):
        assert is_ready or reason

    def poll(self, timeout_s):
        return None

    def begin(self, deadline_ns):
        self.count += 1
        self.deadlines[self.count] = deadline_ns
        return self.count

    def exposed(self, acquisition):
        assert acquisition in self.deadlines

    def emit(self, inspection):
        deadline_ns = self.deadlines.pop(inspection.acquisition, None)
        if deadline_ns is None:
            raise PlcError("no such acquisition")
        if time.monotonic_ns() > deadline_ns:
            raise DeadlineMissed("FAULT was said")

    def answer(self, request, *, job, error=""):
        assert error


def opening(make):
    @contextmanager
    def open_it():
        yield make()

    return open_it


def test_a_third_partys_wire_passes():
    check_plc(opening(Honest))


class Chatty(Honest):
    def poll(self, timeout_s):
        return "trigger"


class OneCount(Honest):
    def begin(self, deadline_ns):
        super().begin(deadline_ns)
        self.deadlines = {7: deadline_ns}
        return 7


class TwoVerdicts(Honest):
    def emit(self, inspection):
        if time.monotonic_ns() > self.deadlines[inspection.acquisition]:
            raise DeadlineMissed("FAULT was said")


class NoDeadline(Honest):
    def emit(self, inspection):
        if self.deadlines.pop(inspection.acquisition, None) is None:
            raise PlcError("no such acquisition")


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (object, "lacks one of ready, poll, begin, exposed, emit, answer"),
        (Chatty, "poll must give a PlcRequest or None, got 'trigger'"),
        (OneCount, r"its own count, got \[7, 7, 7, 7, 7, 7\]"),
        (TwoVerdicts, "a second verdict for the same acquisition must raise PlcError"),
        (NoDeadline, "a verdict after the deadline must raise DeadlineMissed"),
    ],
)
def test_a_broken_promise_is_named(broken, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_plc(opening(broken))


def test_a_poll_that_hangs_is_found(monkeypatch):
    monkeypatch.setattr("edge_inspect.testing.plc.PATIENCE_S", 0.0)
    with pytest.raises(AssertionError, match=r"poll\(0.01\) took 0.\d s"):
        check_plc(opening(Honest))
