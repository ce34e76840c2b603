"""What rounding adds to every cell is taken off again, before anything else takes the map."""

import numpy as np
import pytest

from edge_inspect.workshop.precision.quantised import measure_ranges, open_quietly, quantisable, quantised_graph
from edge_inspect.workshop.precision.shift import mean_map, without_shift

pytestmark = pytest.mark.workshop


@pytest.fixture
def rounded(small, noise):
    return quantised_graph(small, measure_ranges(small, noise[:6]), [node.name for node in quantisable(small)])


def test_the_mean_map_of_the_frames_is_the_float32_one_again(small, rounded, noise):
    wanted, before = mean_map(small, noise[:6]), mean_map(rounded, noise[:6])
    after = mean_map(without_shift(rounded, before - wanted), noise[:6])
    assert np.abs(before - wanted).max() > 1e-4
    np.testing.assert_allclose(after, wanted, atol=1e-6)


def test_the_image_score_is_taken_from_the_corrected_map(rounded, noise):
    graph = without_shift(rounded, np.full((1, 1, 16, 16), 2.5, np.float32))
    (before,), (after,) = (open_quietly(one).run(["image_score"], {"frame": noise[0][None]}) for one in (rounded, graph))
    assert after == pytest.approx(before - 2.5, abs=1e-6)


def test_each_cell_has_a_shift_of_its_own(rounded, noise):
    shift = np.zeros((1, 1, 16, 16), np.float32)
    shift[0, 0, 3, 4] = 1.0
    before, after = mean_map(rounded, noise[:1]), mean_map(without_shift(rounded, shift), noise[:1])
    np.testing.assert_allclose(before - after, shift, atol=1e-6)


def test_the_graph_it_is_made_from_is_left_alone(rounded):
    before = rounded.SerializeToString(deterministic=True)
    without_shift(rounded, np.zeros((1, 1, 16, 16), np.float32))
    assert rounded.SerializeToString(deterministic=True) == before
