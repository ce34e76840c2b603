"""Every format against the picture it was made from, and that the one copy goes where it is told."""

import numpy as np
import pytest

from edge_inspect.cameras.destination import offered
from edge_inspect.cameras.pixel_formats import CONVERTIBLE, frame_pixels
from edge_inspect.errors import CameraError

PATTERNS = {"BayerRG8": ["RG", "GB"], "BayerGR8": ["GR", "BG"], "BayerGB8": ["GB", "RG"], "BayerBG8": ["BG", "GR"]}
RED, GREEN, BLUE = 200, 120, 40


def test_grey_is_the_same_and_twelve_bits_keep_their_upper_eight():
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert np.array_equal(frame_pixels(grey.reshape(-1), "Mono8", 6, 4)[..., 0], grey)
    deep = np.linspace(0, 4095, 24).astype("<u2").reshape(4, 6)
    pixels = frame_pixels(deep.view(np.uint8).reshape(-1), "Mono12", 6, 4)
    assert np.array_equal(pixels[..., 0], deep // 16)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_mosaic_of_one_colour_becomes_that_colour(name):
    level = {"R": RED, "G": GREEN, "B": BLUE}
    tile = np.array([[level[letter] for letter in row] for row in PATTERNS[name]], np.uint8)
    pixels = frame_pixels(np.tile(tile, (4, 5)).reshape(-1), name, 10, 8)
    assert pixels.shape == (8, 10, 3)
    assert np.array_equal(pixels, np.broadcast_to(np.uint8([RED, GREEN, BLUE]), pixels.shape))


def test_colour_comes_as_rgb():
    colour = np.random.default_rng(3).integers(0, 255, (4, 6, 3), np.uint8)
    assert np.array_equal(frame_pixels(colour.reshape(-1), "RGB8", 6, 4), colour)
    assert np.array_equal(frame_pixels(colour[..., ::-1].reshape(-1).copy(), "BGR8Packed", 6, 4), colour)


@pytest.mark.parametrize("name", sorted(CONVERTIBLE))
def test_every_format_writes_into_memory_that_is_offered(name):
    layout = CONVERTIBLE[name]
    raw = np.random.default_rng(4).integers(0, 16, 8 * 10 * 6, np.uint8)
    place = np.zeros(4096, np.uint8)
    expected = frame_pixels(raw, name, 10, 8)
    with offered(place):
        pixels = frame_pixels(raw, name, 10, 8)
    assert np.shares_memory(pixels, place)
    assert np.array_equal(place[: 80 * layout.channels], expected.reshape(-1))
    assert not pixels.flags.writeable


def test_a_buffer_that_is_too_small_and_a_format_nobody_knows_are_told():
    with pytest.raises(CameraError, match="delivers 10 bytes, wanted 24 for 6 x 4 Mono8"):
        frame_pixels(np.zeros(10, np.uint8), "Mono8", 6, 4)
    with pytest.raises(CameraError, match="delivers Mono10, wanted one of"):
        frame_pixels(np.zeros(10, np.uint8), "Mono10", 6, 4)
