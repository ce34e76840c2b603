from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.outputs.heat import colours, levels_from_scores, opacities, tint


def level(score: float, threshold: float | None) -> int:
    return int(levels_from_scores(np.array([[score]], np.float32), threshold)[0, 0])


def test_the_scale_runs_from_half_to_twice_the_threshold():
    assert [level(score, 10.0) for score in (-5, 4.9, 5, 10, 20, 1e30)] == [0, 0, 0, 85, 255, 255]


@given(st.floats(0.125, 128, width=32), st.floats(0, 300, width=32), st.floats(0, 300, width=32))
def test_a_colour_never_depends_on_the_rest_of_the_image(threshold, score, other):
    pair = levels_from_scores(np.array([[score, other]], np.float32), threshold)
    assert pair[0, 0] == level(score, threshold)


def test_without_a_threshold_there_is_no_heat():
    assert level(5.0, None) == level(5.0, float("nan")) == 0


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_cell_that_is_not_finite_has_no_heat(odd):
    assert level(odd, 1.0) == 0


def test_a_negative_threshold_has_a_scale_of_the_same_width():
    assert [level(score, -10.0) for score in (-15, -10, 0)] == [0, 85, 255]


def test_above_a_threshold_of_zero_all_is_hot():
    assert [level(score, 0.0) for score in (-1, 0.001, 1)] == [0, 255, 255]


def test_opacity_begins_at_nothing_never_falls_and_never_hides_the_part():
    opacity = opacities()
    assert opacity[0] == 0
    assert (np.diff(opacity) >= 0).all()
    assert 0.4 < opacity[-1] < 0.7


def test_colours_go_from_blue_to_red():
    table = colours().astype(int)
    assert table.shape == (256, 3)
    assert table[0, 2] > table[0, 0]
    assert table[-1, 0] > table[-1, 2]
    assert np.abs(np.diff(table, axis=0)).max() <= 8


def test_only_hot_pixels_are_tinted():
    picture = np.full((4, 4, 3), 100, np.uint8)
    levels = np.zeros((4, 4), np.uint8)
    levels[1, 2] = 255
    tint(picture, levels)
    changed = (picture != 100).any(axis=2)
    assert changed.sum() == 1
    assert picture[1, 2, 0] > picture[1, 2, 2]


def test_a_large_picture_is_tinted_as_a_small_one_with_little_memory_beside_it():
    random = np.random.default_rng(3)
    picture, levels = random.integers(0, 256, (512, 512, 3), np.uint8), random.integers(0, 256, (512, 512), np.uint8)
    wanted = picture.copy()
    for row in range(0, 512, 8):
        tint(wanted[row : row + 8], levels[row : row + 8])
    tracemalloc.start()
    tint(picture, levels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(picture, wanted)
    assert peak < 3 * picture.nbytes
