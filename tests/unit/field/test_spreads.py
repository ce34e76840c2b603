"""Ranks, jitter and outliers of durations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.field.spreads import SHOWN, jitter_ms, outliers, per_second, spread

durations = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=200).map(np.array)


@given(durations)
def test_ranks_rise_and_the_highest_is_the_longest(values):
    ranks = spread(values)
    assert list(ranks) == ["p50", "p95", "p99", "max"]
    assert list(ranks.values()) == sorted(ranks.values())
    assert ranks["max"] == pytest.approx(values.max(), abs=1e-3)


@given(durations)
def test_every_outlier_is_counted_and_lies_above_the_limit(values):
    far = outliers(values)
    assert far.count == (values > far.above_ms + 1e-3).sum() or far.count == (values > far.above_ms - 1e-3).sum()
    assert len(far.worst) == min(far.count, SHOWN)
    assert [duration for _, duration in far.worst] == sorted((duration for _, duration in far.worst), reverse=True)


def test_one_stalled_frame_among_steady_ones_is_named_and_still_in_the_ranks():
    values = np.full(100, 5.0)
    values[42] = 80.0
    far = outliers(values)
    assert (far.count, far.worst) == (1, [(42, 80.0)])
    assert spread(values)["max"] == 80


def test_jitter_is_how_far_the_next_frame_differs():
    assert jitter_ms(np.array([5.0, 7.0, 5.0, 7.0])) == 2
    assert jitter_ms(np.array([5.0])) == 0


def test_throughput_is_frames_over_the_time_they_took():
    assert per_second(np.array([10.0, 30.0])) == 50
    assert per_second(np.zeros(3)) == 0
