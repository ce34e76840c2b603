"""Rests of a thread that works beside the line."""

from __future__ import annotations

import itertools
import time

import pytest

from edge_inspect import rests as module
from edge_inspect.rests import Rests


def work(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize(("share", "rest_s"), [(1, 0), (0.5, 2), (0.1, 18)])
def test_the_rest_after_each_piece_leaves_the_work_its_share(monkeypatch, share, rest_s):
    rests, rested = Rests(share), []
    monkeypatch.setattr(module.time, "thread_time", itertools.count(0, 2).__next__)  # each piece takes two seconds of the processor
    monkeypatch.setattr(rests._hurried, "wait", rested.append)
    assert list(rests.between("abc")) == ["a", "b", "c"]
    assert rested == pytest.approx([rest_s] * 3)


def test_it_takes_no_longer_than_that_and_nothing_once_it_is_hurried():
    rests = Rests(0.2)
    began_s = time.monotonic()
    for _ in rests.between(range(5)):
        work(0.01)
    assert time.monotonic() - began_s >= 5 * 0.05
    rests.hurry()
    slow = Rests(1e-6)
    slow.hurry()
    assert len([work(0.01) for _ in slow.between(range(5))]) == 5
