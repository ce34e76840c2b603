"""Frames to time with lie where the recipe looks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_inspect.config import Locator, Recipe, RegionOfInterest
from edge_inspect.errors import CameraError
from edge_inspect.field.bench_frames import frame_size, make_frames, read_frames
from edge_inspect.geometry import place, warp
from edge_inspect.model_folder import open_model_folder
from tests.conftest import MODELS

TINY = open_model_folder(MODELS / "tiny")
GOLDEN = TINY.load_golden().images


@pytest.mark.parametrize("rotation_deg", [0, 90, 20])
def test_the_region_of_interest_of_a_frame_shows_the_golden_image(rotation_deg):
    region = RegionOfInterest(left=60, top=50, width=256, height=192, rotation_deg=rotation_deg)
    recipe = Recipe(part="cell", engine=TINY.path, region_of_interest=region)
    frame = make_frames(TINY, 400, 320, 3, recipe=recipe)[4]
    seen = warp(frame.pixels, place(400, 320, region, width=64, height=48, channels=3))
    assert np.abs(seen.astype(int) - GOLDEN[4]).mean() < 3


def test_with_a_locator_the_golden_image_lies_in_the_middle_of_the_frame():
    recipe = Recipe(part="cell", engine=TINY.path, locator=Locator(kind="principal_axis", background="dark", width=128, height=96))
    frame = make_frames(TINY, 320, 240, 3, recipe=recipe)[4]
    middle = cv2.resize(frame.pixels[72:168, 96:224], (64, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(middle.astype(int) - GOLDEN[4]).mean() < 3


def test_frames_can_be_the_cameras_own_pictures(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), 40 * number, np.uint8))
    frames = read_frames(tmp_path)
    assert frame_size(frames) == (64, 48, 3)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [0, 40, 80]
    assert read_frames(tmp_path, channels=1)[0].pixels.shape == (48, 64, 1)


def test_pictures_of_two_sizes_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((48, 64, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((50, 64, 3), np.uint8))
    with pytest.raises(CameraError, match="picture 2 is 64 x 50 x 3, the first 64 x 48 x 3; show pictures of one size"):
        read_frames(tmp_path)
