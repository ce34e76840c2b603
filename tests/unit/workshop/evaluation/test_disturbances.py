import numpy as np
import pytest

from edge_inspect.workshop.evaluation.disturbances import (
    DISTURBANCES,
    blur,
    jpeg,
    low_light,
    rotation,
    salt_and_pepper,
    shadow,
    shift,
    strong_light,
)

pytestmark = pytest.mark.workshop
CASES = [(disturbance, strength) for disturbance in DISTURBANCES for strength in disturbance.strengths]
NAMES = [f"{disturbance.name} {strength:g}" for disturbance, strength in CASES]


def random(seed=0):
    return np.random.default_rng(seed)


def scene(channels=1):
    """Noise, coloured where there are three channels, read-only as a camera's frame is."""
    pixels = random(7).integers(60, 200, (50, 70, channels), dtype=np.uint8)
    pixels.setflags(write=False)
    return pixels


def flat(level, *, height=50, width=70):
    return np.full((height, width, 1), level, np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("disturbance", "strength"), CASES, ids=NAMES)
def test_a_disturbed_frame_is_a_new_frame_of_the_same_kind_and_the_same_for_the_same_seed(disturbance, strength, channels):
    pixels = scene(channels)
    before = pixels.copy()
    disturbed = disturbance.apply(pixels, strength, random(3))
    assert (disturbed.shape, disturbed.dtype) == (pixels.shape, np.uint8)
    assert np.array_equal(pixels, before)
    assert not np.array_equal(disturbed, pixels)
    assert np.array_equal(disturbed, disturbance.apply(pixels, strength, random(3)))


@pytest.mark.parametrize("disturbance", DISTURBANCES, ids=lambda disturbance: disturbance.name)
def test_a_stronger_disturbance_changes_more(disturbance):
    pixels = np.tile(np.linspace(60, 200, 70), (50, 1))[:, :, None].astype(np.uint8)
    pixels[20:30, 30:40] = 90
    changes = [np.abs(disturbance.apply(pixels, strength, random(3)).astype(int) - pixels).mean() for strength in disturbance.strengths]
    assert changes == sorted(changes)
    assert changes[0] < changes[-1]


def test_salt_and_pepper_is_as_dense_as_it_says_half_black_half_white():
    disturbed = salt_and_pepper(flat(128, height=400, width=400), 20, random())
    assert np.mean(disturbed == 0) == pytest.approx(0.1, abs=0.005)
    assert np.mean(disturbed == 255) == pytest.approx(0.1, abs=0.005)


def test_salt_and_pepper_hits_all_channels_alike():
    disturbed = salt_and_pepper(scene(3), 25, random())
    hit = (disturbed == 0).any(axis=2)
    assert (disturbed[hit] == 0).all()


def test_low_light_is_darker_and_noisier_than_its_own_light_without_noise():
    disturbed = low_light(flat(200, height=300, width=300), 0.5, random()).astype(float)
    assert disturbed.mean() == pytest.approx(100, abs=0.1)
    assert disturbed.std() == pytest.approx(np.sqrt(100 / 40 + 1 / 12), rel=0.05)


def test_strong_light_saturates_and_does_not_wrap_around():
    assert strong_light(flat(200), 2.0, random()).min() == 255
    assert strong_light(flat(100), 1.5, random()).max() == 150


def test_a_shadow_leaves_one_side_as_it_was_and_darkens_the_other():
    disturbed = shadow(flat(200, height=200, width=200), 0.5, random())
    assert (disturbed.min(), disturbed.max()) == (100, 200)


def test_a_deeper_shadow_lies_where_the_lighter_one_did():
    light, deep = (shadow(flat(200, height=200, width=200), share, random(1)) for share in (0.75, 0.35))
    assert np.mean((light < 175) != (deep < 135)) < 0.01  # where half of what is missing is missing


def test_a_blurred_edge_is_soft_and_keeps_its_place():
    pixels = np.concatenate([flat(50), flat(150)], axis=1)
    row = blur(pixels, 2, random())[25, :, 0].astype(int)
    assert row[69] + row[70] == pytest.approx(200, abs=1)
    assert 3 < np.count_nonzero((row > 55) & (row < 145)) < 12


def test_jpeg_keeps_red_red():
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :, 0] = 220
    assert jpeg(pixels, 90, random())[16, 16].tolist() == pytest.approx([220, 0, 0], abs=6)


def test_a_shift_is_as_far_as_it_says():
    pixels = flat(0, height=100, width=200)
    pixels[50, 100] = 255
    rows, columns = np.nonzero(shift(pixels, 4, random())[:, :, 0])
    assert (abs(rows[0] - 50), abs(columns[0] - 100), len(rows)) == (4, 8, 1)


def test_a_turn_keeps_the_centre():
    pixels = flat(0, height=101, width=101)
    pixels[45:56, 45:56] = 200
    turned = rotation(pixels, 5, random())[:, :, 0]
    rows, columns = np.nonzero(turned > 100)
    assert (rows.mean(), columns.mean()) == pytest.approx((50, 50), abs=0.2)
