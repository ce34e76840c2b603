import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.errors import ConfigError
from edge_inspect.workshop.splits import cut, parts_needed, split_parts, upper_bound

pytestmark = pytest.mark.workshop


@given(count=st.integers(2, 400), seed=st.integers(0, 5))
def test_every_image_is_on_exactly_one_side_and_about_a_third_is_held_out(count: int, seed: int) -> None:
    split = split_parts([f"{i}.png" for i in range(count)], seed=seed)
    held_out = [index for part in split.held_out for index in part]
    assert sorted([*split.fit, *held_out]) == list(range(count))
    assert abs(len(held_out) - 0.3 * count) <= 1
    assert split.fit


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    names = [f"{i}.png" for i in range(50)]
    assert split_parts(names, seed=3) == split_parts(names, seed=3)
    assert split_parts(names, seed=3) != split_parts(names, seed=4)


def test_images_with_the_same_name_are_still_images_of_their_own() -> None:
    split = split_parts(["part"] * 20, seed=0)
    assert len(split.fit) == 14


@given(parts=st.integers(2, 40), views=st.integers(1, 4), seed=st.integers(0, 3))
def test_the_images_of_one_physical_part_stay_on_one_side(parts: int, views: int, seed: int) -> None:
    names = [f"{part:03}_{view}.png" for part in range(parts) for view in range(views)]
    split = split_parts(names, seed=seed, part_of=re.compile(r"(\d+)_"))
    fitted = {names[index][:3] for index in split.fit}
    for group in split.held_out:
        assert len(group) == views
        assert len({names[index][:3] for index in group}) == 1
        assert names[group[0]][:3] not in fitted


def test_a_name_that_does_not_tell_its_part_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cover\.png: the pattern"):
        split_parts(["001_1.png", "cover.png"], seed=0, part_of=re.compile(r"(\d+)_"))


def test_a_pattern_without_a_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs one group"):
        split_parts(["001_1.png", "002_1.png"], seed=0, part_of=re.compile(r"\d+_"))


def test_images_of_one_single_part_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match="all 3 images are of one part"):
        split_parts(["1_1", "1_2", "1_3"], seed=0, part_of=re.compile(r"(\d+)_"))


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
