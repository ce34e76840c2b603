"""How the network's image is read out of the frame."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_inspect.config import RegionOfInterest
from edge_inspect.datatypes import Placement
from edge_inspect.geometry import frame_points, place, walk, warp, warping


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def whole(pixels, width, height, channels=None):
    return place(pixels.shape[1], pixels.shape[0], None, width=width, height=height, channels=channels or pixels.shape[2])


def slow_warp(pixels, placement):
    """The three steps of `warp`'s docstring, one pixel at a time and in float64."""
    plan = walk(placement, pixels.shape[1], pixels.shape[0])
    blocks = np.array(
        [
            [
                pixels[y : min(y + plan.block_height, plan.bottom), x : min(x + plan.block_width, plan.right)].mean(axis=(0, 1))
                for x in range(plan.left, plan.right, plan.block_width)
            ]
            for y in range(plan.top, plan.bottom, plan.block_height)
        ]
    )
    read = [[bilinear(blocks, *(plan.affine @ [u, v, 1])) for u in range(placement.width)] for v in range(placement.height)]
    return nearest_level(in_channels(np.array(read), placement.channels))


def nearest_level(values):
    return np.floor(values + 0.5)


def bilinear(blocks, x, y):
    column, row = math.floor(x), math.floor(y)
    weights = {(0, 0): (1 - x + column) * (1 - y + row), (1, 0): (x - column) * (1 - y + row)}
    weights |= {(0, 1): (1 - x + column) * (y - row), (1, 1): (x - column) * (y - row)}
    return sum(
        weight * blocks[min(max(row + down, 0), len(blocks) - 1), min(max(column + right, 0), len(blocks[0]) - 1)]
        for (right, down), weight in weights.items()
    )


def in_channels(image, channels):
    if image.shape[2] == channels:
        return image
    return image.repeat(3, axis=2) if channels == 3 else image @ [[0.299], [0.587], [0.114]]


def assert_within_one_level(got, wanted):
    assert got.dtype == np.uint8
    assert got.shape == wanted.shape
    assert np.abs(got.astype(float) - wanted).max() <= 1


@st.composite
def placements(draw, least_step=0.3, greatest_step=9.0):
    """A placement of any size, step and angle, and the frame it lies in; every second one is upright."""
    width, height = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    steps = st.one_of(st.integers(1, int(greatest_step)).map(float), st.floats(least_step, greatest_step))
    region_width, region_height = width * draw(steps), height * draw(steps)
    rotation_deg = draw(st.one_of(st.just(0.0), st.sampled_from([90.0, 180.0]), st.floats(-180, 180)))
    half_x, half_y = (region_width / 2, region_height / 2) if rotation_deg == 0 else [np.hypot(region_width, region_height) / 2] * 2
    margins = st.one_of(st.integers(0, 9).map(float), st.floats(0, 9))
    left, top = half_x - region_width / 2 + draw(margins), half_y - region_height / 2 + draw(margins)
    region = RegionOfInterest(left=left, top=top, width=region_width, height=region_height, rotation_deg=rotation_deg)
    frame_width = math.ceil(left + region_width / 2 + half_x) + draw(st.integers(0, 5))
    frame_height = math.ceil(top + region_height / 2 + half_y) + draw(st.integers(0, 5))
    channels = draw(st.sampled_from([1, 3]))
    return place(frame_width, frame_height, region, width=width, height=height, channels=channels), frame_width, frame_height


@given(placements(), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_a_warp_is_what_its_docstring_says_within_one_grey_level(placed, frame_channels, seed):
    placement, frame_width, frame_height = placed
    pixels = noise(frame_height, frame_width, frame_channels, seed)
    assert_within_one_level(warp(pixels, placement), slow_warp(pixels, placement))


@given(placements(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_reading_four_neighbours_is_the_same_within_one_grey_level(placed, seed):
    placement, frame_width, frame_height = placed
    pixels = noise(frame_height, frame_width, placement.channels, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warping, "_opencv_reads_exactly", lambda: False)
        assert_within_one_level(warp(pixels, placement), slow_warp(pixels, placement))


@given(placements(greatest_step=6.0), st.sampled_from([-1, 0, 1]), st.sampled_from([-1, 0, 1]))
@settings(max_examples=150, deadline=None)
def test_a_warped_ramp_has_the_grey_of_the_place_it_was_read_at(placed, slope_x, slope_y):
    placement, frame_width, frame_height = placed
    y, x = np.mgrid[0:frame_height, 0:frame_width]
    ramp = slope_x * x + slope_y * y
    darkest = ramp.min()
    assume(np.ptp(ramp) <= 255)
    v, u = np.mgrid[0 : placement.height, 0 : placement.width]
    places = frame_points(placement, np.column_stack([u.ravel(), v.ravel()]).astype(float)).reshape(*u.shape, 2)
    got = warp((ramp - darkest).astype(np.uint8)[:, :, None].repeat(placement.channels, axis=2), placement)
    off = np.abs(got[..., 0] - nearest_level(places @ [slope_x, slope_y] - darkest))
    assert off[between_whole_blocks(placement, frame_width, frame_height, u, v)].max(initial=0) <= 1


def between_whole_blocks(placement, frame_width, frame_height, u, v):
    """Network pixels that read between whole blocks; at the edge a block is repeated, which is no ramp."""
    plan = walk(placement, frame_width, frame_height)
    x, y = plan.affine @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    last_x, last_y = (plan.right - plan.left) // plan.block_width - 1, (plan.bottom - plan.top) // plan.block_height - 1
    tiny = 1e-9
    return ((x >= -tiny) & (y >= -tiny) & (x <= last_x + tiny) & (y <= last_y + tiny)).reshape(u.shape)


@given(st.floats(2, 12), st.integers(0, 1), st.integers(16, 40))
@settings(deadline=None)
def test_a_fine_chequerboard_shrinks_to_flat_grey(factor, phase, size):
    """An odd block has one pixel more of one colour, as has every mean over it: that much may be left."""
    side = math.ceil(factor * size)
    pixels = (((np.indices((side, side)).sum(axis=0) + phase) % 2) * 255).astype(np.uint8)[:, :, None]
    region = RegionOfInterest(left=0, top=0, width=factor * size, height=factor * size)
    placement = place(side, side, region, width=size, height=size, channels=1)
    block = walk(placement, side, side).block_width
    left_over = 127.5 / block**2 if block % 2 else 0
    inner = warp(pixels, placement)[1:-1, 1:-1].astype(float)
    assert np.abs(inner - 127.5).max() <= left_over + 1.5


@pytest.mark.parametrize(
    ("step", "block"),
    [(0.5, 1), (1, 1), (1.25, 1), (1.26, 2), (1.5, 2), (2, 2), (2.5, 2), (2.51, 3), (3, 3), (3.5, 3), (3.51, 4), (4, 4), (9.5625, 10)],
)
@pytest.mark.parametrize("rotation_deg", [0, 30, 90, -135])
def test_a_block_is_the_nearest_whole_step_and_never_leaves_a_long_one(step, block, rotation_deg):
    region = RegionOfInterest(left=3000, top=3000, width=256 * step, height=256 * step, rotation_deg=rotation_deg)
    plan = walk(place(9000, 9000, region, width=256, height=256, channels=1), 9000, 9000)
    assert (plan.block_width, plan.block_height) == (block, block)
    assert np.hypot(*plan.affine[:, 0]) <= 1.25 + 1e-6


def test_each_axis_has_its_own_block_and_a_quarter_turn_swaps_them():
    region = {"left": 200, "top": 400, "width": 256 * 4, "height": 256 * 2}
    upright = walk(place(1500, 1500, RegionOfInterest(**region), width=256, height=256, channels=1), 1500, 1500)
    turned = walk(place(1500, 1500, RegionOfInterest(**region, rotation_deg=90), width=256, height=256, channels=1), 1500, 1500)
    assert (upright.block_width, upright.block_height) == (4, 2)
    assert (turned.block_width, turned.block_height) == (2, 4)


def test_a_whole_numbered_shrink_is_the_mean_of_the_region_only():
    pixels = noise(600, 800, 3)
    placement = place(800, 600, RegionOfInterest(left=101, top=53, width=96, height=64), width=32, height=32, channels=3)
    wanted = pixels[53:117, 101:197].reshape(32, 2, 32, 3, 3).mean(axis=(1, 3))
    assert_within_one_level(warp(pixels, placement), nearest_level(wanted))


@pytest.mark.parametrize("rotation_deg", [0, 20])
def test_nothing_outside_the_window_is_read(rotation_deg):
    region = RegionOfInterest(left=60, top=40, width=70, height=50, rotation_deg=rotation_deg)
    placement = place(200, 150, region, width=32, height=32, channels=3)
    plan = walk(placement, 200, 150)
    pixels = noise(150, 200, 3)
    other = noise(150, 200, 3, seed=1)
    other[plan.top : plan.bottom, plan.left : plan.right] = pixels[plan.top : plan.bottom, plan.left : plan.right]
    np.testing.assert_array_equal(warp(pixels, placement), warp(other, placement))
    if rotation_deg == 0:
        assert (plan.left, plan.top, plan.right, plan.bottom) == (60, 40, 130, 90)


def test_every_pixel_of_the_region_is_read():
    """One bright pixel anywhere is seen, also where the last block is cut."""
    placement = place(27, 23, None, width=7, height=6, channels=1)
    for y in range(23):
        for x in range(27):
            pixels = np.zeros((23, 27, 1), np.uint8)
            pixels[y, x] = 255
            assert warp(pixels, placement).any(), (x, y)


def test_an_image_of_the_network_size_passes_unchanged():
    pixels = noise(64, 48, 3)
    np.testing.assert_array_equal(warp(pixels, whole(pixels, 48, 64)), pixels)


def test_a_quarter_turn_turns_the_image():
    pixels = noise(50, 50, 3)
    region = RegionOfInterest(left=0, top=0, width=50, height=50, rotation_deg=90)
    placement = place(50, 50, region, width=50, height=50, channels=3)
    # the region's own left to right runs down the frame, so the frame comes out turned the other way
    np.testing.assert_array_equal(warp(pixels, placement), np.rot90(pixels))


def test_a_grey_frame_is_repeated_into_three_channels():
    pixels = noise(64, 64, 1)
    wanted = warp(pixels, whole(pixels, 32, 32))
    np.testing.assert_array_equal(warp(pixels, whole(pixels, 32, 32, channels=3)), wanted.repeat(3, axis=2))


def test_a_colour_frame_becomes_grey_with_red_first():
    pixels = np.zeros((8, 24, 3), np.uint8)
    for channel in range(3):
        pixels[:, 8 * channel : 8 * channel + 8, channel] = 200
    grey = warp(pixels, whole(pixels, 3, 1, channels=1))
    np.testing.assert_array_equal(grey[0, :, 0], [60, 117, 23])


@pytest.mark.parametrize("frame_channels", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "rotation_deg"), [(32, 0), (64, 0), (128, 0), (75, 0), (40.5, 0), (70, 25)])
def test_the_image_is_written_into_out(frame_channels, channels, side, rotation_deg):
    pixels = noise(160, 160, frame_channels)
    region = RegionOfInterest(left=30.0, top=30.0, width=side, height=side, rotation_deg=rotation_deg)
    placement = place(160, 160, region, width=32, height=32, channels=channels)
    out = np.zeros((32, 32, channels), np.uint8)
    assert warp(pixels, placement, out) is out
    np.testing.assert_array_equal(out, warp(pixels, placement))
    assert out.any()


def test_a_batch_of_one_can_be_written_into():
    pixels = noise(160, 160, 3)
    batch = np.zeros((1, 40, 40, 3), np.uint8)
    warp(pixels, whole(pixels, 40, 40), batch[0])
    np.testing.assert_array_equal(batch[0], warp(pixels, whole(pixels, 40, 40)))


@pytest.mark.parametrize("out", [np.zeros((40, 41, 3), np.uint8), np.zeros((40, 40, 1), np.uint8), np.zeros((40, 40, 3), np.float32)])
def test_an_out_of_another_shape_or_type_is_refused(out):
    pixels = noise(80, 80, 3)
    with pytest.raises(ValueError, match=r"the placement wants \(40, 40, 3\) uint8"):
        warp(pixels, whole(pixels, 40, 40), out)


def test_a_read_only_frame_is_read_and_left_as_it_is():
    pixels = noise(100, 90, 3)
    before = pixels.copy()
    pixels.flags.writeable = False
    warp(pixels, whole(pixels, 64, 64))
    np.testing.assert_array_equal(pixels, before)


def test_the_same_frame_gives_the_same_bytes():
    pixels = noise(333, 517, 3)
    placement = whole(pixels, 256, 256)
    assert warp(pixels, placement).tobytes() == warp(pixels.copy(), placement).tobytes()


@pytest.mark.parametrize("step", [1.0, 3.0])
def test_a_placement_beyond_the_frame_repeats_its_last_pixels(step):
    """A part's pose may turn the network's image out of the frame."""
    pixels = noise(20, 20, 1)
    beyond = Placement(affine=np.array([[step, 0, 100], [0, 1, 0]]), width=8, height=8, channels=1)
    np.testing.assert_array_equal(warp(pixels, beyond)[:, :, 0], pixels[:8, -1:].repeat(8, axis=1)[:, :, 0])


def test_this_opencv_reads_at_the_very_position_or_is_known_not_to():
    """What decides between OpenCV's warp and the four neighbours: a position of 1/64 px between black and white."""
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    read = cv2.warpAffine(stripes, np.array([[1, 0, 1 / 64], [0, 1, 0]]), (64, 64), flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)
    assert warping._opencv_reads_exactly() == (read[0, 0] == 4)
