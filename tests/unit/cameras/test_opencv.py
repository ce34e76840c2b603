"""What reads which source, films on disk, and what is refused before a thread is started."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspect.cameras import opencv
from edge_inspect.cameras.opencv import open_stream, open_video
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError
from edge_inspect.protocols import Camera

GREYS = [20, 60, 100, 140, 180, 220]


@pytest.fixture
def film_file(tmp_path: Path) -> Path:
    return write_film(tmp_path / "parts.avi")


def write_film(path: Path, *, fps: float = 50, code: str = "MJPG", greys: list[int] = GREYS) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), fps, (64, 48))
    for grey in greys:
        writer.write(np.dstack([np.full((48, 64), level, np.uint8) for level in (0, grey // 2, grey)]))
    writer.release()
    return path


@pytest.fixture
def opened() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda path, **options: stack.enter_context(open_video(name="top", path=path, **options))


def frames_of(camera: Any, count: int) -> list[Frame]:
    found: list[Frame] = []
    for _ in range(300):
        frame = camera.grab(0.1)
        found += [] if frame is None else [frame]
        if len(found) == count or camera.ended:
            break
    return found


@pytest.mark.parametrize(("name", "code"), [("parts.avi", "MJPG"), ("parts.mp4", "mp4v")])
def test_a_film_is_played_in_order_in_rgb(tmp_path: Path, opened: Any, name: str, code: str) -> None:
    camera = opened(write_film(tmp_path / name, code=code), fps=1000)
    assert isinstance(camera, Camera)
    frames = frames_of(camera, len(GREYS))
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * len(GREYS)
    for frame, grey in zip(frames, GREYS, strict=True):
        np.testing.assert_allclose(frame.pixels.mean(axis=(0, 1)), (grey, grey // 2, 0), atol=6)
    assert [frame.sequence for frame in frames] == list(range(len(GREYS)))
    assert (frames[0].camera, frames[0].pixels.flags.writeable) == ("top", False)
    assert camera.grab(0.05) is None
    assert camera.ended


def test_a_film_keeps_its_own_rate(film_file: Path, opened: Any) -> None:
    camera, started_ns = opened(film_file), time.monotonic_ns()
    assert frames_of(camera, 5)[4].exposed_ns - started_ns >= 4e9 / 50


def test_a_film_can_be_looped_and_made_grey(film_file: Path, opened: Any) -> None:
    frames = frames_of(opened(film_file, fps=1000, loop=True, channels=1), 8)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 1)}
    np.testing.assert_allclose(frames[7].pixels.mean(), frames[1].pixels.mean(), atol=1)


def test_a_freshest_film_plays_on_without_the_line(film_file: Path, opened: Any) -> None:
    camera = opened(film_file, fps=200, loop=True, keep="freshest", max_age_ms=60_000)
    assert camera.grab(10).sequence == 0
    until_dropped(camera)
    assert camera.grab(10).sequence == 1


def until_dropped(camera: Any) -> None:
    for _ in range(10_000):
        if camera.dropped >= 3:
            return
        time.sleep(0.005)
    pytest.fail("the film stood still")


def test_a_missing_film_is_refused(tmp_path: Path, opened: Any) -> None:
    with pytest.raises(CameraError, match=r"camera top \(.*gone\.avi\): no such file"):
        opened(tmp_path / "gone.avi")


def test_a_file_that_is_no_film_is_refused(tmp_path: Path, opened: Any) -> None:
    (tmp_path / "notes.avi").write_text("no film")
    with pytest.raises(CameraError, match="cannot be opened"):
        opened(tmp_path / "notes.avi")


def test_a_film_without_an_image_is_refused(tmp_path: Path, opened: Any) -> None:
    with pytest.raises(CameraError, match="holds no readable image"):
        opened(write_film(tmp_path / "parts.avi", greys=[]))


def test_a_film_cut_short_is_played_as_far_as_it_goes_and_told_in_the_log(
    film_file: Path, opened: Any, caplog: pytest.LogCaptureFixture
) -> None:
    film_file.write_bytes(film_file.read_bytes()[:6200])
    camera = opened(film_file, fps=1000)
    played = len(frames_of(camera, len(GREYS)))
    assert 0 < played < len(GREYS)
    assert f"ended after {played} of {len(GREYS)} images" in caplog.text


def test_a_film_that_does_not_say_its_rate_needs_one(film_file: Path, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "_sound", lambda value, most: 0.0)
    with pytest.raises(CameraError, match="does not say its frame rate; set fps"):
        opened(film_file)
    assert frames_of(opened(film_file, fps=1000), 1)


@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan"), float("inf"), 180_000.0])
def test_what_a_library_answers_when_it_does_not_know_is_not_believed(value: float) -> None:
    assert opencv._sound(value, most=1000) == 0.0


@pytest.mark.parametrize(
    ("source", "api"),
    [
        (0, "v4l2"),
        ("0", "v4l2"),
        ("/dev/video0", "v4l2"),
        ("rtsp://10.0.0.7/stream", "ffmpeg"),
        ("http://10.0.0.7/mjpg", "ffmpeg"),
        ("rtsp://admin:open!me@10.0.0.7/1", "ffmpeg"),
        ("videotestsrc ! videoconvert ! appsink", "gstreamer"),
        ("rtspsrc location=rtsp://10.0.0.7/1 ! appsink", "gstreamer"),
    ],
)
def test_a_source_is_read_by_what_fits_it(source: str | int, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda api: True)
    assert opencv._api_for(source, "any", "camera top") == api
    assert opencv._api_for(source, "gstreamer", "camera top") == "gstreamer"


def test_gstreamer_reads_a_url_where_ffmpeg_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda api: api == cv2.CAP_GSTREAMER)
    assert opencv._api_for("rtsp://10.0.0.7/1", "any", "camera top") == "gstreamer"


def test_a_library_this_opencv_lacks_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda api: api != cv2.CAP_GSTREAMER)
    with pytest.raises(CameraError, match=r"needs GStreamer, which this OpenCV .* was built without; .* or install an OpenCV with it"):
        open_stream(name="top", source="videotestsrc ! appsink").__enter__()


@pytest.mark.parametrize("api", ["any", "ffmpeg"])
def test_a_file_is_no_stream(film_file: Path, api: str) -> None:
    with pytest.raises(CameraError, match="is a file; for a film write kind: video, for pictures kind: folder"):
        open_stream(name="top", source=str(film_file), api=api).__enter__()


def test_a_source_that_nothing_can_read_is_refused() -> None:
    with pytest.raises(CameraError, match=r"camera top \(the left one\): is no device number, /dev path, URL or GStreamer pipeline"):
        open_stream(name="top", source="the left one").__enter__()


def test_a_device_that_is_not_there_is_awaited_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", raising=False)
    monkeypatch.delenv("OPENCV_VIDEOIO_V4L_READ_ATTEMPTS", raising=False)
    with (
        open_stream(name="top", source="/dev/video99", read_timeout_ms=1500) as camera,
        pytest.raises(CameraError, match="cannot be opened"),
    ):
        camera.grab(0.1)
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "2"
    assert os.environ["OPENCV_VIDEOIO_V4L_READ_ATTEMPTS"] == "1"


class Device:
    """A V4L2 device: there is none on a test machine."""

    def __init__(self, *, size: tuple[int, int] = (640, 480), image: np.ndarray | Exception | None = None) -> None:
        self.image, self.released = image, False
        self.properties = {cv2.CAP_PROP_FRAME_WIDTH: size[0], cv2.CAP_PROP_FRAME_HEIGHT: size[1]}

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return self.properties.get(what, 0.0)

    def set(self, what: int, value: float) -> bool:
        if what == cv2.CAP_PROP_FRAME_WIDTH:
            self.properties[what] = value
        return True

    def grab(self) -> bool:
        return self.image is not None

    def retrieve(self) -> tuple[bool, np.ndarray]:
        if isinstance(self.image, Exception):
            raise self.image
        return self.image.size > 0, self.image

    def release(self) -> None:
        self.released = True


def connected(device: Device, monkeypatch: pytest.MonkeyPatch, size: tuple[int | None, int | None] = (None, None)) -> Any:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *args: device)
    return opencv._connect(0, api="v4l2", timeouts_ms=(2000, 2000), channels=3, size=size, where="camera top")


def test_a_device_is_set_to_the_size_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    connected(device, monkeypatch, (1280, 480)).close()
    assert device.get(cv2.CAP_PROP_FRAME_WIDTH) == 1280
    assert device.released


def test_a_device_that_keeps_another_size_is_refused_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    with pytest.raises(CameraError, match="delivers 640 x 480 px, wanted any x 720; set the size at the camera"):
        connected(device, monkeypatch, (None, 720))
    assert device.released


def test_pixels_of_more_than_eight_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CameraError, match="delivers uint16 pixels, wanted uint8"):
        connected(Device(image=np.zeros((4, 4), np.uint16)), monkeypatch).read()


def test_a_failure_inside_opencv_is_a_loss_without_a_password_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Device(image=cv2.error("cannot decode rtsp://a:s3cret@10.0.0.7/1"))
    with pytest.raises(CameraError, match=r"OpenCV failed: cannot decode rtsp://\*\*\*@10\.0\.0\.7/1"):
        connected(broken, monkeypatch).read()


def test_a_break_and_an_unreadable_image_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connected(Device(), monkeypatch).read() is None
    assert connected(Device(image=np.empty((0, 0), np.uint8)), monkeypatch).read() is None


def test_a_grey_device_can_be_read_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    shot = connected(Device(image=np.full((4, 5), 9, np.uint8)), monkeypatch).read()
    assert shot.pixels.shape == (4, 5, 3)
