"""Where the capture thread lays frames down and the line takes them up: the freshness rule, and what was lost on the way.

One lock, no waiting but the line's own: the line never waits longer than it asked to, even when the capture thread hangs in a driver.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import CameraError

Keep = Literal["every", "freshest"]
REPORT_EVERY_S = 10.0

# Passing over frames is what `freshest` is for; in `every` each drop is a part that was not inspected.
_DROP_LEVEL = {"every": logging.WARNING, "freshest": logging.INFO}
_DROP_TEXT = {
    "every": "%s: %d frames dropped because the line is too slow (%d in all); each is a FAULT",
    "freshest": "%s: %d frames passed over for fresher ones (%d in all)",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shot:
    """One captured image on its way to the line; see `datatypes.Frame` for the fields."""

    pixels: UInt8Image
    exposed_ns: int
    taken_at: datetime
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class _Interruption:
    """The source was away here: parts may have passed unseen, and the line must hear of it even when it did not ask at that time."""

    reason: str


class Mailbox:
    """Frames between one capture thread and one line.

    `every` keeps all frames in order, up to `room`; when it is full the oldest goes and leaves a gap in the count. `freshest` keeps the
    newest frame only and gives it while it is no older than `max_age_ns`; frames passed over leave no gap, and an outage that is over
    when the line asks is no matter.
    """

    def __init__(self, *, camera: str, keep: Keep, room: int, max_age_ns: int, silence_ns: int | None) -> None:
        """Make an empty mailbox.

        Args:
            camera: how messages name the camera.
            keep: the freshness rule.
            room: frames kept waiting, for `every`.
            max_age_ns: oldest frame given [ns], for `freshest`.
            silence_ns: a connected source that is silent for longer is away [ns]; None for a source that may be silent.
        """
        self._camera, self._keep, self._max_age_ns, self._silence_ns = camera, keep, max_age_ns, silence_ns
        self._room = room if keep == "every" else 1
        self._items: deque[Shot | _Interruption] = deque()
        self._changed = threading.Condition()
        self._away = f"{camera}: not connected yet"
        self._heard_ns = time.monotonic_ns()
        self._listening = self._over = False
        self._count = self._dropped = self._reported = 0
        self._report_due_s = 0.0

    @property
    def dropped(self) -> int:
        """Frames captured but never given: queue overflow in `every`, passed over in `freshest`."""
        return self._dropped

    @property
    def away(self) -> str:
        """Why the source is not there now; "" while it is."""
        return self._away

    @property
    def over(self) -> bool:
        """Whether the source has ended and the last frame was taken."""
        return self._over and not self._items

    # The capture thread's side

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until the line listens and has room, for sources that can wait (a file); False when not within `timeout_s` [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: self._listening and (self._keep == "freshest" or self._shots() < self._room), timeout_s)

    def connected(self) -> None:
        """The source is open; silence counts from here."""
        with self._changed:
            self._away, self._heard_ns = "", time.monotonic_ns()

    def put(self, shot: Shot) -> None:
        """Lay a frame down. Before the line's first `take` nobody listens: such frames are not counted."""
        with self._changed:
            self._away, self._heard_ns = "", shot.exposed_ns
            if self._listening:
                self._append(shot)
            self._changed.notify_all()
        self._report_drops()

    def interrupt(self, reason: str) -> None:
        """The source is away from here on, until the next `connected` or `put`."""
        with self._changed:
            if self._keep == "every" and self._listening and not self._away and not self._ends_interrupted():
                self._items.append(_Interruption(reason))
            self._away = reason
            self._changed.notify_all()

    def end(self) -> None:
        """No frame will ever come again."""
        with self._changed:
            self._over, self._away = True, ""
            self._changed.notify_all()

    # The line's side

    def take(self, timeout_s: float) -> Shot | None:
        """The next frame under the freshness rule; None when there was none within the time.

        Raises:
            CameraError: the source is away, is silent for too long, or (in `every`) was away since the last call.
        """
        oldest_ns = time.monotonic_ns() - self._max_age_ns
        with self._changed:
            self._listening = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._has_item_since(oldest_ns), timeout_s)
            if self._items:
                return self._given(self._items.popleft())
            self._refuse_silence()
            return None

    def wait_until_heard(self, timeout_s: float) -> None:
        """Wait until the source has connected or failed once, at most `timeout_s` [s]."""
        with self._changed:
            first = self._away
            self._changed.wait_for(lambda: self._away != first, timeout_s)

    def _append(self, shot: Shot) -> None:
        while self._shots() >= self._room:
            self._items.remove(next(item for item in self._items if isinstance(item, Shot)))
            self._dropped += 1
        self._items.append(self._numbered(shot) if self._keep == "every" else shot)

    def _ends_interrupted(self) -> bool:
        return bool(self._items) and isinstance(self._items[-1], _Interruption)

    def _shots(self) -> int:
        return sum(isinstance(item, Shot) for item in self._items)

    def _has_item_since(self, oldest_ns: int) -> bool:
        while self._keep == "freshest" and self._items and _is_older(self._items[0], oldest_ns):
            self._items.popleft()
            self._dropped += 1
        return bool(self._items)

    def _given(self, item: Shot | _Interruption) -> Shot:
        if isinstance(item, _Interruption):
            raise CameraError(item.reason)
        return item if self._keep == "every" else self._numbered(item)

    def _numbered(self, shot: Shot) -> Shot:
        self._count += 1
        return dataclasses.replace(shot, sequence=self._count - 1)

    def _refuse_silence(self) -> None:
        silent_ns = time.monotonic_ns() - self._heard_ns
        if self._away:
            raise CameraError(self._away)
        if not self._over and self._silence_ns is not None and silent_ns > self._silence_ns:
            raise CameraError(f"{self._camera}: connected, but no frame for {silent_ns / 1e9:.1f} s; look at the camera and its network")

    def _report_drops(self) -> None:
        """One line every ten seconds at most, written outside the lock: a log that blocks must not hold up the line."""
        now_s, dropped = time.monotonic(), self._dropped
        if dropped > self._reported and now_s >= self._report_due_s:
            _log.log(_DROP_LEVEL[self._keep], _DROP_TEXT[self._keep], self._camera, dropped - self._reported, dropped)
            self._reported, self._report_due_s = dropped, now_s + REPORT_EVERY_S


def _is_older(item: Shot | _Interruption, oldest_ns: int) -> bool:
    return isinstance(item, Shot) and item.exposed_ns < oldest_ns
