"""The pylon camera on pylon's own emulator: a real driver, real buffers, real failures of them."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.camera_opening import prepare_camera
from edge_inspect.config import CameraBlock
from edge_inspect.errors import CameraError, ConfigError, FrameLost
from edge_inspect.testing import check_camera

pylon = pytest.importorskip("pypylon.pylon", reason="needs pypylon, the extra `pylon`")
SERIAL = "0815-0000"


@pytest.fixture(autouse=True)
def emulator(monkeypatch):
    """Two emulated cameras; pylon reads this when it first looks for cameras, and again each time."""
    monkeypatch.setenv("PYLON_CAMEMU", "2")


def opened(**options):
    from edge_inspect.cameras.pylon import open_pylon

    return open_pylon(**{"name": "top", "serial": SERIAL, "width": 320, "height": 240, **options})


SOFTWARE = {"trigger_source": "Software"}


@pytest.mark.parametrize("options", [{}, {"fps": 50.0}, SOFTWARE], ids=["free", "paced", "software"])
def test_an_emulated_camera_keeps_the_promises_of_a_camera(options):
    check_camera(partial(opened, **options))


@pytest.mark.parametrize("isolated", [False, True])
def test_each_grab_triggers_by_software_and_gets_its_own_exposure(isolated):
    options = {"serial": SERIAL, "width": 320, "height": 240, **SOFTWARE}
    block = CameraBlock.model_validate({"kind": "pylon", "isolated": isolated, **options})
    with prepare_camera(block, base=Path())() as camera:
        frames = [camera.grab(5.0) for _ in range(20)]
    assert [frame.sequence for frame in frames] == list(range(20))
    assert all(one.exposed_ns < other.exposed_ns for one, other in itertools.pairwise(frames))


def test_a_line_without_a_part_is_no_fault():
    with opened(trigger_source="Line1", trigger_activation="RisingEdge", trigger_delay_us=10.0) as camera:
        assert [camera.grab(0.1) for _ in range(5)] == [None] * 5
        assert camera.away == ""


@pytest.mark.parametrize(("pixel_format", "channels"), [("Mono8", 1), ("Mono12", 1), ("BayerRG8", 3), ("RGB8Packed", 3)])
def test_every_format_comes_as_eight_bits(pixel_format, channels):
    with opened(pixel_format=pixel_format, **SOFTWARE) as camera:
        frame = camera.grab(5.0)
    assert (frame.pixels.shape, frame.pixels.dtype) == ((240, 320, channels), np.uint8)
    assert 100 < frame.pixels.mean() < 160


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"left": 9000}, "OffsetX: wanted 9000, refused: .*smaller than"),
        ({"features": {"Nonsense": 1}}, "Nonsense: wanted 1, refused: the camera has no such feature"),
        ({"trigger_source": "Line9"}, "TriggerSource: wanted Line9, refused"),
        ({"pixel_format": "Mono10"}, "delivers Mono10, wanted one of"),
    ],
)
def test_settings_the_camera_does_not_take_stop_the_start(options, sentence):
    with pytest.raises(ConfigError, match=sentence), opened(**options):
        pass


def test_a_buffer_that_fails_is_a_lost_frame_and_leaves_no_other_mark():
    failing = {"ForceFailedBufferCount": 3, "TestImageSelector": "Testimage1"}
    with opened(features=failing, **SOFTWARE) as camera:
        first = camera.grab(5.0)
        camera._device._camera.GetNodeMap().GetNode("ForceFailedBuffer").Execute()
        lost = []
        for _ in range(3):
            with pytest.raises(FrameLost, match="incompletely grabbed") as told:
                camera.grab(5.0)
            lost.append(told.value.sequence)
        after = camera.grab(5.0)
    assert [first.sequence, *lost, after.sequence] == list(range(5))


def test_pictures_from_a_folder_and_one_that_is_missing(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((240, 320), 77, np.uint8))
    folder = {"TestImageSelector": "Off", "ImageFileMode": "On", "ImageFilename": str(tmp_path / "a.png")}
    with opened(features=folder, **SOFTWARE) as camera:
        assert np.all(camera.grab(5.0).pixels == 77)
    (tmp_path / "a.png").unlink()
    with opened(features=folder, **SOFTWARE) as camera, pytest.raises(FrameLost, match="Failed to load image file"):
        camera.grab(5.0)


def test_a_camera_that_is_not_connected_is_awaited_and_told():
    with opened(serial="0815-7777", open_timeout_ms=2000) as camera:
        with pytest.raises(CameraError, match=r"found 0 such cameras, wanted one; connected are .*0815-0000"):
            camera.grab(0.1)
        assert "0815-7777" in camera.away


def test_one_of_two_must_be_named():
    with opened(serial=None) as camera, pytest.raises(CameraError, match=r"found 2 such cameras.*name one of them"):
        camera.grab(0.1)


def test_what_a_camera_is_set_to_comes_as_options_that_it_takes():
    from edge_inspect.cameras.pylon import connected, settings_of

    assert SERIAL in [one["id"] for one in connected()]
    settings = settings_of(SERIAL)
    assert settings["pixel_format"] == "Mono8"
    with opened(**{**settings, **SOFTWARE}) as camera:
        assert camera.grab(5.0) is not None
