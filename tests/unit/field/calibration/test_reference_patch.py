"""A place of the frame that shows the same with every part: the guard holds the raw frame against it, with a locator and without."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_inspect.config import load_recipe
from edge_inspect.config.recipe import Rectangle
from edge_inspect.errors import ConfigError
from edge_inspect.guard import open_guard, patch_view
from edge_inspect.guard.light import Light
from edge_inspect.testing.samples import sample_inspections
from edge_inspect.thresholds.frames import load_frames

from .conftest import picture
from .test_apply import FROM_GOOD, seen

AT = "{left: 40, top: 4, width: 16, height: 8}"


@pytest.fixture
def calibrated(station, said):
    """A recipe with a patch, calibrated."""
    file = station / "cell" / "recipe.yaml"
    before = load_recipe(file)
    file.write_text(file.read_text() + f"reference_patch: {AT}\n")
    assert load_recipe(file).sha256 == before.sha256
    assert said(*FROM_GOOD)[0] == 0
    return file


def told(recipe, change):
    """What the guard says of twenty good parts that have been changed so."""
    guard, sample = open_guard(load_recipe(recipe), look_every_s=0), sample_inspections()[0]
    said = [guard.note(replace(sample, score=7.0, evidence=seen(change(picture(2 + n % 11, n))))) for n in range(20)]
    return said[-1]


def with_patch(grey):
    def changed(pixels):
        pixels[4:12, 40:56] = grey
        return pixels

    return changed


def test_a_patch_that_turns_darker_is_told_though_the_picture_hardly_is(calibrated):
    assert told(calibrated, with_patch(128)) == ""
    assert told(calibrated, with_patch(120)) == "check the light: brightness of the reference patch is 120, at the calibration it was 128"


def test_frames_without_the_patch_or_with_one_of_another_place_are_no_guard(calibrated, said):
    text = calibrated.read_text()
    calibrated.write_text(text.replace("left: 40", "left: 38"))
    with pytest.raises(ConfigError, match="no reference_patch of this place; calibrate with --apply once"):
        open_guard(load_recipe(calibrated))
    calibrated.write_text(text.replace(f"reference_patch: {AT}\n", ""))
    assert "reference patch" not in told(calibrated, with_patch(120))
    assert said(*FROM_GOOD[:-1], "no patch")[0] == 0
    assert load_frames(load_recipe(calibrated).thresholds).patches is None
    calibrated.write_text(text)
    with pytest.raises(ConfigError, match="no reference_patch"):
        open_guard(load_recipe(calibrated))


def test_a_patch_outside_of_the_frame_is_refused_when_it_is_calibrated(station, said):
    file = station / "cell" / "recipe.yaml"
    file.write_text(file.read_text() + "reference_patch: {left: 60, top: 4, width: 16, height: 8}\n")
    code, _, error = said(*FROM_GOOD)
    assert code == 78
    assert "reference_patch: 60 to 76 x 4 to 12 px does not lie in a frame of 64 x 48 px" in error


def test_a_frame_that_has_become_smaller_is_told(calibrated):
    assert "does not lie in a frame" in told(calibrated, lambda pixels: np.ascontiguousarray(pixels[:, :48]))


def test_a_fixture_that_moves_is_told_by_its_patch():
    random = np.random.default_rng(0)
    fixture = cv2.GaussianBlur(random.integers(0, 256, (200, 300, 1), dtype=np.uint8), (0, 0), 3)[..., None]
    where = Rectangle(left=100, top=50, width=100, height=80)

    def look(shift=0):
        noisy = np.roll(fixture, shift, axis=1) + random.normal(0, 2, fixture.shape)
        return patch_view(np.clip(noisy, 0, 255).astype(np.uint8), where)[..., None]

    light = Light([look() for _ in range(30)], still=True, what="reference patch")
    assert {light.note(look()) for _ in range(100)} == {""}
    said = [light.note(look(shift=4)) for _ in range(10)]
    assert said[-1].startswith("check the camera's place: the reference patch lies ")
