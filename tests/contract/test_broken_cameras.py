"""The check of cameras passes an honest one, finds each broken promise, and says which."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from edge_inspect.datatypes import Frame
from edge_inspect.errors import FrameLost
from edge_inspect.testing import check_camera


class Honest:
    """A camera as a third party would write it: every third exposure is lost, every fourth grab finds nothing."""

    def __init__(self):
        self.grabs = 0

    def grab(self, timeout_s):
        self.grabs += 1
        if self.grabs % 4 == 0:
            return None
        if self.grabs % 3 == 0:
            raise FrameLost("the cable was pulled", sequence=self.grabs)
        return self.frame()

    def frame(self):
        pixels = np.zeros((4, 6, 3), np.uint8)
        pixels.setflags(write=False)
        now = datetime.now(timezone.utc)
        return Frame(pixels=pixels, sequence=self.grabs, exposed_ns=time.monotonic_ns(), taken_at=now, camera="top")


def opening(make):
    @contextmanager
    def open_it():
        yield make()

    return open_it


def test_a_third_partys_camera_passes():
    check_camera(opening(Honest), frames=20)


def altered(**values):
    """A camera whose frames are altered; a call is given the frame."""

    class Altered(Honest):
        def frame(self):
            frame = super().frame()
            return replace(frame, **{name: value(frame) for name, value in values.items()})

    return Altered


class NoDoor:
    pass


class Dead(Honest):
    def grab(self, timeout_s):
        return None


class SameLostPart(Honest):
    def grab(self, timeout_s):
        raise FrameLost("again", sequence=1)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (NoDoor, "has no grab"),
        (Dead, "None three times in a row after 0 frames; wanted 5"),
        (SameLostPart, "sequence 1 came after 1"),
        (altered(sequence=lambda frame: 7), "sequence 7 came after 7"),
        (altered(pixels=lambda frame: frame.pixels.tolist()), "pixels must be a uint8 array, got .*list"),
        (altered(pixels=lambda frame: frame.pixels.astype(np.float32)), "pixels must be a uint8 array"),
        (altered(pixels=lambda frame: frame.pixels[:, :, 0]), r"pixels must be .*got \(4, 6\)"),
        (altered(pixels=lambda frame: frame.pixels[:, :, :2]), r"pixels must be .*got \(4, 6, 2\)"),
        (altered(pixels=lambda frame: frame.pixels.copy()), "pixels must be read-only"),
        (altered(exposed_ns=lambda frame: time.time_ns()), "must be on the monotonic clock"),
        (altered(exposed_ns=lambda frame: 10**9 - frame.sequence), "must be on the monotonic clock, between the frame before"),
        (altered(taken_at=lambda frame: frame.taken_at.replace(tzinfo=None)), "taken_at must be in UTC"),
        (altered(taken_at=lambda frame: frame.taken_at.astimezone(timezone(timedelta(hours=2)))), "taken_at must be in UTC"),
        (altered(camera=lambda frame: ""), "camera must be the name in the station file"),
    ],
)
def test_a_broken_promise_is_named(broken, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_camera(opening(broken))


def test_a_camera_that_cannot_be_opened_again_is_found():
    cameras = [Honest(), Dead()]
    with pytest.raises(AssertionError, match="None three times in a row after 0 frames; wanted 1"):
        check_camera(opening(lambda: cameras.pop(0)))


def test_a_grab_that_hangs_is_found(monkeypatch):
    monkeypatch.setattr("edge_inspect.testing.camera.PATIENCE_S", 0.0)

    class Slow(Honest):
        def grab(self, timeout_s):
            time.sleep(timeout_s + 0.05)
            return super().grab(timeout_s)

    with pytest.raises(AssertionError, match=r"grab\(0.01\) took 0.\d s"):
        check_camera(opening(Slow), timeout_s=0.01)
