"""A camera behind a vendor's or a standard's library: opened in a thread for ever, asked for its frames by the line.

A lost camera is found by its own sign of life, not by silence: a line may be idle for an hour. Only one that runs freely must not be
silent. What the library itself cannot answer for, a call that never returns, is the business of `isolated`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, Protocol

from edge_inspect.datatypes import Frame, UInt8Image
from edge_inspect.errors import CameraError, EdgeInspectError, FrameLost
from edge_inspect.time_left import THE_END

REOPEN_FIRST_S = 0.2
REOPEN_LONGEST_S = 1.0
CLOSE_WITHIN_S = 30.0
SHARE = 0.5
"""Of the time that the end of the process has left: the records close after the camera."""
SIGN_OF_LIFE_EVERY_S = 0.5
_LOOK_EVERY_S = 0.05
_SLICE_S = 0.1
_WRAP = 65_535
"""GigE Vision's frame ids go from 1 to this and begin anew."""

Keep = Literal["every", "matched", "freshest"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """What came out of the device for one exposure.

    Attributes:
        frame_id: the camera's own count.
        pixels: (H, W, C) uint8, read-only; None where they are lost.
        fault: why they are lost.
        age_ns: how long ago it arrived in this machine [ns]; 0 where the library does not tell.
    """

    frame_id: int
    pixels: UInt8Image | None
    fault: str = ""
    age_ns: int = 0


class Device(Protocol):
    """One opened camera that has taken its settings and is exposing or waits for its trigger."""

    def trigger(self) -> None:
        """Expose now; raises CameraError."""

    def next(self, timeout_s: float) -> Exposure | None:
        """The next exposure, oldest first; its buffer is given back when this returns. Raises CameraError."""

    def skip(self) -> None:
        """Give back what lies waiting, uncopied."""

    def gone(self) -> str:
        """Why the camera is away; "" while it shows a sign of life. Answers within a few hundred milliseconds."""

    def close(self) -> None:
        """Let go of the camera; never raises CameraError."""


class FrameCount:
    """Frame ids as a count that only rises: over the wrap of GigE Vision, and over a camera that was opened again."""

    def __init__(self) -> None:
        self._last_id: int | None = None
        self._sequence = -1

    def opened_again(self) -> None:
        """The next frame id begins anew."""
        self._last_id = None

    def of(self, frame_id: int) -> int:
        """The count of this frame."""
        self._sequence += 1 if self._last_id is None else self._step(frame_id, self._last_id)
        self._last_id = frame_id
        return self._sequence

    def _step(self, frame_id: int, last: int) -> int:
        if frame_id > last:
            return frame_id - last
        wrapped = frame_id + _WRAP - last
        return wrapped if last <= _WRAP and 0 < wrapped < _WRAP // 2 else 1


class SdkCamera:
    """The line's side; see `open_sdk_camera`."""

    def __init__(
        self, connect: Callable[[], Device], *, name: str, where: str, keep: Keep, by_software: bool, longest_silence_s: float | None
    ) -> None:
        self._connect, self._name, self._where = connect, name, where
        self._longest_silence_s, self._silent_s = longest_silence_s, 0.0
        self._keep, self._by_software = keep, by_software
        self._device: Device | None = None
        self._discarded: Device | None = None
        self._first: EdgeInspectError | None = None
        self._heard = self._came_too_late = False
        self._gone = ""
        self._trouble = f"{where}: is being opened"
        self._count = FrameCount()
        self._pause_s, self._lost_s = REOPEN_FIRST_S, 0.0
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep_open, name=f"camera {name}", daemon=True)
        self._keeper.start()

    @property
    def away(self) -> str:
        """Why the camera is away now; "" when it is not."""
        return "" if self._device is not None else self._trouble

    def grab(self, timeout_s: float) -> Frame | None:
        """As `protocols.Camera`.

        Raises:
            FrameLost: the driver's buffer came incomplete.
            CameraError: the camera is away; it is opened again by itself.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            self._changed.wait_for(lambda: self._device is not None, timeout_s)
            device = self._device
            if device is None:
                raise CameraError(self._trouble)
            asked_s = time.monotonic()
            try:
                self._prepare(device)
                exposure = self._next(device, until_s)
                self._heed_silence(0.0 if exposure is not None else time.monotonic() - asked_s)
            except CameraError as error:
                self._lose(device, str(error))
                raise CameraError(self._trouble) from error
            self._came_too_late = exposure is None
            return None if exposure is None else self._frame(exposure)

    def wait_until_heard(self, timeout_s: float) -> None:
        """Wait until the camera has been opened, or was not once.

        Raises:
            EdgeInspectError: the camera was found and does not take its settings, or the library is missing.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._heard, timeout_s)
            if self._first is not None and not isinstance(self._first, CameraError):
                raise self._first

    def close(self) -> None:
        """Let go of the camera."""
        self._closing.set()
        self._keeper.join(THE_END.at_most(CLOSE_WITHIN_S, share=SHARE))
        if self._keeper.is_alive():
            _log.warning("%s: its library is still opening it, and is left to the end of this process", self._where)
            return
        for device in (self._device, self._discarded):
            if device is not None:
                device.close()
        self._device = self._discarded = None

    # grabbing; the lock is held

    def _prepare(self, device: Device) -> None:
        """What waits is the part of an earlier grab, and nobody's now, unless every exposure is a part."""
        if self._by_software or self._keep == "freshest" or (self._keep == "matched" and self._came_too_late):
            device.skip()
        if self._by_software:
            device.trigger()

    def _next(self, device: Device, until_s: float) -> Exposure | None:
        """In slices: a camera that goes away ends the wait."""
        while True:
            if self._gone:
                raise CameraError(self._gone)
            left_s = max(0.0, until_s - time.monotonic())
            exposure = device.next(min(left_s, _SLICE_S))
            if exposure is not None or left_s <= _SLICE_S:
                return exposure

    def _heed_silence(self, waited_s: float) -> None:
        """Seen once: opened again in the moment its cable came back, a camera kept its control and sent nothing, for ever."""
        self._silent_s = self._silent_s + waited_s if waited_s else 0.0
        if self._longest_silence_s is not None and self._silent_s > self._longest_silence_s:
            raise CameraError(
                f"{self._where}: runs freely, and has given no frame for {self._silent_s:.0f} s; look at its link and its light"
            )

    def _frame(self, exposure: Exposure) -> Frame:
        sequence = self._count.of(exposure.frame_id)
        if exposure.pixels is None:
            raise FrameLost(f"{self._where}, exposure {sequence}: {exposure.fault}", sequence=sequence)
        return Frame(
            pixels=exposure.pixels,
            sequence=sequence,
            exposed_ns=time.monotonic_ns() - exposure.age_ns,
            taken_at=datetime.now(timezone.utc) - timedelta(microseconds=exposure.age_ns / 1e3),
            camera=self._name,
        )

    # keeping it open; in its own thread

    def _keep_open(self) -> None:
        while not self._closing.is_set():
            if self._device is None:
                self._open()
            elif not self._closing.wait(SIGN_OF_LIFE_EVERY_S):
                self._listen()

    def _open(self) -> None:
        discarded, self._discarded = self._discarded, None
        if discarded is not None:
            discarded.close()
        try:
            device = self._connected()
        except EdgeInspectError as error:
            with self._changed:
                self._first, self._heard = (error if not self._heard else self._first), True
                self._told(str(error))
            self._closing.wait(self._pause_s)
            self._pause_s = min(2 * self._pause_s, REOPEN_LONGEST_S)
            return
        with self._changed:
            self._device, self._heard, self._silent_s = device, True, 0.0
            self._count.opened_again()
            self._over()
            self._changed.notify_all()

    def _connected(self) -> Device:
        try:
            return self._connect()
        except EdgeInspectError:
            raise
        except Exception as error:  # a library may raise anything; whatever it was, the next try may go better
            raise CameraError(f"{self._where}: cannot be opened: {type(error).__name__}: {error}; look at the library's log") from error

    def _listen(self) -> None:
        """Tell a grab that is under way, which has the lock; without one, do what it would do."""
        device = self._device
        self._gone = "" if device is None else device.gone()
        if device is not None and self._gone and self._changed.acquire(timeout=_LOOK_EVERY_S):
            try:
                if device is self._device:
                    self._lose(device, self._gone)
            finally:
                self._changed.release()

    def _lose(self, device: Device, reason: str) -> None:
        self._device, self._gone = None, ""
        self._discarded = device  # closed by the other thread: a library may ask a dead camera for seconds
        self._told(f"{reason}; it is opened again by itself" if reason.startswith(self._where) else f"{self._where}: {reason}")

    def _told(self, reason: str) -> None:
        self._trouble = reason
        self._changed.notify_all()
        if not self._lost_s:
            self._lost_s = time.monotonic()
            _log.warning("%s", reason)

    def _over(self) -> None:
        self._pause_s = REOPEN_FIRST_S
        if self._lost_s:
            _log.warning("%s: open again after %.1f s", self._where, time.monotonic() - self._lost_s)
            self._lost_s = 0.0


@contextmanager
def open_sdk_camera(
    connect: Callable[[], Device],
    *,
    name: str,
    where: str,
    keep: Keep,
    by_software: bool,
    open_timeout_s: float,
    longest_silence_s: float | None = None,
) -> Iterator[SdkCamera]:
    """Keep a camera open for as long as the block runs. It need not be there yet.

    Args:
        connect: finds and opens the camera; raises CameraError where it is not there, ConfigError where it does not take its settings.
        name: the camera's name.
        where: how messages name it.
        keep: `every`, `matched` or `freshest`; see `pylon.open_pylon`.
        by_software: each grab triggers the camera.
        open_timeout_s: longest wait of this call for the first sign of it [s].
        longest_silence_s: a camera that gives no frame for so long while it is asked is opened again [s]; None for one that is triggered.

    Raises:
        EdgeInspectError: the camera does not take its settings, or the library is missing.
    """
    camera = SdkCamera(connect, name=name, where=where, keep=keep, by_software=by_software, longest_silence_s=longest_silence_s)
    try:
        camera.wait_until_heard(open_timeout_s)
        yield camera
    finally:
        camera.close()
