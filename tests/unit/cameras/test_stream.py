"""The capture thread: deliver, lose, reconnect, end; with a source made of a list, so that every case can be had."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial

import numpy as np
import pytest

from edge_inspect.cameras import stream
from edge_inspect.cameras.mailbox import Mailbox, Shot
from edge_inspect.cameras.pacing import Pace
from edge_inspect.cameras.stream import StreamCamera, capturing, read_film, read_live
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError

A_DAY_NS = 86_400 * 10**9


def shot(mark: int) -> Shot:
    return Shot(pixels=np.full((1, 1, 1), mark, np.uint8), exposed_ns=time.monotonic_ns(), taken_at=datetime.now(timezone.utc))


class Scripted:
    """Delivers its marks; then breaks, hangs until released, or ends."""

    def __init__(self, marks: list[int], *, then: threading.Event | None = None, length: int = 0) -> None:
        self.fps, self.length, self.closed = 0.0, length, False
        self._marks, self._then = list(marks), then

    def read(self) -> Shot | None:
        if self._marks:
            return shot(self._marks.pop(0))
        if self._then is not None:
            self._then.wait(60)
        return None

    def close(self) -> None:
        self.closed = True


class Script:
    """Hands out connections (or losses) one after the other; the last one for ever."""

    def __init__(self, *acts: Scripted | CameraError) -> None:
        self.acts, self.calls = list(acts), 0

    def __call__(self) -> Scripted:
        act = self.acts[min(self.calls, len(self.acts) - 1)]
        self.calls += 1
        if isinstance(act, CameraError):
            raise act
        return act


@contextmanager
def live(script: Script) -> Iterator[StreamCamera]:
    mailbox = Mailbox(camera="camera top", keep="every", room=8, max_age_ns=A_DAY_NS, silence_ns=A_DAY_NS)
    mailbox._listening = True  # as after a first grab: what a scripted source delivers at once must not pass by
    with capturing(partial(read_live, camera="camera top", connect=script), name="top", mailbox=mailbox) as camera:
        yield camera


@contextmanager
def film(script: Script, *, loop: bool = False, fps: float | None = None) -> Iterator[StreamCamera]:
    mailbox = Mailbox(camera="camera top", keep="every", room=1, max_age_ns=A_DAY_NS, silence_ns=None)
    read = partial(read_film, camera="camera top", connect=script, pace=Pace(fps), loop=loop)
    with capturing(read, name="top", mailbox=mailbox) as camera:
        yield camera


def marks(camera: StreamCamera, count: int, *, within_s: float = 30) -> list[int]:
    """The next frames' marks, riding out losses."""
    found, until_s = [], time.monotonic() + within_s
    while len(found) < count and time.monotonic() < until_s:
        try:
            frame = camera.grab(0.5)
        except CameraError:
            continue
        found += [] if frame is None else [int(frame.pixels[0, 0, 0])]
    return found


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_frames_carry_the_cameras_name_and_count(released: threading.Event) -> None:
    with live(Script(Scripted([7, 8], then=released))) as camera:
        frames = [camera.grab(30), camera.grab(30)]
        assert all(isinstance(frame, Frame) and frame.camera == "top" for frame in frames)
        assert [frame.sequence for frame in frames] == [0, 1]
        assert (camera.dropped, camera.ended) == (0, False)
        released.set()


def test_after_a_loss_it_connects_again_and_closes_what_broke(released: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    broken = Scripted([1])
    script = Script(broken, CameraError("camera top: refused"), Scripted([2], then=released))
    with live(script) as camera:
        assert marks(camera, 2) == [1, 2]
        assert broken.closed
        released.set()
    told = [record.message for record in caplog.records]
    assert told[0].startswith("camera top: stopped delivering")
    assert told[1].startswith("camera top: delivers again after")


def test_a_camera_that_delivers_without_end_can_be_closed() -> None:
    endless = Scripted(list(range(1_000_000)))
    with live(Script(endless)) as camera:
        assert marks(camera, 1)
    assert endless.closed


def test_a_source_that_cannot_be_reached_is_told_with_the_reason() -> None:
    with live(Script(CameraError("camera top: refused"))) as camera:
        reasons = {reason_of(camera) for _ in range(20)}
    assert "camera top: refused" in reasons


def reason_of(camera: StreamCamera) -> str:
    with pytest.raises(CameraError) as caught:
        camera.grab(0.02)
    return str(caught.value)


def test_tries_come_further_and_further_apart_until_frames_come(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    class Closing(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            if len(pauses) == 9:
                self.set()
            return self.is_set()

    refused = CameraError("refused")
    script = Script(*[refused] * 7, Scripted([1]), refused)
    mailbox = Mailbox(camera="camera top", keep="every", room=8, max_age_ns=0, silence_ns=None)
    read_live(mailbox, Closing(), camera="camera top", connect=script)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 0.2, 0.4]


def test_a_driver_that_hangs_holds_up_neither_a_grab_nor_the_end(
    released: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "JOIN_S", 0.05)
    hanging = Scripted([1], then=released)
    with live(Script(hanging)) as camera:
        assert marks(camera, 1) == [1]
        assert camera.grab(0.01) is None
    assert "the driver hangs and is left behind" in caplog.text
    released.set()
    thread = next((thread for thread in threading.enumerate() if thread.name == "camera top"), None)
    assert thread is None or thread.join(10) is None
    assert hanging.closed


def test_a_film_is_played_to_its_end_and_then_gives_nothing() -> None:
    with film(Script(Scripted([1, 2, 3], length=3))) as camera:
        assert marks(camera, 3) == [1, 2, 3]
        assert [camera.grab(0.001), camera.grab(0.001)] == [None, None]
        assert ended(camera)


def ended(camera: StreamCamera) -> bool:
    """The reader needs a moment to see that the last image was the last."""
    return any(camera.ended or time.sleep(0.01) for _ in range(1000))


def test_a_film_waits_for_the_line_and_loses_nothing() -> None:
    with film(Script(Scripted(list(range(20))))) as camera:
        time.sleep(0.05)
        assert marks(camera, 20) == list(range(20))
        assert camera.dropped == 0


def test_a_looped_film_begins_again_and_goes_on_counting() -> None:
    with film(Script(*(Scripted([1, 2]) for _ in range(9))), loop=True) as camera:
        frames = [camera.grab(30) for _ in range(5)]
    assert [(int(frame.pixels[0, 0, 0]), frame.sequence) for frame in frames] == [(1, 0), (2, 1), (1, 2), (2, 3), (1, 4)]


def test_a_film_that_is_away_is_waited_for() -> None:
    with film(Script(CameraError("camera top: no such file"), Scripted([1]))) as camera:
        assert marks(camera, 1) == [1]


def test_a_film_is_exposed_at_its_pace() -> None:
    with film(Script(Scripted([1, 2, 3])), fps=50) as camera:
        started_ns = time.monotonic_ns()
        frames = [camera.grab(30) for _ in range(3)]
    assert frames[2].exposed_ns - started_ns >= 2e9 / 50


def test_a_film_without_an_image_is_a_loss_and_not_an_endless_loop() -> None:
    script = Script(Scripted([]))
    with film(script, loop=True) as camera, pytest.raises(CameraError, match="holds no readable image"):
        camera.grab(30)
    assert script.calls < 20


def test_a_film_that_ends_too_early_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with film(Script(Scripted([1, 2], length=40))) as camera:
        assert marks(camera, 2) == [1, 2]
        assert ended(camera)
    assert "camera top: ended after 2 of 40 images" in caplog.text


def test_a_film_that_nobody_watches_can_be_closed() -> None:
    with film(Script(Scripted([1, 2]))) as camera:
        pass
    assert not camera.ended or camera.grab(0) is None
