"""GigE Vision over a real network that is cut, slow and lossy, with Aravis's own camera, killed and frozen. No time is asserted."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.camera_opening import prepare_camera
from edge_inspect.config import CameraBlock
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, ConfigError, FrameLost
from edge_inspect.testing import check_camera
from tests import camera_lab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(camera_lab.missing()), reason=f"GigE Vision in a private network: {camera_lab.missing()}"),
]
PATIENCE_S = 60
SETTINGS = {"width": 512, "height": 512, "exposure_us": 10_000, "packet_size": 8000}


@pytest.fixture(scope="module")
def lab():
    with camera_lab.laboratory() as built:
        yield built


@pytest.fixture(scope="module")
def camera_a(lab):
    return lab.camera("A")


def opened(device="A", *, isolated=False, **options):
    block = CameraBlock.model_validate({"kind": "genicam", "device": device, "isolated": isolated, **SETTINGS, **options})
    return prepare_camera(block, base=Path())()


def outcome(camera, timeout_s=0.2):
    try:
        return camera.grab(timeout_s)
    except CameraError as error:
        return error.with_traceback(None)


def until(camera, wanted):
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        found = outcome(camera)
        if wanted(found):
            return found
    raise AssertionError(f"it never came; last was {found}")


def whole(found):
    return isinstance(found, Frame)


def away(found):
    return isinstance(found, CameraError) and not isinstance(found, FrameLost)


def test_a_camera_on_the_network_keeps_the_promises_of_a_camera(camera_a):
    check_camera(opened)
    check_camera(partial(opened, trigger_source="Software"))


def test_what_is_connected_is_listed_with_settings_that_can_be_pasted(camera_a):
    from edge_inspect.cameras.genicam import connected, settings_of

    assert [(one["id"], one["serial"], one["address"]) for one in connected()] == [("Aravis-Fake-A", "A", "10.99.0.2")]
    assert settings_of("A")["pixel_format"] == "Mono8"


@pytest.mark.parametrize(("pixel_format", "channels"), [("Mono8", 1), ("BayerRG8", 3), ("RGB8", 3)])
def test_formats_come_as_eight_bits(camera_a, pixel_format, channels):
    with opened(pixel_format=pixel_format) as camera:
        frame = until(camera, whole)
    assert (frame.pixels.shape, frame.pixels.dtype) == ((512, 512, channels), np.uint8)
    assert frame.pixels.std() > 10


def test_settings_the_camera_does_not_take_stop_the_start(camera_a):
    with pytest.raises(ConfigError, match=r"PixelFormat: wanted Mono12, refused: .*; Nonsense: wanted 1, refused"):
        opened(pixel_format="Mono12", features={"Nonsense": 1}).__enter__()


def test_a_trigger_left_on_by_another_program_starves_nobody(camera_a):
    with opened(trigger_source="Line0") as camera:
        assert [outcome(camera, 0.1) for _ in range(5)] == [None] * 5
        assert camera.away == ""
    with opened() as camera:
        until(camera, whole)


def test_a_camera_that_another_program_controls_is_told(camera_a):
    with opened() as first, opened() as second:
        until(first, whole)
        until(second, lambda found: "another program has control" in str(found))


def test_lost_packets_are_lost_frames_and_nothing_else(camera_a, lab):
    with opened(pixel_format="Mono8", packet_size=1400) as camera:
        until(camera, whole)
        with lab.loss(0.01):
            lost = until(camera, lambda found: isinstance(found, FrameLost))
        after = until(camera, whole)
    assert "missing packets; look at cable, switch and packet size" in str(lost)
    assert after.sequence > lost.sequence


def test_a_cable_that_is_out_for_a_moment_loses_no_control(camera_a, lab):
    with opened() as camera:
        until(camera, whole)
        lab.cable("down")
        end_s = time.monotonic() + 2
        while time.monotonic() < end_s:
            assert not away(outcome(camera))
        lab.cable("up")
        until(camera, whole)
        assert camera.away == ""


@pytest.mark.parametrize("isolated", [False, True])
def test_a_cable_that_is_out_for_long_is_an_alarm_and_the_camera_is_found_again(camera_a, lab, isolated):
    with opened(isolated=isolated) as camera:
        before = until(camera, whole).sequence
        lab.cable("down")
        try:
            told = until(camera, away)
        finally:
            lab.cable("up")
        assert until(camera, whole).sequence > before
    assert "look at its cable, power and network" in str(told)


def test_a_camera_that_is_switched_off_and_on_is_found_again(camera_a):
    with opened() as camera:
        until(camera, whole)
        camera_a.kill()
        until(camera, away)
        camera_a.start()
        until(camera, whole)


def test_a_frozen_camera_is_an_alarm_and_is_found_again(camera_a):
    with opened() as camera:
        until(camera, whole)
        camera_a.signal(signal.SIGSTOP)
        try:
            until(camera, away)
        finally:
            camera_a.signal(signal.SIGCONT)
        until(camera, whole)


def test_two_cameras_at_once_and_the_loss_of_one_is_not_the_others(camera_a, lab):
    other = lab.camera("B", "10.99.0.3")
    with opened("A") as first, opened("10.99.0.3") as second:
        assert [until(camera, whole).pixels.shape for camera in (first, second)] == [(512, 512, 1)] * 2
        other.kill()
        until(second, away)
        assert whole(outcome(first, 2.0))
        other.start()
        until(second, whole)
    other.kill()
