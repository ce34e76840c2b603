"""Tiles: that they cover the region exactly, and that nothing of a seam is left in what is found."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_inspect.config import RegionOfInterest, Tiles
from edge_inspect.errors import ConfigError
from edge_inspect.geometry import Grid, frame_points, place, tile, warp
from edge_inspect.regions import find_regions

GRID = Grid(width=32, height=24, channels=1, map_width=8, map_height=6)
counts = st.integers(1, 5)


@st.composite
def tilings(draw):
    """Tiles over a turned region of a frame of 400 x 300, with an overlap that is possible."""
    region = RegionOfInterest(left=120, top=90, width=draw(st.floats(40, 150)), height=draw(st.floats(40, 110)), rotation_deg=draw(angles))
    tiles = Tiles(across=draw(counts), down=draw(counts), overlap_px=draw(st.floats(0, 8)))
    return region, tiles, tile(400, 300, region, tiles, GRID)


angles = st.sampled_from([0.0, 90.0, 17.5, -45.0])


def corners(placement, width, height):
    """Positions of the four outer corners [frame px]."""
    points = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]])
    return frame_points(placement, points)


@given(tilings())
def test_tiles_cover_the_region_exactly(laid):
    region, tiles, tiling = laid
    whole = place(400, 300, region, width=10, height=10, channels=1)
    np.testing.assert_allclose(corners(tiling.placement, tiling.width, tiling.height), corners(whole, 10, 10), atol=1e-9)
    covered = np.zeros((tiling.height, tiling.width), int)
    for row, column in tiling.corners:
        covered[row : row + 6, column : column + 8] += 1
    assert covered.min() >= 1
    assert len(tiling.placements) == tiles.across * tiles.down


@given(tilings())
def test_neighbours_overlap_as_far_as_wanted(laid):
    region, tiles, tiling = laid
    columns, rows = sorted({column for _, column in tiling.corners}), sorted({row for row, _ in tiling.corners})
    for starts, cells, length_px, total in ((columns, 8, region.width, tiling.width), (rows, 6, region.height, tiling.height)):
        for first, second in pairwise(starts):
            assert (first + cells - second) * length_px / total >= tiles.overlap_px - 1e-9


@given(tilings())
def test_a_cell_of_a_tile_is_the_cell_of_the_mosaic_that_it_is_said_to_be(laid):
    *_, tiling = laid
    for placement, (row, column) in zip(tiling.placements, tiling.corners, strict=True):
        own = placement.cell_affine(8, 6)
        shift = np.array([[1, 0, column], [0, 1, row], [0, 0, 1]])
        np.testing.assert_allclose(own, tiling.placement.cell_affine(tiling.width, tiling.height) @ shift, atol=1e-9)


@given(tilings(), st.data())
@settings(max_examples=80, deadline=None)
def test_regions_over_seams_are_those_of_one_large_map(laid, data):
    """Each tile is given its part of a map that no tile could hold; what is found must not know of tiles."""
    *_, tiling = laid
    scores = st.sampled_from([0.0, 1.0, 2.0, 3.5])
    whole = data.draw(arrays.arrays(np.float32, (tiling.height, tiling.width), elements=scores))
    mosaic = tiling.joined([whole[row : row + 6, column : column + 8] for row, column in tiling.corners])
    np.testing.assert_array_equal(mosaic, whole)
    searched = np.ones(whole.shape, bool)
    found = [
        find_regions(one, pixel_threshold=1.5, searched=searched, placement=tiling.placement, mm_per_px=0.1) for one in (mosaic, whole)
    ]
    assert found[0] == found[1]
    assert mosaic.max() == max(whole[row : row + 6, column : column + 8].max() for row, column in tiling.corners)


def test_a_defect_over_four_tiles_is_one_region():
    tiling = tile(160, 120, None, Tiles(across=2, down=2, overlap_px=10), GRID)
    whole = np.zeros((tiling.height, tiling.width), np.float32)
    whole[4:8, 5:11] = 7
    mosaic = tiling.joined([whole[row : row + 6, column : column + 8] for row, column in tiling.corners])
    (one,) = find_regions(mosaic, pixel_threshold=1, searched=np.ones(mosaic.shape, bool), placement=tiling.placement, mm_per_px=None)
    assert one.area_px == pytest.approx(24 * (160 / tiling.width) * (120 / tiling.height))


def test_where_tiles_overlap_the_higher_score_counts_and_what_is_no_number_stays():
    tiling = tile(160, 120, None, Tiles(across=2, down=1, overlap_px=10), GRID)
    left, right = np.full((6, 8), 1, np.float32), np.full((6, 8), 2, np.float32)
    shared = 8 - tiling.corners[1][1]
    assert shared >= 1
    mosaic = tiling.joined([left, right])
    assert (mosaic[:, 8 - shared :] == 2).all()
    left[0, -1] = np.nan
    assert np.isnan(tiling.joined([left, right])[0, 7])


def test_the_pixels_of_a_tile_are_those_of_its_piece_of_the_frame():
    frame = np.arange(96 * 128, dtype=np.uint32).reshape(96, 128, 1).astype(np.uint8)
    tiling = tile(128, 96, None, Tiles(across=4, down=4), GRID)
    for placement, (row, column) in zip(tiling.placements, tiling.corners, strict=True):
        np.testing.assert_array_equal(warp(frame, placement), frame[row * 4 : row * 4 + 24, column * 4 : column * 4 + 32])


def test_one_tile_is_what_no_tiles_are():
    tiling = tile(400, 300, None, Tiles(across=1, down=1, overlap_px=50), GRID)
    np.testing.assert_allclose(tiling.placements[0].affine, place(400, 300, None, width=32, height=24, channels=1).affine, atol=1e-12)
    assert (tiling.width, tiling.height) == (8, 6)


def test_an_overlap_wider_than_a_tile_is_refused():
    with pytest.raises(ConfigError, match=r"5 tiles across over 400 px cannot overlap by 300 px, .*; lower overlap_px or across"):
        tile(400, 300, None, Tiles(across=5, down=1, overlap_px=300), GRID)
