"""A camera that delivers by itself, read in its own thread: connect, deliver, reconnect.

What is read is somebody else's business (`opencv.py`): here only `Connection` is known. A driver that hangs holds up this thread and
nothing else. A thread that hangs for ever cannot be ended in Python; it is a daemon, so that it does not keep the program alive either.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Protocol

from edge_inspect.cameras.mailbox import Mailbox, Shot
from edge_inspect.cameras.pacing import Pace
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError
from edge_inspect.time_left import THE_END

RECONNECT_FIRST_S = 0.2
RECONNECT_LONGEST_S = 2.0
JOIN_S = 1.0
SHARE = 0.5
"""Of the time that the end of the process has left: the records close after the camera."""
_LOOK_UP_S = 0.1

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """One opened source of images."""

    fps: float
    """The source's own rate [1/s]; 0 where it does not say."""

    length: int
    """Images the source says it holds; 0 where it does not say."""

    def read(self) -> Shot | None:
        """Wait for the next image; None when the source broke or ended."""

    def close(self) -> None:
        """Let go of the source."""


Connect = Callable[[], Connection]
"""Opens the source; raises CameraError with the reason why not."""

Reader = Callable[[Mailbox, threading.Event], None]
"""Lays frames into the mailbox until it is told to close."""


class StreamCamera:
    """The line's side of a stream; see `opencv.open_stream` and `opencv.open_video`."""

    def __init__(self, *, name: str, mailbox: Mailbox) -> None:
        self._name, self._mailbox = name, mailbox

    @property
    def away(self) -> str:
        """Why the source is not there now, in one sentence; "" while it is."""
        return self._mailbox.away

    @property
    def dropped(self) -> int:
        """Frames captured but never given to the line."""
        return self._mailbox.dropped

    @property
    def ended(self) -> bool:
        """Whether the film is over and its last frame was taken; a live stream never ends."""
        return self._mailbox.over

    def grab(self, timeout_s: float) -> Frame | None:
        """Give the next frame under the freshness rule. Never waits longer than asked to, even when the driver hangs.

        The exposure is the moment the image arrived: a stream does not say when it was really exposed.

        Args:
            timeout_s: longest wait [s].

        Returns:
            The frame; None when none came within the time, and for ever after the end of a film.

        Raises:
            CameraError: the source is away or silent, or (in `every`) was away since the last call. It reconnects by itself.
        """
        shot = self._mailbox.take(timeout_s)
        if shot is None:
            return None
        return Frame(pixels=shot.pixels, sequence=shot.sequence, exposed_ns=shot.exposed_ns, taken_at=shot.taken_at, camera=self._name)


@contextmanager
def capturing(read: Reader, *, name: str, mailbox: Mailbox) -> Iterator[StreamCamera]:
    """Run a reader in its own thread for as long as the camera is open."""
    closing = threading.Event()
    thread = threading.Thread(target=read, args=(mailbox, closing), name=f"camera {name}", daemon=True)
    thread.start()
    try:
        yield StreamCamera(name=name, mailbox=mailbox)
    finally:
        closing.set()
        thread.join(THE_END.at_most(JOIN_S, share=SHARE))
        if thread.is_alive():
            _log.warning("camera %s: the driver hangs and is left behind; its thread ends when the driver returns", name)


def read_live(mailbox: Mailbox, closing: threading.Event, *, camera: str, connect: Connect) -> None:
    """Deliver from a live source until closed. After a loss it tries again in 0.2 s, then doubling up to 2 s, until frames come."""
    outages = _Outages(camera, mailbox)
    while not closing.is_set():
        with outages.survived(closing):
            _deliver(mailbox, closing, camera, connect, outages)


def read_film(mailbox: Mailbox, closing: threading.Event, *, camera: str, connect: Connect, pace: Pace, loop: bool) -> None:
    """Play a film at its pace, once or for ever. It waits for the line instead of dropping frames, since a film can wait."""
    outages, playing = _Outages(camera, mailbox), True
    while playing and not closing.is_set():
        with outages.survived(closing):
            _play(mailbox, closing, camera, connect, pace)
            playing = loop
    mailbox.end()


def _deliver(mailbox: Mailbox, closing: threading.Event, camera: str, connect: Connect, outages: _Outages) -> None:
    with contextlib.closing(connect()) as connection:
        mailbox.connected()
        while not closing.is_set():
            shot = connection.read()
            if shot is None:
                raise CameraError(f"{camera}: stopped delivering; look at the camera and its network (it reconnects by itself)")
            mailbox.put(shot)
            outages.over()


def _play(mailbox: Mailbox, closing: threading.Event, camera: str, connect: Connect, pace: Pace) -> None:
    played = 0
    with contextlib.closing(connect()) as film:
        mailbox.connected()
        while shot := film.read():
            if not (_until(mailbox.wait_for_room, closing) and _until(pace.wait, closing)):
                return
            mailbox.put(dataclasses.replace(shot, exposed_ns=time.monotonic_ns(), taken_at=datetime.now(timezone.utc)))
            played += 1
    if not played:
        raise CameraError(f"{camera}: holds no readable image; give a whole film")
    if played < film.length:
        _log.warning("%s: ended after %d of %d images; the file is damaged or cut short", camera, played, film.length)


def _until(wait: Callable[[float], bool], closing: threading.Event) -> bool:
    """Wait for as long as it takes, looking up now and then whether the camera is being closed; False when it is."""
    while not closing.is_set():
        if wait(_LOOK_UP_S):
            return True
    return False


class _Outages:
    """Tells the line and the log of each loss once, and says how long to wait before the next try."""

    def __init__(self, camera: str, mailbox: Mailbox) -> None:
        self._camera, self._mailbox = camera, mailbox
        self._pause_s, self._since_s = RECONNECT_FIRST_S, 0.0

    @contextmanager
    def survived(self, closing: threading.Event) -> Iterator[None]:
        """A loss in this block is told, and answered with a pause before the next try."""
        try:
            yield
        except CameraError as error:
            self._began(error)
            closing.wait(self._pause_s)
            self._pause_s = min(2 * self._pause_s, RECONNECT_LONGEST_S)

    def over(self) -> None:
        """A frame came."""
        if self._since_s:
            _log.warning("%s: delivers again after %.1f s", self._camera, time.monotonic() - self._since_s)
        self._pause_s, self._since_s = RECONNECT_FIRST_S, 0.0

    def _began(self, error: CameraError) -> None:
        self._mailbox.interrupt(str(error))
        if not self._since_s:
            self._since_s = time.monotonic()
            _log.warning("%s", error)
