"""The tail of the good scores: known answers, scipy's fit, and what it does with scores it should not touch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.thresholds.tail import Pareto, anderson_darling, fit_pareto, fit_tail


@given(shape=st.floats(-0.4, 0.6), scale=st.floats(0.01, 100), chance=st.floats(0.001, 0.999))
def test_what_is_exceeded_with_a_chance_is_not_exceeded_with_the_rest(shape, scale, chance):
    pareto = Pareto(shape=shape, scale=scale)
    assert pareto.probabilities(np.array([pareto.exceeded(chance)]))[0] == pytest.approx(1 - chance, abs=1e-9)


def test_without_a_shape_it_is_the_exponential_distribution():
    assert Pareto(shape=0.0, scale=2.0).exceeded(0.1) == pytest.approx(2 * np.log(10))
    assert Pareto(shape=1e-7, scale=2.0).exceeded(0.1) == pytest.approx(2 * np.log(10), rel=1e-5)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3])
def test_the_fit_finds_what_it_was_drawn_from_and_agrees_with_scipys(shape):
    drawn = np.sort(Pareto(shape=shape, scale=3.0).draw(4000, np.random.default_rng(1)))
    found = fit_pareto(drawn)
    assert found.shape == pytest.approx(shape, abs=0.06)
    assert found.scale == pytest.approx(3.0, rel=0.08)
    stats = pytest.importorskip("scipy.stats")
    likely_shape, _, likely_scale = stats.genpareto.fit(drawn, floc=0)
    assert (found.shape, found.scale) == (pytest.approx(likely_shape, abs=0.02), pytest.approx(likely_scale, rel=0.03))


def test_the_distance_of_anderson_and_darling_by_hand():
    exponential = Pareto(shape=0.0, scale=1.0)
    excesses = -np.log(1 - np.array([0.25, 0.75]))
    by_hand = -2 - (1 * (np.log(0.25) + np.log(0.25)) + 3 * (np.log(0.75) + np.log(0.75))) / 2
    assert anderson_darling(exponential, excesses) == pytest.approx(by_hand)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_other_units_give_the_same_tail_in_other_units(scale, shift):
    scores = np.random.default_rng(2).gamma(4, size=60)
    plain, moved = fit_tail(scores.tolist(), wanted=0.01), fit_tail((scores * scale + shift).tolist(), wanted=0.01)
    assert moved.threshold == pytest.approx(plain.threshold * scale + shift, rel=1e-6, abs=1e-6)
    assert moved.fit == pytest.approx(plain.fit, abs=0.01)


def test_the_threshold_lies_above_the_estimate_and_a_rarer_rate_above_a_commoner():
    scores = np.random.default_rng(3).gamma(4, size=60).tolist()
    one, rarer = fit_tail(scores, wanted=0.01), fit_tail(scores, wanted=0.001)
    assert one.quantile < one.threshold < rarer.threshold
    assert one.fits
    assert (one.parts, one.peaks) == (60, 12)


def test_a_rate_that_lies_below_the_tail_gives_where_the_tail_begins():
    scores = np.random.default_rng(4).gamma(4, size=60).tolist()
    tail = fit_tail(scores, wanted=0.3)
    assert tail.threshold == tail.start


def test_a_lump_of_high_scores_far_from_the_rest_does_not_pass_for_a_tail():
    random = np.random.default_rng(5)
    scores = [*random.gamma(4, size=190), *(100 + random.normal(size=25))]
    assert not fit_tail(scores, wanted=0.001).fits


def test_too_few_or_too_many_equal_scores_are_refused():
    with pytest.raises(ValueError, match="29 good scores; a tail needs 30 or more"):
        fit_tail([float(i) for i in range(29)], wanted=0.01)
    with pytest.raises(ValueError, match="too many of the highest good scores are equal"):
        fit_tail([1.0] * 60, wanted=0.01)
