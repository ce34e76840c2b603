"""Rules that weigh good parts against defective ones, against hand computations and an exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.thresholds.good_rules import mean_of_errors
from edge_inspect.thresholds.labelled_rules import best_f1, candidates, count_at, most_precise, youden

scores = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda value: round(value, 3)), min_size=1, max_size=30)


def figures(threshold, good, defective):
    """Recall, share of false rejects and precision, counted one by one."""
    caught = sum(score > threshold for score in defective)
    wrong = sum(score > threshold for score in good)
    return caught / len(defective), wrong / len(good), caught / max(caught + wrong, 1)


def f1(threshold, good, defective):
    recall, _, precision = figures(threshold, good, defective)
    return 2 * recall * precision / (recall + precision) if recall else 0.0


def test_the_mean_of_errors_is_kumars():
    assert mean_of_errors([1.0, 2.0, 6.0]) == 3.0
    with pytest.raises(ValueError, match="1 good scores have no mean worth the name"):
        mean_of_errors([1.0])


@pytest.mark.parametrize("rule", [best_f1, youden, most_precise])
def test_scores_that_do_not_overlap_are_parted_in_the_middle_of_the_gap(rule):
    threshold = rule([1.0, 2.0, 3.0], [7.0, 9.0])
    assert threshold == pytest.approx(5.0, abs=0.09)


def test_f1_by_hand():
    good, defective = [0.1, 0.2, 0.3, 0.6], [0.5, 0.8, 1.1]
    threshold = best_f1(good, defective)
    assert 0.3 <= threshold < 0.5
    assert f1(threshold, good, defective) == pytest.approx(6 / 7)


@given(good=scores, defective=scores)
def test_no_other_threshold_of_the_grid_has_a_higher_f1(good, defective):
    found = f1(best_f1(good, defective), good, defective)
    low, high = min(good + defective), max(good + defective)
    assert found >= max(f1(t, good, defective) for t in low + (high - low) * np.arange(0, 1.005, 0.01)) - 1e-9


@given(good=scores, defective=scores)
def test_no_other_threshold_has_a_larger_youden_index(good, defective):
    def index(threshold):
        recall, false_rejects, _ = figures(threshold, good, defective)
        return recall - false_rejects

    found = index(youden(good, defective))
    assert found == pytest.approx(max(index(t) for t in [min(good + defective) - 1, *good, *defective]), abs=1e-9)


@given(good=scores, defective=scores)
def test_nine_of_ten_defects_are_caught_and_no_other_such_threshold_is_more_precise(good, defective):
    recall, _, precision = figures(most_precise(good, defective), good, defective)
    assert recall >= 0.9
    others = [figures(t, good, defective) for t in [min(good + defective) - 1, *good, *defective]]
    assert precision == pytest.approx(max(p for r, _, p in others if r >= 0.9), abs=1e-9)


@given(good=scores, defective=scores)
def test_every_way_to_part_the_scores_is_a_candidate(good, defective):
    found = candidates(good, defective)
    counted = count_at(found, good, defective)
    assert len(set(zip(counted.recall, counted.false_rejects, strict=True))) == len(np.unique([*good, *defective]))
    for threshold, recall, false_rejects in zip(found, counted.recall, counted.false_rejects, strict=True):
        assert (recall, false_rejects) == figures(threshold, good, defective)[:2]


def test_two_scores_that_are_neighbours_in_float64_are_still_parted():
    low, high = 1.0, float(np.nextafter(1.0, 2.0))
    assert low <= youden([low], [high]) < high


@pytest.mark.parametrize("rule", [best_f1, youden, most_precise])
def test_a_rule_that_needs_both_sides_says_so(rule):
    with pytest.raises(ValueError, match="2 good and 0 defective scores"):
        rule([1.0, 2.0], [])
