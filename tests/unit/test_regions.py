"""Regions, held against a flood fill that knows nothing of OpenCV."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_inspect.config import RegionOfInterest
from edge_inspect.geometry import place
from edge_inspect.regions import find_regions

SCORES = st.sampled_from([0.0, 1.0, 2.0, 2.5, 3.0, 7.5])
maps = arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=SCORES)


def found(score_map, threshold=1.0, placement=None, searched=None, mm_per_px=None):
    score_map = np.asarray(score_map, np.float32)
    height, width = score_map.shape
    return find_regions(
        score_map,
        pixel_threshold=threshold,
        searched=np.ones(score_map.shape, bool) if searched is None else searched,
        placement=placement or place(width, height, None, width=width, height=height, channels=1),
        mm_per_px=mm_per_px,
    )


def flood(score_map, searched, threshold):
    """Lists of (row, column), 8-connected."""
    left = {(int(r), int(c)) for r, c in np.argwhere((score_map > threshold) & searched)}
    parts = []
    while left:
        part, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            part.append((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge += near
        parts.append(part)
    return parts


def corners_in_frame(placement, shape, part):
    """Edges (n, 2) of every corner of every cell, through the network's image."""
    cells = np.array([(c + i, r + j) for r, c in part for i in (0, 1) for j in (0, 1)], float)
    network = cells * [placement.width / shape[1], placement.height / shape[0]] - 0.5
    return network @ placement.affine[:, :2].T + placement.affine[:, 2] + 0.5


def told(region, cell_px):
    cells = region.area_px / cell_px
    assert cells == pytest.approx(round(cells))
    return (region.left, region.top, region.right, region.bottom, round(cells), region.peak, region.mean)


def told_slowly(score_map, placement, part):
    corners = corners_in_frame(placement, score_map.shape, part)
    scores = [float(score_map[cell]) for cell in part]
    low, high = np.floor(corners.min(axis=0) + 1e-6), np.ceil(corners.max(axis=0) - 1e-6)
    return (*map(int, low), *map(int, high), len(part), max(scores), sum(scores) / len(scores))


@given(maps, st.data(), st.floats(-180, 180), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_regions_are_what_a_flood_fill_finds(score_map, data, rotation_deg, width, height):
    searched = data.draw(arrays.arrays(np.bool_, score_map.shape))
    region = RegionOfInterest(left=100, top=100, width=60.5, height=35.25, rotation_deg=rotation_deg)
    placement = place(300, 300, region, width=width, height=height, channels=1)
    got = found(score_map, 1.0, placement, searched)
    wanted = [told_slowly(score_map, placement, part) for part in flood(score_map, searched, 1.0)]
    assert sorted(told(one, region.width * region.height / score_map.size) for one in got) == sorted(wanted)
    for one in got:
        assert one.left <= one.centre_x <= one.right
        assert one.top <= one.centre_y <= one.bottom


@given(maps)
def test_the_worst_region_comes_first(score_map):
    keys = [(-one.peak, -one.area_px, one.top, one.left) for one in found(score_map)]
    assert keys == sorted(keys)


@given(maps)
def test_the_same_map_gives_the_same_regions(score_map):
    assert found(score_map) == found(score_map.copy()) == found(np.asfortranarray(score_map))


@given(maps)
def test_a_map_mirrored_gives_the_regions_mirrored(score_map):
    width = score_map.shape[1]
    mirrored = {(width - one.right, one.top, width - one.left, one.bottom, one.area_px, one.peak) for one in found(score_map[:, ::-1])}
    assert mirrored == {(one.left, one.top, one.right, one.bottom, one.area_px, one.peak) for one in found(score_map)}


def test_a_region_is_told_in_frame_pixels():
    score_map = np.zeros((8, 8))
    score_map[2:4, 3:6] = [[5, 6, 7], [5, 5, 8]]
    region = RegionOfInterest(left=100, top=50, width=320, height=160)
    (one,) = found(score_map, 4.0, place(640, 480, region, width=256, height=256, channels=3), mm_per_px=0.1)
    assert (one.left, one.top, one.right, one.bottom) == (220, 90, 340, 130)
    assert (one.centre_x, one.centre_y) == (280, 110)
    assert one.area_px == pytest.approx(6 * 40 * 20)
    assert one.area_mm2 == pytest.approx(48)
    assert (one.peak, one.mean) == (8, 6)


def test_a_turned_box_hugs_its_cells():
    """The box of a diagonal line of cells is narrower than that of the square around the cells."""
    region = RegionOfInterest(left=50, top=50, width=100, height=100, rotation_deg=45)
    (one,) = found(np.eye(10) * 5, 1.0, place(200, 200, region, width=100, height=100, channels=1))
    assert (one.left, one.right) == (92, 108)
    assert (one.top, one.bottom) == (29, 171)


def test_without_a_scale_there_is_no_area_in_mm():
    assert found([[5]])[0].area_mm2 is None


def test_cells_that_touch_at_a_corner_belong_together():
    assert len(found([[5, 0], [0, 5]])) == 1
    assert len(found([[5, 0, 5]])) == 2


def test_a_cell_at_the_threshold_is_not_above_it():
    assert found([[1.0]]) == ()
    assert len(found([[np.nextafter(np.float32(1), np.float32(2))]])) == 1


@given(st.floats(0.001, 1e6), st.integers(-3, 3))
def test_a_cell_is_above_exactly_when_its_value_is(threshold, steps):
    """The comparison is that of real numbers, though the map has fewer digits than the threshold."""
    score = np.float32(threshold)
    for _ in range(abs(steps)):
        score = np.nextafter(score, np.float32(math.copysign(np.inf, steps)))
    assert bool(found([[score]], threshold)) == (float(score) > threshold)


def test_a_threshold_beyond_float32_is_never_exceeded():
    assert found([[3e38]], 1e39) == ()
    assert len(found([[-3e38]], -1e39)) == 1


def test_cells_that_are_not_searched_are_not_found_and_do_not_connect():
    searched = np.array([[True, False, True]])
    regions = found([[5, 9, 6]], searched=searched)
    assert [(one.left, one.right, one.peak) for one in regions] == [(2, 3, 6), (0, 1, 5)]


@pytest.mark.parametrize("rest", [0.0, 5.0])
def test_a_cell_that_is_no_number_is_never_above(rest):
    assert len(found([[np.nan, rest]])) == (rest > 0)
    assert found([[np.nan]]) == ()


def test_an_infinite_cell_is_a_region_that_the_decision_faults():
    assert found([[np.inf, 0]])[0].peak == np.inf


def test_equal_peaks_are_sorted_by_area_then_place():
    score_map = [[5, 0, 5, 5], [0, 0, 0, 0], [5, 0, 0, 5]]
    assert [(one.left, one.top) for one in found(score_map)] == [(2, 0), (0, 0), (0, 2), (3, 2)]


def test_a_map_full_of_noise_is_told_in_full():
    """The worst case is a region in every fourth cell; each of them is told."""
    score_map = np.zeros((128, 128))
    score_map[::2, ::2] = 5
    assert len(found(score_map)) == 64 * 64


def test_the_map_and_the_mask_stay_as_they_are():
    score_map, searched = np.full((4, 4), 5, np.float32), np.ones((4, 4), bool)
    score_map.flags.writeable = searched.flags.writeable = False
    assert len(found(score_map, searched=searched)) == 1
