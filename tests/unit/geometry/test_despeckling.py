"""Specks go, pictures stay: what is taken out of a frame, and what is left alone to the bit."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.geometry import despeckle


def part(height=96, width=128, channels=1, seed=0):
    """Grey ground from 60 to 180 with grain, its own in every channel."""
    ground = np.linspace(60, 180, width)[None, :, None] + np.zeros((height, 1, channels))
    return np.rint(ground + np.random.default_rng(seed).normal(0, 4, ground.shape)).astype(np.uint8)


def peppered(pixels, percent, seed=1, *, alike=True):
    drawn = np.random.default_rng(seed).random(pixels.shape[:2] if alike else pixels.shape)
    noisy = pixels.copy()
    noisy[drawn < percent / 200] = 0
    noisy[drawn > 1 - percent / 200] = 255
    return noisy


def off(pixels, wanted):
    return float(np.abs(pixels.astype(int) - wanted).mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_frame_without_specks_comes_back_itself(channels):
    pixels = part(channels=channels)
    assert despeckle(pixels) is pixels


def test_overexposed_ground_and_a_part_in_the_dark_are_no_specks():
    pixels = part()
    pixels[:, :40] = 255
    pixels[:, -40:] = 0
    assert despeckle(pixels) is pixels


def test_a_black_hairline_crack_in_a_sound_frame_stays():
    pixels = part(256, 256)
    cv2.line(pixels, (20, 30), (230, 210), 0, 1)
    assert despeckle(pixels) is pixels


def test_noise_beside_saturation_is_no_speck():
    pixels = np.random.default_rng(0).choice(np.array([0, 1, 3, 6], np.uint8), (64, 64, 1))
    assert despeckle(pixels) is pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("percent", [5, 25])
def test_salt_and_pepper_is_taken_out(channels, percent):
    clean = cv2.GaussianBlur(part(channels=channels), (0, 0), 1.2).reshape(96, 128, channels)
    noisy = peppered(clean, percent)
    cleaned = despeckle(noisy)
    assert off(cleaned, clean) < 0.1 * off(noisy, clean)
    assert off(cleaned, clean) < off(cv2.medianBlur(noisy, 5).reshape(clean.shape), clean)


def test_the_last_specks_of_clusters_go_too():
    cleaned = despeckle(peppered(part(400, 400), 25))
    assert not np.isin(cleaned[1:-1, 1:-1], (0, 255)).any()


def test_overexposed_ground_is_put_back_under_pepper():
    clean = part()
    clean[:, :60] = 255
    assert (despeckle(peppered(clean, 25))[:, 2:57] == 255).all()


def test_channels_are_looked_at_one_by_one():
    clean = part(channels=3)
    noisy = peppered(clean, 25, alike=False)
    assert off(despeckle(noisy), clean) < 0.15 * off(noisy, clean)


def test_a_speck_becomes_the_mean_of_its_sound_neighbours():
    noisy = np.tile(np.arange(60, 180, 2, dtype=np.uint8)[None, :, None], (60, 1, 1))
    noisy[4::5, 4::5] = 255
    wanted = np.tile(np.arange(60, 180, 2, dtype=np.uint8)[None, :, None], (60, 1, 1))
    np.testing.assert_allclose(despeckle(noisy)[:, 2:-2].astype(int), wanted[:, 2:-2], atol=1)


def test_a_speck_with_no_sound_neighbour_becomes_the_median_about_it():
    noisy = np.full((30, 30, 1), 128, np.uint8)
    noisy[9:12, 9:12] = [[[0], [255], [0]], [[255], [0], [255]], [[0], [255], [0]]]
    assert (despeckle(noisy) == 128).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.sampled_from([1, 3]), st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_any_frame_keeps_its_shape_and_what_was_given_is_not_written_to(height, width, channels, percent, seed):
    noisy = peppered(np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8), percent, seed)
    noisy.setflags(write=False)
    before = noisy.copy()
    cleaned = despeckle(noisy)
    np.testing.assert_array_equal(noisy, before)
    assert (cleaned.shape, cleaned.dtype) == (noisy.shape, np.uint8)
