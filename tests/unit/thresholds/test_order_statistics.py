"""Order statistics against closed forms, hand computations and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.thresholds.order_statistics import cut, exact_interval, parts_needed, upper_bound


def test_59_held_out_parts_promise_five_percent_and_58_do_not() -> None:
    assert upper_bound(1, 59) < 0.05 < upper_bound(1, 58)
    assert parts_needed(0.05) == 59
    assert parts_needed(0.01) == 299


@given(count=st.integers(1, 500))
def test_the_bound_of_the_largest_score_is_the_closed_form(count: int) -> None:
    assert upper_bound(1, count) == pytest.approx(1 - 0.05 ** (1 / count), rel=1e-9)


@given(count=st.integers(5, 300), rank=st.integers(1, 5))
def test_at_the_bound_so_few_rejects_would_be_seen_in_one_of_twenty_samples(count: int, rank: int) -> None:
    rate = upper_bound(rank, count)
    chance = sum(math.comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(rank))
    assert chance == pytest.approx(0.05, rel=1e-6)


def test_a_sample_that_cannot_carry_the_wanted_rate_gets_the_largest_score_and_says_what_it_would_need() -> None:
    limit = cut([float(i) for i in range(60)], wanted=0.01)
    assert (limit.threshold, limit.rank) == (59.0, 1)
    assert limit.bound > limit.wanted
    assert "at most 4.87%" in limit.promise
    assert "the largest of 60 held-out good scores" in limit.promise
    assert "The wanted 1.00% needs 299 held-out good parts." in limit.promise


def test_where_nobody_knows_what_the_model_was_made_from_the_promise_does_not_say_held_out() -> None:
    promise = cut([float(i) for i in range(60)], wanted=0.01, held_out=False).promise
    assert "the largest of 60 good scores" in promise
    assert promise.endswith("needs 299 good parts.")


def test_a_large_sample_gets_the_lowest_threshold_that_still_keeps_the_promise() -> None:
    limit = cut([float(i) for i in range(1000)], wanted=0.01)
    assert limit.rank > 1
    assert upper_bound(limit.rank, 1000) <= 0.01 < upper_bound(limit.rank + 1, 1000)
    assert limit.threshold == 1000 - limit.rank
    assert "needs" not in limit.promise
    assert f"the {limit.rank}th largest of 1000" in limit.promise


@pytest.mark.parametrize(("rank", "said"), [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (21, "21st")])
def test_the_promise_names_the_rank_as_people_do(rank: int, said: str) -> None:
    count = next(n for n in range(20 * rank, 20_000) if upper_bound(rank, n) <= 0.05)
    assert f"the {said} largest of {count}" in cut([float(i) for i in range(count)], wanted=0.05).promise


def test_the_bound_holds_in_95_of_100_simulated_teachings_and_not_in_many_more() -> None:
    random = np.random.default_rng(0)
    scores = random.standard_exponential((4000, 100))
    bound = upper_bound(2, 100)
    thresholds = np.sort(scores, axis=1)[:, -2]
    kept = np.mean(np.exp(-thresholds) <= bound)
    assert 0.94 < kept < 0.96


def test_one_held_out_part_promises_next_to_nothing_and_says_so() -> None:
    limit = cut([3.0], wanted=0.01)
    assert limit.threshold == 3.0
    assert limit.bound == pytest.approx(0.95)


def test_another_confidence_needs_other_counts() -> None:
    assert parts_needed(0.01, 0.90) == 230
    assert cut([float(i) for i in range(230)], wanted=0.01, confidence=0.90).carried
    assert not cut([float(i) for i in range(230)], wanted=0.01, confidence=0.95).carried
    assert "With 90 % confidence" in cut([1.0, 2.0], wanted=0.01, confidence=0.90).promise


@given(parts=st.integers(1, 300), data=st.data())
def test_at_the_ends_of_the_exact_interval_the_count_seen_is_as_rare_as_agreed(parts: int, data: st.DataObject) -> None:
    seen = data.draw(st.integers(0, parts))
    low, high = exact_interval(seen, parts)
    assert 0 <= low <= seen / parts <= high <= 1
    if seen:
        chance = sum(math.comb(parts, k) * low**k * (1 - low) ** (parts - k) for k in range(seen, parts + 1))
        assert chance == pytest.approx(0.025, rel=1e-5)
    if seen < parts:
        chance = sum(math.comb(parts, k) * high**k * (1 - high) ** (parts - k) for k in range(seen + 1))
        assert chance == pytest.approx(0.025, rel=1e-5)


def test_the_exact_interval_of_no_reject_in_41_parts_reaches_to_8_6_percent_and_of_no_parts_says_nothing() -> None:
    assert exact_interval(0, 41) == (0.0, pytest.approx(0.0860, abs=5e-5))
    assert exact_interval(0, 0) == (0.0, 1.0)


@given(seen=st.integers(0, 60))
def test_the_exact_interval_is_scipys(seen: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(seen, 60).proportion_ci(confidence_level=0.95, method="exact")
    assert exact_interval(seen, 60) == (pytest.approx(wanted.low, abs=1e-9), pytest.approx(wanted.high, abs=1e-9))
