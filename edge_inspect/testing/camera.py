"""What `protocols.Camera` promises, checked on a real camera."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import numpy as np

from edge_inspect.datatypes import Frame
from edge_inspect.errors import FrameLost
from edge_inspect.protocols import Camera
from edge_inspect.testing.promise import PATIENCE_S, demand


def check_camera(open_camera: Callable[[], AbstractContextManager[Camera]], *, frames: int = 5, timeout_s: float = 2.0) -> None:
    """Grab until `frames` frames came, close the camera, open it again and grab once more.

    Args:
        open_camera: opens a camera that delivers at least `frames` parts; a lost one is allowed.
        frames: how many frames to look at.
        timeout_s: given to `grab`; a camera that gives None three times in a row is taken for dead.

    Raises:
        AssertionError: what the camera does otherwise than `protocols.Camera` promises.
        CameraError: the camera is away.
    """
    with open_camera() as camera:
        demand(isinstance(camera, Camera), f"{camera!r} has no grab(timeout_s)")
        _check_stream(camera, frames, timeout_s)
    with open_camera() as camera:
        _check_stream(camera, 1, timeout_s)


def _check_stream(camera: Camera, frames: int, timeout_s: float) -> None:
    seen, silent, sequence, exposed_ns = 0, 0, -1, 0
    while seen < frames:
        part = _grab(camera, timeout_s)
        silent = silent + 1 if part is None else 0
        demand(silent < 3, f"grab({timeout_s:g}) gave None three times in a row after {seen} frames; wanted {frames}")
        if part is None:
            continue
        demand(part.sequence > sequence, f"sequence {part.sequence} came after {sequence}; it must rise with every exposure")
        sequence = part.sequence
        if isinstance(part, Frame):
            _check_frame(part, exposed_ns)
            seen, exposed_ns = seen + 1, part.exposed_ns


def _grab(camera: Camera, timeout_s: float) -> Frame | FrameLost | None:
    started = time.monotonic()
    try:
        return camera.grab(timeout_s)
    except FrameLost as lost:
        return lost
    finally:
        took_s = time.monotonic() - started
        demand(took_s < timeout_s + PATIENCE_S, f"grab({timeout_s:g}) took {took_s:.1f} s")


def _check_frame(frame: Frame, earliest_ns: int) -> None:
    pixels = frame.pixels
    demand(isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8, f"pixels must be a uint8 array, got {type(pixels)}")
    demand(pixels.ndim == 3 and pixels.shape[2] in {1, 3}, f"pixels must be (H, W, 1) or (H, W, 3), got {pixels.shape}")
    demand(not pixels.flags.writeable, "pixels must be read-only: setflags(write=False) before the frame is made")
    now_ns = time.monotonic_ns()
    demand(
        earliest_ns <= frame.exposed_ns <= now_ns,
        f"exposed_ns {frame.exposed_ns} must be on the monotonic clock, between the frame before ({earliest_ns}) and now ({now_ns})",
    )
    demand(frame.taken_at.utcoffset() == timedelta(0), f"taken_at must be in UTC, got {frame.taken_at!r}")
    demand(bool(frame.camera), "camera must be the name in the station file, got an empty one")
