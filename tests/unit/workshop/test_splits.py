import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.errors import ConfigError
from edge_inspect.workshop.splits import split_parts

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
