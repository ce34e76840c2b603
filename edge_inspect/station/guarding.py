"""The guard of what serves now, and the notices that a PLC shows: an alarm or a bit at most, never a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Thread

from edge_inspect.datatypes import Inspection, Notices
from edge_inspect.errors import ConfigError
from edge_inspect.guard import Guard, open_guard
from edge_inspect.inspector import Inspector
from edge_inspect.protocols import Note, Plc, TakesNotices
from edge_inspect.rests import Rests
from edge_inspect.station.deeds import guarded
from edge_inspect.station.delivery import Delivery
from edge_inspect.time_left import THE_END

LEAVE_WITHIN_S = 10.0
"""Longest wait at the end for a guard that is being opened beside the line [s]."""

SHARE = 0.1
"""Of one core, for opening a guard beside the line."""


class NoticeBoard:
    """What a person should look at, on the PLC's wire where that has bits for it."""

    def __init__(self, plc: Plc) -> None:
        self._plc = plc
        self._notices = Notices()

    def show(self, **changes: bool) -> None:
        """Show these from now on; the others stay."""
        notices = replace(self._notices, **changes)
        if notices != self._notices and isinstance(self._plc, TakesNotices):
            self._plc.notice(notices)
        self._notices = notices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """What became of opening a guard: the guard, or why there is none."""

    guard: Guard | None = None
    error: str = ""


class Opening:
    """Opens guards in a thread, one at a time; only the one asked for last is given. Everything but the thread is called by the line's.

    Looking through a hundred calibration frames at once would take the processor from a part: parts must not wait for it.
    """

    def __init__(self) -> None:
        self._wanted: Callable[[Rests], Guard] | None = None
        self._rests = Rests(SHARE)
        self._thread: Thread | None = None
        self._opened = Opened()

    def start(self, open_it: Callable[[Rests], Guard]) -> None:
        """Begin to open a guard, with rests; it is there when `take` gives it."""
        self._wanted = open_it
        self._go_on()

    def take(self) -> Opened | None:
        """The guard that was asked for last, once it is there or has failed, and only once; None until then."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread = None
        self._go_on()
        return self._opened if self._thread is None else None

    def close(self) -> Opened | None:
        """Wait for what is being opened, and give it as `take` does; nothing further is opened."""
        self._wanted = None
        self._rests.hurry()
        if self._thread is not None:
            self._thread.join(THE_END.at_most(LEAVE_WITHIN_S))
        return self.take()

    def _go_on(self) -> None:
        if self._wanted is None or self._thread is not None:
            return
        self._thread, self._wanted = Thread(target=self._open, args=(self._wanted,), name="guard", daemon=True), None
        self._thread.start()

    def _open(self, open_it: Callable[[Rests], Guard]) -> None:
        try:
            self._opened = Opened(guard=open_it(self._rests))
        except ConfigError as error:
            self._opened = Opened(error=str(error))
        except Exception as error:  # it is said, whatever it is: a line that nobody watches must not look like one that is well
            self._opened = Opened(error=f"the guard could not be opened: {error!r}; calibrate with --apply once more")
            raise


class Guarding:
    """Holds the station's parts against the calibration of what serves, where the station file asks for it.

    Until the guard of a new calibration is open nobody watches: what the old one stands for serves no more.
    """

    def __init__(self, *, wanted: bool, delivery: Delivery, board: NoticeBoard, note: Note) -> None:
        self._wanted = wanted
        self._delivery = delivery
        self._board = board
        self._note = note
        self._opening = Opening()
        self._guard: Guard | None = None
        self._alarm = ""

    def begin(self, inspector: Inspector) -> None:
        """Guard by the calibration of this inspector as soon as its guard has been opened beside the line."""
        if not self._wanted:
            return
        self._guard = None
        self._board.show(check_light=False, recalibrate=False)
        self._delivery.alarm("guard", "")
        recipe, thresholds = inspector.recipe, inspector.thresholds
        self._opening.start(lambda rests: open_guard(recipe, thresholds, rests=rests))

    def look(self) -> None:
        """Between two parts: has the guard been opened? Why that cannot be is an alarm."""
        self._take(self._opening.take())

    def close(self) -> None:
        """Wait for what is being opened; what it says is still told."""
        self._take(self._opening.close())

    def _take(self, opened: Opened | None) -> None:
        if opened is not None:
            self._guard = opened.guard
            self._delivery.alarm("guard", opened.error)

    def look_at(self, inspection: Inspection) -> None:
        """Hold a part whose verdict has been delivered against the calibration."""
        if self._guard is None:
            return
        alarm = self._guard.note(inspection)
        self._delivery.alarm("guard", alarm)
        for action in guarded(alarm, stood=bool(self._alarm)):
            self._note(action)
        self._alarm = alarm
        self._board.show(check_light=bool(self._guard.light), recalibrate=bool(self._guard.drift))
