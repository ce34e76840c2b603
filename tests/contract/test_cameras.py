"""The built-in cameras keep the promises that third parties are held to."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest

from edge_inspect.plugins import load_factory
from edge_inspect.testing import check_camera


@pytest.fixture
def pictures(tmp_path):
    """Eight pictures, the third of them cut short."""
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"part{number}.png"), np.full((24, 32, 3), 20 * number, np.uint8))
    third = tmp_path / "part2.png"
    third.write_bytes(third.read_bytes()[:40])
    return tmp_path


@pytest.mark.parametrize("pace", ["fps", "trigger"])
def test_the_folder_keeps_its_promises_beside_a_truncated_picture(pictures, pace):
    check_camera(partial(load_factory("cameras", "folder"), name="top", path=pictures, pace=pace, fps=200.0))


def test_the_simulated_line_keeps_its_promises():
    check_camera(partial(load_factory("cameras", "simulated"), name="top"))


def test_the_simulated_line_keeps_its_promises_while_frames_are_lost():
    check_camera(
        partial(load_factory("cameras", "simulated"), name="top", width=64, height=48, lost=0.3, dark=0.2), frames=10, timeout_s=0.2
    )


def test_a_film_keeps_its_promises(tmp_path):
    film = tmp_path / "parts.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    check_camera(partial(load_factory("cameras", "video"), name="top", path=film))
