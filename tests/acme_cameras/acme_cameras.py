"""A third party's cameras that misbehave on command, as an SDK does. Their count stands in every pixel."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edge_inspect.cameras.destination import new_pixels
from edge_inspect.cameras.pixel_formats import CONVERTIBLE, frame_pixels
from edge_inspect.cameras.sdk_camera import Exposure, open_sdk_camera
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, FrameLost


class Camera:
    """One frame for each grab, a millisecond later; each word in the file `told` is one misbehaviour, done once."""

    def __init__(self, name, told, width, height, wait_ms):
        self._name, self._told, self._size, self._wait_ms = name, told, (height, width, 1), wait_ms
        self._count = 0

    def grab(self, timeout_s):
        what = self._next_deed()
        if what == "idle" or (self._wait_ms / 1e3 > timeout_s and what != "late"):
            time.sleep(timeout_s)
            return None
        time.sleep(self._wait_ms / 1e3)
        count, self._count = self._count, self._count + 1
        misbehave(what, count, timeout_s)
        height, width, channels = self._size
        pixels = new_pixels(height * (2 if what == "large" else 1), width, channels)
        pixels[:] = count % 256
        pixels.setflags(write=False)
        return Frame(
            pixels=pixels,
            sequence=count,
            exposed_ns=time.monotonic_ns(),
            taken_at=datetime.now(timezone.utc),
            camera=self._name,
            part_id=f"part-{count}",
        )

    def _next_deed(self):
        try:
            words = self._told.read_text().split()
        except FileNotFoundError:
            return ""
        self._told.write_text(" ".join(words[1:]))
        return words[0] if words else ""


def misbehave(what, count, timeout_s):
    if what == "segfault":
        ctypes.string_at(0)
    if what == "abort":
        os.abort()
    if what == "exit":
        os._exit(3)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "memory":
        bytearray(1 << 60)
    if what == "hang":
        time.sleep(3600)
    if what == "hang-holding-the-interpreter":
        ctypes.PyDLL(None).sleep(3600)
    if what == "late":
        time.sleep(timeout_s + 0.2)
    if what == "raise":
        raise ZeroDivisionError("an SDK's own mistake")
    if what == "away":
        raise CameraError("camera acme: the cable is out")
    if what == "lost":
        raise FrameLost("camera acme: the frame came damaged", sequence=count, part_id=f"part-{count}")


@contextmanager
def open_acme(*, name: str, told: Path, width: int = 64, height: int = 48, wait_ms: float = 1.0, password: str = ""):
    """Open a camera that misbehaves when it is told to; `told.open` says how the next openings go, a word each."""
    words = told.with_suffix(".open")
    what, *rest = words.read_text().split() if words.exists() else [""]
    words.write_text(" ".join(rest) or "-")
    misbehave(what, 0, 0)
    yield Camera(name, told, width, height, wait_ms)
    told.with_suffix(".closed").touch()


class Buffer:
    """A device whose driver has one buffer, always full: what our own code does with it is all that takes time."""

    def __init__(self, pixel_format, width, height):
        layout = CONVERTIBLE[pixel_format]
        size = height * width * max(1, *layout.shape, 1) * np.dtype(layout.type).itemsize
        self._buffer = np.random.default_rng(1).integers(0, 15, size, np.uint8)
        self._form, self._count = (pixel_format, width, height), 0

    def trigger(self):
        pass

    def skip(self):
        pass

    def gone(self):
        return ""

    def close(self):
        pass

    def next(self, timeout_s):
        self._count += 1
        return Exposure(frame_id=self._count, pixels=frame_pixels(self._buffer, *self._form))


@contextmanager
def open_buffer(*, name: str, pixel_format: str = "Mono8", width: int = 2448, height: int = 2048):
    """Open a camera over one buffer, by the way that `pylon` and `genicam` go."""
    connect = lambda: Buffer(pixel_format, width, height)  # noqa: E731
    with open_sdk_camera(connect, name=name, where=f"camera {name}", keep="every", by_software=False, open_timeout_s=5) as camera:
        yield camera
