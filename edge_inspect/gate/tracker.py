"""Parts between camera and reject gate as a state machine. Pure: no I/O, no thread, no clock; belt and time are arguments.

A part is known by *where it lies*, not by its place in a queue: its position is latched at its trigger, and it is rejected where the
belt has carried it, unless its verdict is OK by then. So one trigger too many or too few cannot give a part the verdict of another. That
one was lost is noticed all the same, by the count of acquisitions, by the least distance between two parts, and by the
part sensor; then nobody knows what lies on the belt, and everything on it is rejected until it has run past the gate.

Whoever calls gives the belt's position in steps (`parts.py`), which may stand, run backwards and change its speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from edge_inspect.datatypes import Verdict
from edge_inspect.gate.parts import Fate, Geometry, Part, Tally, Why

LAST_ACQUISITION = 65_535
REMEMBERED = 256
"""Acquisitions of which is remembered that they have passed the gate: a verdict for one of them is late, for any other a riddle."""
FATES_KEPT = 10_000
"""Fates kept for whoever writes them down; more are forgotten oldest first (the tally keeps counting)."""
START = "the station has started, and what lies on the belt was triggered before"


class Tracker:
    """The belt between one camera and one gate. At the start what lies on it is unknown.

    Args:
        geometry: where things lie along it.
        position: of the belt now [steps].
        now_ns: monotonic clock [ns].
        length: a number of steps as a person reads it.

    Attributes:
        tally: what has happened so far.
        fates: what became of each part, oldest first; the caller takes them out.
        losses: why the belt was cleared, each time; likewise.
    """

    def __init__(self, geometry: Geometry, position: int, now_ns: int = 0, *, length: Callable[[int], str] = "{} steps".format) -> None:
        self._geometry = geometry
        self._length = length
        self._parts: list[Part] = []
        self._most = 2 * (geometry.distance // geometry.pitch + 2)  # more can only be triggers on a belt that stands
        self._furthest = position
        self._now_ns = now_ns
        self._on_until = position
        self._on_until_ns = now_ns
        self._was_on = False
        self._last_acquisition: int | None = None
        self._last_entered: int | None = None
        self._passed: deque[int] = deque(maxlen=REMEMBERED)
        self._unknown_from = position
        self._unknown_until: int | None = position + geometry.belt
        self._reason = START
        self.tally = Tally()
        self.fates: deque[Fate] = deque(maxlen=FATES_KEPT)
        self.losses: deque[str] = deque(maxlen=FATES_KEPT)

    # ---- what is shown ----

    @property
    def output(self) -> bool:
        """Whether the reject output is on now."""
        return self._unknown_until is not None or self._furthest < self._on_until or self._now_ns < self._on_until_ns

    @property
    def unknown(self) -> str:
        """Why everything on the belt is rejected now; "" while every part on it is known."""
        return "" if self._unknown_until is None else self._reason

    @property
    def starting(self) -> bool:
        """Whether it is unknown what lies on the belt for no other reason than the start."""
        return self.unknown == START

    @property
    def left(self) -> int:
        """How far the belt must run until every part on it is known again [steps]."""
        return 0 if self._unknown_until is None else max(0, self._unknown_until - self._furthest)

    @property
    def waiting(self) -> int:
        """Parts on their way to the gate."""
        return len(self._parts)

    def due(self, ahead: int = 0) -> int | None:
        """The next position at which something changes by itself; None where nothing will [steps].

        Args:
            ahead: as for `advance`.
        """
        marks = [self._on_until, self._unknown_until]
        for part in self._parts:
            marks.append(part.gate_at if part.rejected is not None else part.gate_at - self._geometry.lead - ahead)
            marks.append(self._missing_at(part))
        return min((mark for mark in marks if mark is not None and mark > self._furthest), default=None)

    @property
    def due_ns(self) -> int | None:
        """When something changes by the clock alone (monotonic) [ns]; None where nothing will."""
        return self._on_until_ns if self._on_until_ns > self._now_ns else None

    # ---- what happens ----

    def trigger(self, acquisition: int, position: int) -> None:
        """A part was triggered when the belt was at `position`."""
        self._check_count(acquisition)
        self._check_pitch(acquisition, position)
        part = Part(acquisition=acquisition, entered=position, gate_at=position + self._geometry.distance)
        if self._unknown_until is not None and position <= self._unknown_from:
            part.doubtful = True
        self._parts = [*self._parts[-self._most :], part]
        self._in_order()
        if part.gate_at - self._geometry.lead < self._furthest:
            self.lose(
                f"trigger {acquisition} was heard of {self._length(self._furthest - position)} late, with its part at the gate already"
            )

    def verdict(self, acquisition: int, verdict: Verdict) -> None:
        """The one verdict of a part."""
        part = next((part for part in self._parts if part.acquisition == acquisition), None)
        if part is None:
            self._verdict_of_nobody(acquisition)
        elif part.verdict is not None:
            self.lose(f"two verdicts came for acquisition {acquisition}")
        elif part.rejected is not None:
            self.tally.late += 1
        else:
            part.verdict = verdict

    def sensed(self, position: int) -> None:
        """The part sensor saw the front of a part when the belt was at `position`; it is known exactly from here on."""
        geometry = self._geometry
        assert geometry.sensor is not None
        gate_at = position + geometry.distance - geometry.sensor
        part = next((part for part in self._parts if self._may_be(part, position)), None)
        if part is not None:
            part.sensed, part.gate_at = True, gate_at
        else:
            self._parts.append(Part(acquisition=0, entered=position - geometry.sensor, gate_at=gate_at, doubtful=True, sensed=True))
            if self._unknown_until is None or position - geometry.sensor > self._unknown_from + geometry.window:
                self.lose("a part came to the sensor that no trigger had announced there")
        self._in_order()

    def lose(self, reason: str) -> None:
        """From now on nobody knows what lies on the belt: everything that lies on it now is rejected."""
        if self._unknown_until is None or self.starting:
            self._reason = reason  # what comes while the belt is cleared mostly follows from what came first
        self._unknown_from = self._furthest
        self._unknown_until = self._furthest + self._geometry.belt
        self.tally.cleared += 1
        self.losses.append(reason)
        for part in self._parts:
            part.doubtful = True

    def advance(self, position: int, now_ns: int, ahead: int = 0) -> bool:
        """The belt is at `position`; whether the reject output is on now.

        Args:
            position: of the belt [steps].
            now_ns: monotonic clock [ns].
            ahead: how far the belt runs while the gate's mechanics move; parts are given their pulse so much earlier [steps].
        """
        self._now_ns = max(self._now_ns, now_ns)
        self._furthest = max(self._furthest, position)
        if position < self._furthest - self._geometry.reverse:
            self._ran_backwards(self._furthest - position)
        self._look_for_missing()
        self._decide(self._furthest + ahead)
        self._pass_by()
        if self._unknown_until is not None and self._furthest >= self._unknown_until:
            self._unknown_until = None
        self._hold_least()
        return self.output

    # ---- can this be so? ----

    def _check_count(self, acquisition: int) -> None:
        last, self._last_acquisition = self._last_acquisition, acquisition
        if last is None:
            return
        expected = last % LAST_ACQUISITION + 1
        if acquisition != expected:
            self.lose(f"acquisition {acquisition} was triggered where {expected} was next: a trigger was lost, or came twice")

    def _check_pitch(self, acquisition: int, position: int) -> None:
        last, self._last_entered = self._last_entered, position
        if last is not None and abs(position - last) < self._geometry.pitch:
            self.lose(
                f"acquisition {acquisition} was triggered {self._length(abs(position - last))} after the part before it, parts are "
                f"{self._length(self._geometry.pitch)} apart at least: the trigger bounces, or the encoder does not turn"
            )

    def _verdict_of_nobody(self, acquisition: int) -> None:
        if acquisition in self._passed:
            self.tally.late += 1
        else:
            self.lose(f"a verdict came for acquisition {acquisition}, whose trigger was never heard")

    def _ran_backwards(self, steps: int) -> None:
        if self._unknown_until != self._furthest + self._geometry.belt:  # once for one way back
            self.lose(f"the belt ran backwards by {self._length(steps)}")

    def _look_for_missing(self) -> None:
        for part in self._parts:
            missing_at = self._missing_at(part)
            if missing_at is not None and missing_at <= self._furthest:
                self.lose(f"part {part.acquisition} did not come to the sensor: it was taken off, or its trigger was none")
                return

    def _missing_at(self, part: Part) -> int | None:
        """From where on the sensor should have seen it; None for one that was seen, or that nobody waits for [steps]."""
        sensor = self._geometry.sensor
        return None if sensor is None or part.sensed or part.doubtful else part.entered + sensor + self._geometry.window + 1

    def _may_be(self, part: Part, position: int) -> bool:
        sensor = self._geometry.sensor or 0
        return not part.sensed and abs(part.entered + sensor - position) <= self._geometry.window

    # ---- the gate ----

    def _decide(self, reach: int) -> None:
        """Parts whose output must begin by now. One that is let pass and becomes doubtful then is in the output that everything gets."""
        for part in self._parts:
            if part.rejected is None and part.gate_at - self._geometry.lead <= reach:
                part.rejected = part.to_reject
                if part.rejected:
                    self._fire(part)

    def _fire(self, part: Part) -> None:
        """The output of one part; pulses that overlap are one. It slips where the output was off until half the pulse was over."""
        begin, pulse = part.gate_at - self._geometry.lead, self._geometry.pulse
        part.slipped = not self._was_on and self._furthest > max(part.gate_at, begin + pulse // 2)
        self._on_until = max(self._on_until, pulse + (self._furthest if part.slipped else begin))

    def _pass_by(self) -> None:
        for part in [part for part in self._parts if part.gate_at <= self._furthest]:
            self._parts.remove(part)
            self._passed.append(part.acquisition)
            self._note(part)

    def _note(self, part: Part) -> None:
        on = self._was_on if part.gate_at < self._furthest else self.output
        rejected = not part.slipped and (bool(part.rejected) or on)
        why = self._why(part, rejected=rejected)
        tally, name = self.tally, _TALLIED[why]
        if why is Why.VERDICT and not rejected:
            name = "passed"
        setattr(tally, name, getattr(tally, name) + 1)
        text = f"{why.value}: {self._reason}" if why is Why.UNKNOWN else why.value
        self.fates.append(Fate(acquisition=part.acquisition, verdict=part.verdict, rejected=rejected, why=why, text=text))

    def _why(self, part: Part, *, rejected: bool) -> Why:
        if part.slipped:
            return Why.SLIPPED
        if part.verdict is not None and part.verdict is not Verdict.OK:
            return Why.VERDICT
        if part.doubtful or (rejected and self._unknown_until is not None):
            return Why.UNKNOWN
        if part.verdict is None:
            return Why.NO_VERDICT
        return Why.NEIGHBOUR if rejected else Why.VERDICT

    def _hold_least(self) -> None:
        if self.output and not self._was_on:
            self._on_until_ns = self._now_ns + self._geometry.least_on_ns
        self._was_on = self.output

    def _in_order(self) -> None:
        self._parts.sort(key=lambda part: part.gate_at)


_TALLIED = {
    Why.VERDICT: "rejected",
    Why.NO_VERDICT: "no_verdict",
    Why.UNKNOWN: "unknown",
    Why.NEIGHBOUR: "neighbour",
    Why.SLIPPED: "slipped",
}
