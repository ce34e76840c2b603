"""Which cells of the score map count."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.config import Masks, RegionOfInterest
from edge_inspect.errors import ConfigError
from edge_inspect.geometry import place, searched_cells

FRAME = (400, 200)
CELLS = (40, 20)


def searched(masks, region=None, cells=CELLS):
    return searched_cells(place(*FRAME, region, width=256, height=128, channels=3), *cells, *FRAME, masks)


def save(path, image):
    cv2.imwrite(str(path), image)
    return path


def test_without_masks_every_cell_counts():
    assert searched(Masks()).shape == (20, 40)
    assert searched(Masks()).all()


def test_the_whole_frame_as_a_polygon_is_every_cell():
    assert searched(Masks(include=(((0, 0), (400, 0), (400, 200), (0, 200)),))).all()


def test_a_cell_belongs_by_its_centre():
    got = searched(Masks(include=(((96, 54), (124, 54), (124, 76), (96, 76)),)))
    wanted = np.zeros((20, 40), bool)
    wanted[5:8, 10:12] = True  # centres at 105, 115 across and 55, 65, 75 down
    np.testing.assert_array_equal(got, wanted)


def test_an_ignored_polygon_is_cut_out_of_the_included_ones():
    left, right = ((0, 0), (200, 0), (200, 200), (0, 200)), ((200, 0), (400, 0), (400, 200), (200, 200))
    np.testing.assert_array_equal(searched(Masks(include=(left, right), ignore=(right,))), searched(Masks(include=(left,))))


def test_ignored_polygons_that_overlap_stay_ignored():
    polygon = ((0, 0), (200, 0), (200, 200), (0, 200))
    np.testing.assert_array_equal(searched(Masks(ignore=(polygon, polygon))), searched(Masks(ignore=(polygon,))))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), min_size=3, max_size=7))
def test_inside_is_where_a_ray_crosses_the_outline_an_odd_number_of_times(corners):
    crossings, on_outline = crossings_to_the_right([(10 * x, 10 * y) for x, y in corners])
    # the first row of cells keeps the mask from leaving nothing
    got = searched(Masks(include=(tuple((10.0 * x, 10.0 * y) for x, y in corners), ((0, 0), (400, 0), (400, 10), (0, 10)))))
    np.testing.assert_array_equal(got[1:][~on_outline[1:]], (crossings % 2 == 1)[1:][~on_outline[1:]])


def crossings_to_the_right(outline):
    """Per cell, in whole numbers: how often a ray from its centre crosses, and whether the centre lies on the outline."""
    y, x = np.mgrid[5:200:10, 5:400:10]
    crossings, on_outline = np.zeros(x.shape, int), np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1], strict=True):
        side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        beside = (y0 > y) != (y1 > y)
        crossings += beside & ((side > 0) == (y1 > y0))
        on_outline |= beside & (side == 0)
    return crossings, on_outline


@pytest.mark.parametrize(("border_px", "cells"), [(0, 0), (5, 0), (5.1, 1), (15, 1), (16, 2)])
def test_the_border_is_measured_from_the_edge_of_the_region_of_interest(border_px, cells):
    got = searched(Masks(border_px=border_px))
    wanted = np.zeros((20, 40), bool)
    wanted[cells : 20 - cells, cells : 40 - cells] = True
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("rotation_deg", [0, 30, 90])
def test_the_border_turns_with_the_region(rotation_deg):
    region = RegionOfInterest(left=150, top=50, width=100, height=100, rotation_deg=rotation_deg)
    got = searched(Masks(border_px=10), region, cells=(20, 10))
    wanted = np.zeros((10, 20), bool)
    wanted[1:-1, 2:-2] = True  # a cell is 5 px wide and 10 px high
    np.testing.assert_array_equal(got, wanted)


def test_polygons_are_in_frame_pixels_wherever_the_region_lies():
    region = RegionOfInterest(left=200, top=100, width=200, height=100)
    got = searched(Masks(include=(((0, 0), (300, 0), (300, 200), (0, 200)),)), region)
    assert got[:, :20].all()
    assert not got[:, 20:].any()


def test_a_turned_region_sees_the_polygon_turned():
    region = RegionOfInterest(left=150, top=50, width=100, height=100, rotation_deg=90)
    upper_half_of_frame = ((0, 0), (400, 0), (400, 100), (0, 100))
    got = searched(Masks(include=(upper_half_of_frame,)), region, cells=(10, 10))
    assert got[:, :5].all()  # the region's left to right runs down the frame
    assert not got[:, 5:].any()


@pytest.mark.parametrize("white", [1, 255])
def test_a_png_counts_where_it_is_not_black(tmp_path, white):
    image = np.zeros((200, 400), np.uint8)
    image[:, 200:] = white
    got = searched(Masks(png=save(tmp_path / "mask.png", image)))
    assert not got[:, :20].any()
    assert got[:, 20:].all()


@pytest.mark.parametrize("value", [(1, 0, 0), (0, 0, 200), (1, 0, 0, 0), (0, 5, 0, 255)])
def test_any_colour_is_white_and_transparency_does_not_count(tmp_path, value):
    image = np.zeros((200, 400, len(value)), np.uint8)
    image[:, :200] = value
    if len(value) == 4:
        image[:, 200:, 3] = 255
    got = searched(Masks(png=save(tmp_path / "mask.png", image)))
    assert got[:, :20].all()
    assert not got[:, 20:].any()


def test_a_sixteen_bit_mask_is_read_as_it_is(tmp_path):
    image = np.zeros((200, 400), np.uint16)
    image[:, :200] = 3
    assert searched(Masks(png=save(tmp_path / "mask.png", image)))[:, :20].all()


def test_a_png_of_another_size_is_refused_with_both_sizes(tmp_path):
    path = save(tmp_path / "mask.png", np.full((100, 200), 255, np.uint8))
    with pytest.raises(ConfigError, match=r"mask\.png: the mask is 200 x 100 px, the frame 400 x 200"):
        searched(Masks(png=path))


def test_a_missing_png_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"mask\.png: the mask cannot be read: No such file"):
        searched(Masks(png=tmp_path / "mask.png"))


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_png_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(ConfigError, match=r"mask\.png: the mask is not an image"):
        searched(Masks(png=tmp_path / "mask.png"))


@pytest.mark.parametrize("masks", [Masks(border_px=500), Masks(ignore=(((-1, -1), (401, -1), (401, 201), (-1, 201)),))])
def test_a_mask_that_leaves_nothing_is_refused(masks):
    with pytest.raises(ConfigError, match="nothing would be inspected: none of the 40 x 20 cells"):
        searched(masks)
