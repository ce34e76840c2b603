"""Drawn parts: pure, labelled, and defective where the mask says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.cameras.parts import DEFECTS, draw_part, label_of


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int)).max(axis=2)


def test_the_same_arguments_draw_the_same_part() -> None:
    first, again = draw_part(7, 3), draw_part(7, 3)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.defect_mask, again.defect_mask)
    assert first.label == again.label


@pytest.mark.parametrize("other", [(8, 3), (7, 4)])
def test_another_number_or_seed_draws_another_part(other: tuple[int, int]) -> None:
    assert difference(draw_part(7, 3).pixels, draw_part(*other).pixels).max() > 20


@settings(deadline=None, max_examples=40)
@given(
    sequence=st.integers(0, 10**9),
    seed=st.integers(0, 10**6),
    label=st.sampled_from(DEFECTS),
    size=st.sampled_from([(160, 120), (320, 240)]),
)
def test_a_defect_can_be_seen_and_lies_under_its_mask(sequence: int, seed: int, label: str, size: tuple[int, int]) -> None:
    shape = {"width": size[0], "height": size[1]}
    good, bad = draw_part(sequence, seed, label="good", **shape), draw_part(sequence, seed, label=label, **shape)
    seen = difference(good.pixels, bad.pixels)
    assert bad.label == label
    assert bad.defect_mask.shape == seen.shape == size[::-1]
    assert seen[bad.defect_mask].mean() > 8
    assert seen[~bad.defect_mask].mean() < 0.1
    assert not good.defect_mask.any()


def test_the_rate_of_defects_is_kept_and_all_kinds_occur() -> None:
    labels = [label_of(sequence, defect_rate=0.2) for sequence in range(4000)]
    assert set(labels) == {"good", *DEFECTS}
    assert labels.count("good") / len(labels) == pytest.approx(0.8, abs=0.03)
    assert {label_of(sequence, defect_rate=0) for sequence in range(100)} == {"good"}
    assert "good" not in {label_of(sequence, defect_rate=1) for sequence in range(100)}


def test_a_part_is_what_its_label_says_beforehand() -> None:
    assert [draw_part(n, 5, width=64, height=64, defect_rate=0.5).label for n in range(20)] == [
        label_of(n, 5, defect_rate=0.5) for n in range(20)
    ]


@pytest.mark.parametrize(("channels", "width", "height"), [(1, 64, 64), (3, 97, 301), (1, 640, 480)])
def test_any_size_and_both_kinds_of_pixels_are_drawn(channels: int, width: int, height: int) -> None:
    for label in ("good", *DEFECTS):
        part = draw_part(0, width=width, height=height, channels=channels, label=label)
        assert part.pixels.shape == (height, width, channels)
        assert part.pixels.dtype == np.uint8
        assert not part.pixels.flags.writeable


def test_good_parts_of_two_seeds_are_the_same_product() -> None:
    one, two = draw_part(0, 1, label="good").pixels, draw_part(0, 2, label="good").pixels
    assert np.abs(one.mean(axis=(0, 1)) - two.mean(axis=(0, 1))).max() < 2
