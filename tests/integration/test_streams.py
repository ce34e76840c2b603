"""Streams from real peers on this machine: an HTTP MJPEG camera that freezes, dies and comes back, and an RTSP one where installed.

The peer is a process of its own, so that it can be stopped and killed as a camera is. No time is asserted but generous ends.
"""

import base64
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_inspect.camera_opening import prepare_camera
from edge_inspect.cameras.opencv import open_stream
from edge_inspect.config import CameraBlock
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError

MJPEG_CAMERA = """
import http.server, sys, time
import cv2, numpy as np

class Camera(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for count in range(10**9):
            grey = 10 * (count % 20) + 30
            picture = np.dstack([np.full((48, 64), level, np.uint8) for level in (0, grey // 2, grey)])
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            self.wfile.write(b"--frame\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(jpeg) + jpeg + b"\\r\\n")
            time.sleep(0.02)

    def log_message(self, *args):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, request, address):
        pass

server = Server(("127.0.0.1", int(sys.argv[1])), Camera)
print("ready", flush=True)
server.serve_forever()
"""

RTSP_CAMERA = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
media = GstRtspServer.RTSPMediaFactory()
media.set_shared(True)
media.set_launch("( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
                 " ! jpegenc ! rtpjpegpay name=pay0 pt=26 )")
server.get_mount_points().add_factory("/line", media)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""
SYSTEM_PYTHON = "/usr/bin/python3"
Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a camera process on `port`; all are killed in the end, stopped or not."""
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str = MJPEG_CAMERA, python: str = sys.executable) -> subprocess.Popen[bytes]:
        script = tmp_path / "camera.py"
        script.write_text(code)
        process = subprocess.Popen([python, str(script), str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def http(port: int) -> str:
    return f"http://inspector:s3cret@127.0.0.1:{port}/mjpg?token=s3cret"


def until(camera: Any, wanted: type[Frame] | type[CameraError], *, within_s: float = 10.0) -> Any:
    """Grab until a frame comes, or until a loss is told."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        found = outcome(camera)
        if isinstance(found, wanted):
            return found
    return pytest.fail(f"no {wanted.__name__} within {within_s} s")


def opened(isolated: bool, **options: Any) -> Any:
    """The `opencv` kind by the station's way, in this process or in a child."""
    block = CameraBlock.model_validate({"kind": "opencv", "isolated": isolated, **options})
    return prepare_camera(block, base=Path())()


def outcome(camera: Any) -> Frame | CameraError | None:
    try:
        return camera.grab(0.25)
    except CameraError as error:
        return error


def test_frames_come_from_an_http_camera_in_rgb_and_in_order(start: Any, port: int) -> None:
    start()
    with open_stream(name="top", source=http(port), keep="every", queue=64, width=64, height=48) as camera:
        frames = [until(camera, Frame) for _ in range(10)]
    assert [frame.sequence for frame in frames] == list(range(10))
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 10
    red, green, blue = frames[0].pixels.mean(axis=(0, 1))
    assert blue < 12
    assert abs(red - 2 * green) < 12
    steps = np.diff([frame.pixels[..., 0].mean() for frame in frames])
    assert sum(abs(steps - 10) < 4) >= 8  # each picture is ten greys brighter than the one before, but for one fall back


def test_a_line_that_is_too_slow_for_every_frame_sees_gaps(start: Any, port: int, caplog: pytest.LogCaptureFixture) -> None:
    start()
    with open_stream(name="top", source=http(port), keep="every", queue=2) as camera:
        first = until(camera, Frame)
        wait_for(lambda: camera.dropped >= 3)
        second = until(camera, Frame)
    assert second.sequence - first.sequence > 3
    assert "frames dropped because the line is too slow" in caplog.text


def wait_for(condition: Callable[[], bool]) -> None:
    assert any(condition() or time.sleep(0.01) for _ in range(1000))


def test_the_freshest_frame_was_exposed_no_earlier_than_allowed(start: Any, port: int) -> None:
    start()
    with open_stream(name="top", source=http(port), max_age_ms=0) as camera:
        until(camera, Frame)
        wait_for(lambda: camera.dropped >= 3)
        called_ns = time.monotonic_ns()
        frame = camera.grab(10)
    assert frame.exposed_ns >= called_ns
    assert frame.sequence == 1


@pytest.mark.parametrize("isolated", [False, True])
def test_a_frozen_camera_is_told_and_found_again(start: Any, port: int, isolated: bool) -> None:
    process = start()
    with opened(isolated, source=http(port), read_timeout_ms=300, open_timeout_ms=500) as camera:
        until(camera, Frame)
        process.send_signal(signal.SIGSTOP)
        lost = until(camera, CameraError)
        process.send_signal(signal.SIGCONT)
        until(camera, Frame)
    assert "no frame for" in str(lost) or "stopped delivering" in str(lost)


@pytest.mark.parametrize("isolated", [False, True])
def test_a_camera_that_dies_and_comes_back_is_found_without_help(
    start: Any, port: int, caplog: pytest.LogCaptureFixture, isolated: bool
) -> None:
    caplog.set_level(logging.INFO)
    process = start()
    with opened(isolated, source=http(port), keep="every") as camera:
        before = until(camera, Frame)
        process.kill()
        process.wait()
        until(camera, CameraError)
        assert isinstance(outcome(camera), CameraError)
        start()
        after = until(camera, Frame)
    assert after.sequence > before.sequence
    assert isolated or "delivers again after" in caplog.text  # a child writes its own log


def test_a_camera_that_comes_later_than_the_station_is_found(start: Any, port: int) -> None:
    with open_stream(name="top", source=http(port)) as camera:
        until(camera, CameraError)
        start()
        until(camera, Frame)


def test_a_camera_of_another_size_is_refused(start: Any, port: int) -> None:
    start()
    with open_stream(name="top", source=http(port), width=640) as camera:
        assert "delivers 64 x 48 px, wanted 640 x any" in str(until(camera, CameraError))


def test_no_password_is_shown_to_anyone(start: Any, port: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    with open_stream(name="top", source=http(port)) as camera:
        told = str(until(camera, CameraError))
        start()
        until(camera, Frame)
    shown = told + caplog.text + "".join(capfd.readouterr())
    assert f"camera top (http://***@127.0.0.1:{port}/mjpg?token=***)" in told
    assert "s3cret" not in shown
    assert "inspector" not in shown


@pytest.mark.parametrize("isolated", [False, True])
def test_a_camera_that_wants_a_password_gets_it_from_a_file(
    start: Any, port: int, tmp_path: Path, isolated: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wanted = "Basic " + base64.b64encode(b"viewer:s3cret/@:1").decode()
    refusal = f"""
        if self.headers.get("Authorization") != "{wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)"""
    start(MJPEG_CAMERA.replace("        self.send_response(200)", refusal.lstrip("\n")))
    secret = tmp_path / "camera-password"
    secret.write_text("s3cret/@:1\n")
    source = f"http://viewer@127.0.0.1:{port}/mjpg"
    with opened(isolated, source=source, password_file=str(secret)) as camera:
        until(camera, Frame)
    with opened(isolated, source=source) as camera:
        told = str(until(camera, CameraError))
    assert "s3cret" not in told + caplog.text


def test_a_server_that_never_answers_holds_up_neither_a_grab_nor_the_end_of_the_program(tmp_path: Path) -> None:
    code = """
import sys
from edge_inspect.camera_opening import prepare_camera
from edge_inspect.cameras.opencv import open_stream
from edge_inspect.config import CameraBlock
from edge_inspect.errors import CameraError
with open_stream(name="top", source=f"http://127.0.0.1:{sys.argv[1]}/mjpg", open_timeout_ms=1000) as camera:
    try:
        camera.grab(0.1)
    except CameraError as error:
        print(error)
"""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = str(mute.getsockname()[1])
        done = subprocess.run([sys.executable, "-c", code, port], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be opened" in done.stdout or "not connected yet" in done.stdout


def has_rtsp_server() -> bool:
    probe = 'import gi; gi.require_version("GstRtspServer", "1.0"); from gi.repository import GstRtspServer'
    return (
        os.access(SYSTEM_PYTHON, os.X_OK) and subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(
    not has_rtsp_server(), reason="needs an RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0 and the GStreamer plugins"
)
@pytest.mark.parametrize("isolated", [False, True])
def test_an_rtsp_camera_that_freezes_and_one_that_dies_are_found_without_help(start: Any, port: int, isolated: bool) -> None:
    process = start(RTSP_CAMERA, SYSTEM_PYTHON)
    with opened(isolated, source=f"rtsp://inspector:s3cret@127.0.0.1:{port}/line", read_timeout_ms=500) as camera:
        assert until(camera, Frame).pixels.shape == (240, 320, 3)
        process.send_signal(signal.SIGSTOP)
        assert "s3cret" not in str(until(camera, CameraError))
        process.send_signal(signal.SIGCONT)
        until(camera, Frame, within_s=20)
        process.kill()
        process.wait()
        assert "s3cret" not in str(until(camera, CameraError))
        start(RTSP_CAMERA, SYSTEM_PYTHON)
        until(camera, Frame, within_s=20)
