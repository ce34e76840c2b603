"""Grabbing, losing and finding again, over a device that is told what to do; and the count of frames."""

import time
from collections import deque
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.cameras.features import Wanted
from edge_inspect.cameras.sdk_camera import Exposure, FrameCount, open_sdk_camera
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, ConfigError, FrameLost
from edge_inspect.protocols import MayBeAway

PIXELS = np.zeros((4, 4, 1), np.uint8)
PIXELS.setflags(write=False)


class Scripted:
    """Gives what lies in its queue; `gone_now` and `broken` say what becomes of it."""

    def __init__(self, *ids, by_trigger=()):
        self.queue = deque(Exposure(frame_id=one, pixels=PIXELS) if isinstance(one, int) else one for one in ids)
        self.by_trigger = deque(by_trigger)
        self.gone_now, self.broken, self.closed = "", "", False

    def trigger(self):
        if self.by_trigger:
            self.queue.append(Exposure(frame_id=self.by_trigger.popleft(), pixels=PIXELS))

    def next(self, timeout_s):
        if self.broken:
            raise CameraError(self.broken)
        if self.queue:
            return self.queue.popleft()
        time.sleep(timeout_s)
        return None

    def skip(self):
        self.queue.clear()

    def gone(self):
        return self.gone_now

    def close(self):
        self.closed = True


@contextmanager
def opened(*devices, keep="every", by_software=False, longest_silence_s=None):
    """A camera over these devices, one after the other; an error stands for an opening that fails."""
    script = deque(devices)

    def connect():
        step = script.popleft() if len(script) > 1 else script[0]
        if isinstance(step, Exception):
            raise step
        return step

    with open_sdk_camera(
        connect, name="top", where="camera top", keep=keep, by_software=by_software, open_timeout_s=5, longest_silence_s=longest_silence_s
    ) as camera:
        yield camera


def loss(camera):
    """What a grab tells of a loss, else ""."""
    try:
        camera.grab(0.01)
    except CameraError as error:
        return str(error)
    return ""


def until_frame(camera):
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        try:
            if (found := camera.grab(0.05)) is not None:
                return found
        except FrameLost:
            raise
        except CameraError:
            continue
    raise AssertionError("no frame came")


def test_frames_come_in_order_and_a_gap_in_their_ids_is_one_in_the_count():
    with opened(Scripted(7, 8, 11)) as camera:
        assert [camera.grab(1).sequence for _ in range(3)] == [0, 1, 4]
        assert camera.grab(0.01) is None


def test_an_incomplete_buffer_is_a_lost_frame_with_its_place_in_the_count():
    with opened(Scripted(1, Exposure(frame_id=3, pixels=None, fault="missing packets; look at the link"), 4)) as camera:
        camera.grab(1)
        with pytest.raises(FrameLost, match="camera top, exposure 2: missing packets; look at the link") as lost:
            camera.grab(1)
        assert lost.value.sequence == 2
        assert camera.grab(1).sequence == 3


def test_a_frame_is_as_old_as_the_library_says():
    with opened(Scripted(Exposure(frame_id=1, pixels=PIXELS, age_ns=10**9))) as camera:
        frame = camera.grab(1)
    assert time.monotonic_ns() - frame.exposed_ns >= 10**9


def test_each_grab_exposes_by_software_and_what_lay_there_is_nobodys():
    device = Scripted(1, 2, by_trigger=[3, 4])
    with opened(device, by_software=True) as camera:
        assert [camera.grab(1).sequence for _ in range(2)] == [0, 1]
        assert camera.grab(0.01) is None


@pytest.mark.parametrize(("keep", "found"), [("every", [0, 1, 2]), ("matched", [0, 2]), ("freshest", [])])
def test_what_comes_after_its_grab_was_over_is_kept_or_not_as_the_file_says(keep, found):
    device = Scripted(1)
    with opened(device, keep=keep) as camera:
        got = [camera.grab(0.02)]
        got.append(camera.grab(0.02))
        device.queue.append(Exposure(frame_id=2, pixels=PIXELS))
        got.append(camera.grab(0.02))
        if keep == "matched":
            device.queue.append(Exposure(frame_id=3, pixels=PIXELS))
            camera._came_too_late = False
        else:
            device.queue.append(Exposure(frame_id=3, pixels=PIXELS))
        got.append(camera.grab(0.02))
    assert [one.sequence for one in got if isinstance(one, Frame)] == found


def test_a_camera_that_is_not_there_yet_is_awaited_and_one_that_goes_is_found_again(caplog):
    first, second = Scripted(5, 6), Scripted(1)
    with opened(CameraError("camera top: found 0"), first, CameraError("camera top: found 0"), second) as camera:
        assert isinstance(camera, MayBeAway)
        assert until_frame(camera).sequence == 0
        until_frame(camera)
        first.gone_now = "camera top: is away"
        assert next(filter(None, (loss(camera) for _ in range(1000))))
        # Read in the log: on a busy machine it has been looked for again, and not found, before anybody grabs.
        assert "is away; it is opened again by itself" in caplog.text
        assert until_frame(camera).sequence == 2
        assert camera.away == ""
    assert first.closed
    assert second.closed


def test_a_camera_that_goes_while_nobody_grabs_is_known_to_be_away():
    device = Scripted()
    with opened(device, CameraError("camera top: found 0; check its cable")) as camera:
        device.gone_now = "camera top: is away"
        assert any(camera.away or time.sleep(0.01) for _ in range(3000))


def test_a_library_that_fails_costs_the_device_and_not_the_camera():
    first = Scripted()
    with opened(first, Scripted(1)) as camera:
        first.broken = "camera top: the library failed"
        with pytest.raises(CameraError, match="the library failed; it is opened again"):
            camera.grab(1)
        assert until_frame(camera).sequence == 0
    assert first.closed


def test_settings_that_a_camera_does_not_take_stop_the_start():
    with pytest.raises(ConfigError, match="got 1, wanted 2"), opened(ConfigError("camera top: got 1, wanted 2")):
        pass


def test_whatever_a_library_raises_while_it_opens_is_told_and_the_next_try_is_made():
    with opened(ZeroDivisionError("in the SDK"), Scripted(1)) as camera:
        assert "cannot be opened: ZeroDivisionError: in the SDK" in loss(camera)
        assert until_frame(camera).sequence == 0


def test_an_idle_line_is_no_fault():
    with opened(Scripted()) as camera:
        assert [camera.grab(0.02) for _ in range(40)] == [None] * 40
        assert camera.away == ""


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(1, 65_535))
def test_the_count_follows_ids_over_the_wrap_of_gige_vision(steps, first):
    count, true, expected = FrameCount(), first - 1, 0
    assert count.of(first) == 0
    for step in steps:
        true, expected = true + step, expected + step
        assert count.of(true % 65_535 + 1) == expected


def test_a_camera_that_counts_anew_goes_on_by_one():
    count = FrameCount()
    assert [count.of(one) for one in (500, 501, 3, 4)] == [0, 1, 2, 3]
    count.opened_again()
    assert [count.of(one) for one in (10, 12)] == [4, 6]


def test_a_camera_that_runs_freely_and_falls_silent_is_opened_again():
    silent, next_one = Scripted(1), Scripted(1)
    with opened(silent, next_one, longest_silence_s=0.05) as camera:
        assert camera.grab(1).sequence == 0
        end_s, said = time.monotonic() + 30, ""
        while not said and time.monotonic() < end_s:
            said = loss(camera)
        assert said.startswith("camera top: runs freely, and has given no frame for")
        assert until_frame(camera).sequence == 1
        assert silent.closed


def test_an_idle_line_is_no_silence_of_a_camera_that_is_triggered():
    with opened(Scripted(1)) as camera:
        camera.grab(1)
        assert [loss(camera) for _ in range(20)] == [""] * 20


@pytest.mark.parametrize(
    ("settings", "longest_s"),
    [
        ({}, 10.0),
        ({"fps": 0.2}, 25.0),
        ({"exposure_us": 4e6}, 20.0),
        ({"trigger_source": "Line0"}, None),
        ({"features": {"TriggerMode": "On"}}, None),
        ({"features": {"AcquisitionMode": "SingleFrame"}}, None),
    ],
)
def test_a_camera_may_be_silent_where_something_triggers_it(settings, longest_s):
    assert Wanted(**{"features": {}, **settings}).longest_silence_s == longest_s
