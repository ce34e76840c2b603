"""Cameras and films that OpenCV reads: V4L2 devices, RTSP, HTTP MJPEG, GStreamer pipelines, film files.

For cameras that run freely. One that exposes on a hardware trigger is silent on an idle line, and silence looks like a loss here.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge_inspect.cameras.address import with_password
from edge_inspect.cameras.mailbox import Keep, Mailbox, Shot
from edge_inspect.cameras.pacing import Pace
from edge_inspect.cameras.pictures import Channels, rgb_from_bgr, with_channels
from edge_inspect.cameras.redaction import redacted
from edge_inspect.cameras.stream import Connect, Connection, StreamCamera, capturing, read_film, read_live
from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import CameraError

Api = Literal["any", "ffmpeg", "v4l2", "gstreamer"]
TimeoutMs = Annotated[int, Field(ge=100, le=2000)]
Rate = Annotated[float, Field(gt=0, le=1000)]
Pixels = Annotated[int, Field(gt=0)]

_API = {"ffmpeg": cv2.CAP_FFMPEG, "v4l2": cv2.CAP_V4L2, "gstreamer": cv2.CAP_GSTREAMER}
_NAME = {"ffmpeg": "FFmpeg", "v4l2": "V4L2", "gstreamer": "GStreamer"}
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

SELECTS = "source"
"""The option that names one of several cameras."""

DISCOVERS = "opencv"
"""Of the kinds of this module, the one whose cameras are `connected`."""


@contextmanager
def open_stream(
    *,
    name: str,
    source: str | int,
    password_file: Path | None = None,
    api: Api = "any",
    keep: Keep = "freshest",
    queue: Annotated[int, Field(ge=1, le=256)] = 8,
    open_timeout_ms: TimeoutMs = 2000,
    read_timeout_ms: TimeoutMs = 2000,
    max_age_ms: Annotated[float, Field(ge=0, le=60_000)] = 100.0,
    channels: Channels = 3,
    width: Pixels | None = None,
    height: Pixels | None = None,
) -> Iterator[StreamCamera]:
    """Open a camera that delivers by itself. It need not be there yet: it is awaited, and found again after every loss.

    Args:
        name: the camera's name, given by the station.
        source: device number or path (`0`, `/dev/video0`), URL (`rtsp://`, `http://`), or a GStreamer pipeline ending in `appsink`.
        password_file: file whose first line is the password of the user whom the URL names (a systemd credential is one).
        api: what reads it. `any` takes V4L2 for a device, GStreamer for a pipeline, FFmpeg for a URL (GStreamer where FFmpeg is missing).
        keep: `freshest` gives the newest frame not given yet; `every` gives all in order, and a drop leaves a gap in the count.
        queue: frames kept waiting, for `every`.
        open_timeout_ms: longest wait for a connection [ms]; also the longest wait of this call for the first sign of the camera.
        read_timeout_ms: a camera silent for longer is lost [ms]. V4L2 counts in whole seconds, rounded up.
        max_age_ms: oldest frame given, counted back from the grab [ms], for `freshest`.
        channels: 3 delivers RGB, 1 grey (of a camera without colour nothing is lost by it).
        width: frame width [px], set on a V4L2 device, checked on any other; None takes what comes.
        height: likewise.

    Raises:
        CameraError: this OpenCV cannot read such a source, or the source is a file.
        ConfigError: `password_file` cannot be read, or the source is no URL with a user and no password.
    """
    where = f"camera {name} ({redacted(str(source))})"
    chosen = _api_for(source, api, where)
    connect = partial(
        _connect,
        with_password(source, password_file, where),
        api=chosen,
        timeouts_ms=(open_timeout_ms, read_timeout_ms),
        channels=channels,
        size=(width, height),
        where=where,
    )
    mailbox = Mailbox(camera=where, keep=keep, room=queue, max_age_ns=round(max_age_ms * 1e6), silence_ns=round(read_timeout_ms * 1e6))
    with capturing(partial(read_live, camera=where, connect=connect), name=name, mailbox=mailbox) as camera:
        mailbox.wait_until_heard(open_timeout_ms / 1e3)
        yield camera


@contextmanager
def open_video(
    *,
    name: str,
    path: Path,
    fps: Rate | None = None,
    loop: bool = False,
    keep: Keep = "every",
    max_age_ms: Annotated[float, Field(ge=0, le=60_000)] = 100.0,
    channels: Channels = 3,
) -> Iterator[StreamCamera]:
    """Play a film file as a camera. It starts with the first grab.

    Args:
        name: the camera's name, given by the station.
        path: the film.
        fps: exposures per second; None takes the film's own rate.
        loop: begin again after the last image.
        keep: `every` gives all images in order, and the film waits for a line that is too slow; `freshest` plays on and gives the newest.
        max_age_ms: oldest frame given, counted back from the grab [ms], for `freshest`.
        channels: 3 delivers RGB, 1 grey.

    Raises:
        CameraError: the file is missing, no film, holds no image, or does not say its rate and `fps` is not given.
    """
    where = f"camera {name} ({path})"
    connect = partial(_connect_film, path, channels=channels, where=where)
    pace = Pace(_rate(connect, fps, where))
    mailbox = Mailbox(camera=where, keep=keep, room=1, max_age_ns=round(max_age_ms * 1e6), silence_ns=None)
    with capturing(partial(read_film, camera=where, connect=connect, pace=pace, loop=loop), name=name, mailbox=mailbox) as camera:
        yield camera


def connected(devices: Path = Path("/sys/class/video4linux")) -> list[dict[str, str]]:
    """The V4L2 devices of this machine: `id` (for `source`) and model. Network cameras do not say that they are there."""
    found = sorted(devices.glob("video*")) if devices.is_dir() else []
    return [{"id": f"/dev/{one.name}", "model": (one / "name").read_text().strip()} for one in found]


def settings_of(source: str) -> dict[str, Any]:
    """What is known of a device without opening it, as options."""
    return {"source": source}


class _Capture:
    """One opened `cv2.VideoCapture`, as `stream.Connection`."""

    def __init__(self, capture: cv2.VideoCapture, *, channels: Channels, where: str) -> None:
        self._capture, self._channels, self._where = capture, channels, where
        self.fps = _sound(capture.get(cv2.CAP_PROP_FPS), most=1000)
        self.length = int(_sound(capture.get(cv2.CAP_PROP_FRAME_COUNT), most=2**31))

    def read(self) -> Shot | None:
        try:
            if not self._capture.grab():
                return None
            exposed_ns, taken_at = time.monotonic_ns(), datetime.now(timezone.utc)
            found, image = self._capture.retrieve()
        except cv2.error as error:
            raise CameraError(f"{self._where}: OpenCV failed: {redacted(str(error)).strip()}; it is opened again") from error
        return Shot(pixels=self._pixels(image), exposed_ns=exposed_ns, taken_at=taken_at) if found else None

    def close(self) -> None:
        self._capture.release()

    def _pixels(self, image: npt.NDArray[Any]) -> UInt8Image:
        if image.dtype != np.uint8:
            raise CameraError(f"{self._where}: delivers {image.dtype} pixels, wanted uint8; set an 8-bit format at the camera")
        return with_channels(rgb_from_bgr(image), self._channels)


def _connect(
    source: str | int, *, api: str, timeouts_ms: tuple[int, int], channels: Channels, size: tuple[int | None, int | None], where: str
) -> Connection:
    capture = _open_device(source, timeouts_ms, size) if api == "v4l2" else _open_network(source, api, timeouts_ms)
    try:
        _refuse_closed(capture, where)
        _refuse_size(capture, size, where)
    except CameraError:
        capture.release()
        raise
    return _Capture(capture, channels=channels, where=where)


def _open_network(source: str | int, api: str, timeouts_ms: tuple[int, int]) -> cv2.VideoCapture:
    """Always through the one library named: with CAP_ANY, OpenCV tries all of them and some print the address, password and all."""
    open_ms, read_ms = timeouts_ms
    return cv2.VideoCapture(str(source), _API[api], [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms])


def _open_device(source: str | int, timeouts_ms: tuple[int, int], size: tuple[int | None, int | None]) -> cv2.VideoCapture:
    # V4L2 knows no timeout property. It reads these two when the process reads its first frame; left alone it waits 3 x 10 s.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(math.ceil(timeouts_ms[1] / 1000)))
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_READ_ATTEMPTS", "1")
    capture = cv2.VideoCapture(source, cv2.CAP_V4L2)
    for what, wanted in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), size, strict=True):
        if wanted is not None:
            capture.set(what, wanted)
    return capture


def _connect_film(path: Path, *, channels: Channels, where: str) -> Connection:
    if not path.is_file():
        raise CameraError(f"{where}: no such file; check the path")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    _refuse_closed(capture, where)
    return _Capture(capture, channels=channels, where=where)


def _rate(connect: Connect, fps: float | None, where: str) -> float:
    """The wanted rate, else the film's own [1/s]; on the way it is seen that the film can be played at all."""
    with closing(connect()) as film:
        if film.read() is None:
            raise CameraError(f"{where}: holds no readable image; give a whole film")
        if not (fps or film.fps):
            raise CameraError(f"{where}: does not say its frame rate; set fps")
        return fps or film.fps


def _api_for(source: str | int, api: Api, where: str) -> str:
    if Path(str(source)).is_file():
        raise CameraError(f"{where}: is a file; for a film write kind: video, for pictures kind: folder")
    chosen = _fitting(str(source), where) if api == "any" else api
    if not cv2.videoio_registry.hasBackend(_API[chosen]):
        raise CameraError(
            f"{where}: needs {_NAME[chosen]}, which this OpenCV {cv2.__version__} was built without; "
            f"use another source or api, or install an OpenCV with it (JetPack's own cv2 has GStreamer)"
        )
    return chosen


def _fitting(source: str, where: str) -> str:
    if source.isdecimal() or source.startswith("/dev/"):
        return "v4l2"
    if _URL.match(source):  # before the pipeline: a password may hold a '!'
        return "ffmpeg" if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG) else "gstreamer"
    if "!" in source:
        return "gstreamer"
    raise CameraError(f"{where}: is no device number, /dev path, URL or GStreamer pipeline; write one of these")


def _refuse_closed(capture: cv2.VideoCapture, where: str) -> None:
    if not capture.isOpened():
        raise CameraError(f"{where}: cannot be opened; check that it is on, reachable and not in use, and its address, user and password")


def _refuse_size(capture: cv2.VideoCapture, size: tuple[int | None, int | None], where: str) -> None:
    got = tuple(int(capture.get(what)) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if any(wanted not in (None, given) for wanted, given in zip(size, got, strict=True)):
        wanted_size = " x ".join(str(wanted or "any") for wanted in size)
        raise CameraError(f"{where}: delivers {got[0]} x {got[1]} px, wanted {wanted_size}; set the size at the camera, or in the file")


def _sound(value: float, *, most: float) -> float:
    """The value where it makes sense, else 0: libraries answer -1, NaN or a clock rate where they do not know."""
    return value if 0 < value <= most else 0.0
