"""The gate's own thread: it hears of triggers and verdicts, looks at belt and sensor, and switches the output when it is time.

It waits for nobody. Whoever tells it something (a PLC wire, inside its lock) appends to a list and goes on; the line's loop asks it now
and then how it is (`look`). A device that does not answer is tried again for ever; meanwhile, and until the belt has run clear
after it, everything is rejected.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TypeVar

from edge_inspect.config import Gate as Settings
from edge_inspect.datatypes import GateShown, Verdict
from edge_inspect.digital_io import Lines, open_lines
from edge_inspect.errors import PlcError
from edge_inspect.gate.belts import Belt, belt_opener
from edge_inspect.gate.fitting import REJECT, geometry_of, lines_of, take_priority
from edge_inspect.gate.parts import Fate, Tally
from edge_inspect.gate.tracker import Tracker
from edge_inspect.time_left import THE_END

WHO = "gate"
IDLE_S = 0.1
"""Longest sleep of the thread [s]."""
RETRY_S = 0.5
CLOSE_WITHIN_S = 5.0
SWITCH_S = 0.0005
"""Another thread in the middle of Python code gives way to the gate's after this [s]; the interpreter's own 5 ms are too long."""
SLIPPED_STANDS_S = 60.0
"""How long the alarm stands for a part that the output missed: somebody must look for it [s]."""
MS_NS = 1_000_000

log = logging.getLogger(__name__)
Step = Callable[[Tracker, Belt], None]
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How the gate is, for the loop.

    Attributes:
        alarm: one sentence; "" where nothing needs a person.
        counts: of the tally, and `waiting`, `on` and `clearing`, by name.
        fates: what became of parts since the last report.
        cleared: why the belt was cleared since the last report, oldest first.
    """

    alarm: str
    counts: Mapping[str, int]
    fates: tuple[Fate, ...]
    cleared: tuple[str, ...]


@contextmanager
def open_gate(settings: Settings, *, show: Callable[[GateShown], None]) -> Iterator[Gate]:
    """Take the lines and start the thread. On leaving the output rejects, and the lines are given back.

    Args:
        settings: the `gate` block.
        show: told in the gate's thread whenever what it shows has changed, after the line was switched; returns at once.

    Raises:
        PluginError: gpiod is not installed.
        PlcError: a line or the encoder cannot be opened.
    """
    gate = Gate(settings, show=show)
    gate.start()
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield gate
    finally:
        sys.setswitchinterval(before_s)
        gate.close()


class Gate:
    """A tracker with a belt, a sensor and an output. `triggered` and `told` are called by wires' threads, `lost` and `look` by the loop."""

    def __init__(self, settings: Settings, *, show: Callable[[GateShown], None]) -> None:
        """Nothing is opened yet."""
        self._settings = settings
        self._geometry = geometry_of(settings)
        self._show = show
        self._open_belt = belt_opener(settings)
        self._inbox: deque[Step] = deque()
        self._fates: deque[Fate] = deque(maxlen=10_000)
        self._cleared: deque[str] = deque(maxlen=1000)
        self._before = Tally()  # of trackers that a broken device has ended
        self._tracker: Tracker | None = None
        self._shown: GateShown | None = None
        self._slipped_told = 0
        self._slipped_until = 0.0
        self._trouble = ""
        self._stopping = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._opened = threading.Event()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="gate", daemon=True)

    # ---- called by others ----

    def start(self) -> None:
        """Open everything and serve.

        Raises:
            PluginError, PlcError: as `open_gate`.
        """
        self._thread.start()
        self._opened.wait()
        if self._failed is not None:
            self._thread.join()
            os.close(self._wake_fd)
            raise self._failed

    def triggered(self, acquisition: int, at_ns: int) -> None:
        """A part was triggered at this time (monotonic clock) [ns]."""
        self._say(lambda tracker, belt: _trigger(tracker, belt, acquisition, at_ns))

    def told(self, acquisition: int, verdict: Verdict, why: str) -> None:  # noqa: ARG002 - as a wire tells it
        """A result is about to be shown to the PLC."""
        self._say(lambda tracker, _: tracker.verdict(acquisition, verdict))

    def lost(self, reason: str) -> None:
        """A part was not triggered, or nobody knows when: everything on the belt is rejected."""
        self._say(lambda tracker, _: tracker.lose(reason))

    def look(self) -> Report:
        """How it is; takes the fates out."""
        tracker = self._tracker
        counts = self._counts(tracker)
        if counts["slipped"] > self._slipped_told:
            self._slipped_until = time.monotonic() + SLIPPED_STANDS_S
        fates, cleared = _taken(self._fates), _taken(self._cleared)
        self._slipped_told = counts["slipped"]
        return Report(alarm=self._alarm(tracker), counts=counts, fates=fates, cleared=cleared)

    def close(self) -> None:
        """Reject, give the lines back and end the thread."""
        self.fail_safe()
        if not self._thread.is_alive():
            os.close(self._wake_fd)

    def fail_safe(self) -> None:
        """Reject from now on, whatever comes; the gate serves no more."""
        self._stopping = True
        with contextlib.suppress(OSError):  # closed already
            os.eventfd_write(self._wake_fd, 1)
        self._thread.join(THE_END.at_most(CLOSE_WITHIN_S))

    def _say(self, step: Step) -> None:
        self._inbox.append(step)
        with contextlib.suppress(OSError):  # closed already
            os.eventfd_write(self._wake_fd, 1)

    def _counts(self, tracker: Tracker | None) -> dict[str, int]:
        now = asdict(tracker.tally) if tracker is not None else {}
        counts = {name: before + now.get(name, 0) for name, before in asdict(self._before).items()}
        shown = self._shown
        waiting, clearing = (0, True) if tracker is None else (tracker.waiting, bool(tracker.unknown))
        return counts | {"waiting": waiting, "on": int(shown is None or shown.reject), "clearing": int(clearing)}

    def _alarm(self, tracker: Tracker | None) -> str:
        if self._trouble:
            return f"{self._trouble}; everything is rejected until it answers and the belt has run clear"
        if time.monotonic() < self._slipped_until:
            return "the output came too late for a part that was to be rejected: look for it behind the gate, and make lead longer"
        if tracker is None or not tracker.unknown or tracker.starting:
            return ""
        return (
            f"everything is rejected until the belt has run {self._length(self._geometry.belt)}, then it goes on by itself: "
            f"{tracker.unknown}; find out why (docs/gate.md)"
        )

    def _length(self, steps: int) -> str:
        return f"{steps / self._settings.steps_per_unit:.0f} {self._settings.unit}"

    # ---- in the thread ----

    def _work(self) -> None:
        take_priority(self._settings.priority)
        while not self._stopping:
            try:
                with self._devices() as (belt, lines):
                    self._opened.set()
                    self._serve(belt, lines)
            except Exception as error:  # noqa: BLE001 - whatever it is: a gate that ends lets parts pass
                if not self._opened.is_set():
                    self._failed = error
                    self._opened.set()
                    return
                self._broken(_trouble_of(error))

    @contextmanager
    def _devices(self) -> Iterator[tuple[Belt, Lines | None]]:
        with ExitStack() as stack:
            wanted = lines_of(self._settings)
            lines = stack.enter_context(open_lines(wanted, who=WHO)) if wanted else None
            yield stack.enter_context(self._open_belt()), lines

    def _serve(self, belt: Belt, lines: Lines | None) -> None:
        now_ns = time.monotonic_ns()
        self._inbox.clear()
        tracker = self._tracker = Tracker(self._geometry, belt.read(now_ns), now_ns, length=self._length)
        while not self._stopping:
            self._sleep(belt, lines, tracker)
            now_ns = time.monotonic_ns()
            position = belt.read(now_ns)
            if doubt := belt.suspect():
                tracker.lose(doubt)
            self._hear(tracker, belt, lines)
            self._switch(tracker, tracker.advance(position, now_ns, self._ahead(belt, now_ns)), lines)
            self._trouble = ""
            while tracker.fates:
                self._fates.append(tracker.fates.popleft())
            while tracker.losses:
                self._cleared.append(reason := tracker.losses.popleft())
                log.warning("gate: the belt is cleared: %s", reason)
        if lines is not None and self._settings.output is not None:
            lines.set({REJECT: True})

    def _hear(self, tracker: Tracker, belt: Belt, lines: Lines | None) -> None:
        while self._inbox:
            self._inbox.popleft()(tracker, belt)
        if lines is not None and self._settings.sensor is not None:
            for edge in lines.edges():
                position = belt.at(edge.at_ns)
                if position is not None:
                    tracker.sensed(position)

    def _switch(self, tracker: Tracker, reject: bool, lines: Lines | None) -> None:
        shown = GateShown(reject=reject, clearing=bool(tracker.unknown))
        if shown == self._shown:
            return
        if lines is not None and self._settings.output is not None:
            lines.set({REJECT: reject})
        self._shown = shown
        self._show(shown)

    def _sleep(self, belt: Belt, lines: Lines | None, tracker: Tracker) -> None:
        if self._inbox:
            return
        fds = [self._wake_fd, *belt.fds, *(lines.fds if lines is not None else ())]
        readable, _, _ = select.select(fds, [], [], self._sleep_s(belt, tracker))
        if self._wake_fd in readable:
            os.eventfd_read(self._wake_fd)

    def _sleep_s(self, belt: Belt, tracker: Tracker) -> float:
        now_ns = time.monotonic_ns()
        until = [now_ns + round((belt.poll_s or IDLE_S) * 1e9)]
        if tracker.due_ns is not None:
            until.append(tracker.due_ns)
        if belt.by_clock and (due := tracker.due(self._ahead(belt, now_ns))) is not None:
            until.append(due)
        return max(0.0, (min(until) - now_ns) / 1e9)

    def _ahead(self, belt: Belt, now_ns: int) -> int:
        return round(belt.speed(now_ns) * self._settings.lead_ms * MS_NS) if self._settings.lead_ms else 0

    def _broken(self, trouble: str) -> None:
        """Nothing is known until the device answers again; the PLC is told to reject meanwhile."""
        if trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            self._before = Tally(**{name: before + getattr(tracker.tally, name) for name, before in asdict(self._before).items()})
            self._before.cleared += 1
            self._cleared.append(trouble)
        self._shown = GateShown(reject=True, clearing=True)
        self._show(self._shown)
        time.sleep(RETRY_S)
        self._shown = None


def _trouble_of(error: Exception) -> str:
    """A device says what is wrong with it; anything else is a fault of this program, and must not leave a gate that lets parts pass."""
    if isinstance(error, PlcError):
        return str(error)
    log.error("gate: its thread failed and begins anew", exc_info=error)
    return f"gate: {type(error).__name__}: {error}: a fault of this program, please report it with the log"


def _trigger(tracker: Tracker, belt: Belt, acquisition: int, at_ns: int) -> None:
    position = belt.at(at_ns)
    if position is None:
        tracker.lose(f"trigger {acquisition} was heard of too late to know where its part lies")
    else:
        tracker.trigger(acquisition, position)


def _taken(queue: deque[Kind]) -> tuple[Kind, ...]:
    """Everything in a queue that another thread adds to."""
    return tuple(queue.popleft() for _ in range(len(queue)))
