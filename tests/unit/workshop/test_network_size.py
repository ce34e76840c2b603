from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.config import Locator, Recipe, RegionOfInterest
from edge_inspect.workshop.network_size import fitting_size


def recipe(**more) -> Recipe:
    return Recipe(part="plate", engine=Path("engine"), **more)


def frames(*sizes: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
    return [(f"{index}.png", np.zeros((height, width, 1), np.uint8)) for index, (width, height) in enumerate(sizes)]


@pytest.mark.parametrize(
    ("frame", "wanted"), [((512, 512), (256, 256)), ((203, 512), (160, 416)), ((500, 420), (288, 224)), ((3000, 30), (2560, 32))]
)
def test_a_frame_keeps_its_proportions_and_the_network_its_pixels(frame, wanted):
    assert fitting_size(frames(frame), recipe(), width=256, height=256) == wanted


def test_frames_that_differ_go_by_the_one_in_the_middle():
    assert fitting_size(frames((100, 100), (400, 100), (300, 100)), recipe(), width=256, height=256) == (448, 160)


def test_what_the_network_is_shown_counts_and_not_the_frame():
    region = RegionOfInterest(left=0, top=0, width=100, height=300)
    turned = Locator(kind="principal_axis", background="light", width=480, height=160)
    assert fitting_size(frames((512, 512)), recipe(region_of_interest=region), width=256, height=256) == (160, 448)
    assert fitting_size(frames((512, 512)), recipe(locator=turned), width=256, height=256) == (448, 160)


def test_what_cannot_be_read_tells_nothing(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((100, 200), np.uint8))
    paths = [tmp_path / "broken.png", tmp_path / "good.png"]
    assert fitting_size(paths, recipe(), width=256, height=256) == (352, 192)
    assert fitting_size(paths[:1], recipe(), width=256, height=256) == (256, 256)
