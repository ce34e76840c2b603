"""How results become levels of a few lines: as pulses, until they are acknowledged, or until the next part. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edge_inspect.datatypes import Verdict
from edge_inspect.plc.signals import Result, Status

Hold = Literal["pulse", "until-ack", "until-next"]
NOTHING = {"ok": False, "ng": False, "fault": False}
Levels = Mapping[str, bool]


class ResultLines:
    """Shows one result after the other.

    Args:
        hold: `pulse`: each for `pulse_ns`; `until-ack`: until the PLC acknowledges it; `until-next`: until the next part has begun
            or its result is there, and for `pulse_ns` at least.
        pulse_ns: how long [ns].
        gap_ns: all lines are off for so long between two results, that two pulses are never one [ns].
    """

    def __init__(self, hold: Hold, *, pulse_ns: int, gap_ns: int) -> None:
        self._hold = hold
        self._pulse_ns, self._gap_ns = pulse_ns, gap_ns
        self._shown: Result | None = None
        self._newest = 0
        self._change_ns = 0
        self._to_stand_ns = 0

    @property
    def levels(self) -> dict[str, bool]:
        """`ok`, `ng` (also for a FAULT: reject), `fault`."""
        if self._shown is None:
            return dict(NOTHING)
        verdict = self._shown.verdict
        return {"ok": verdict is Verdict.OK, "ng": verdict is not Verdict.OK, "fault": verdict is Verdict.FAULT}

    @property
    def valid(self) -> bool:
        """Whether a result is shown."""
        return self._shown is not None

    @property
    def due_ns(self) -> int:
        """When the next change by itself may be due [ns]; in the past where none is."""
        return self._change_ns

    def take(self, status: Status, now_ns: int) -> bool:
        """Show what is to be shown now; whether the result that was shown is to be acknowledged, since nobody else does."""
        if self._shown is not None:
            return self._end(status, now_ns)
        if status.results_valid and self._is_due(now_ns):
            self._shown, self._newest = status.result, status.acquisition_id
            self._change_ns, self._to_stand_ns = now_ns + self._pulse_ns, self._pulse_ns
        return False

    def stand(self, now_ns: int) -> None:
        """The levels are on the lines: a pulse or gap that began with them counts from here, so that none is shorter than asked for."""
        if self._to_stand_ns:
            self._change_ns, self._to_stand_ns = now_ns + self._to_stand_ns, 0

    def _end(self, status: Status, now_ns: int) -> bool:
        if not self._over(status, now_ns):
            return False
        self._shown = None
        self._change_ns, self._to_stand_ns = now_ns + self._gap_ns, self._gap_ns
        return self._hold != "until-ack"

    def _over(self, status: Status, now_ns: int) -> bool:
        if self._hold == "until-ack":
            return not status.results_valid or status.result is not self._shown
        if not self._is_due(now_ns):
            return False
        return self._hold == "pulse" or status.acquisition_id != self._newest or status.counters.waiting > 1

    def _is_due(self, now_ns: int) -> bool:
        """Whether the pulse or gap is over; never before its levels are on the lines, which a chip may refuse."""
        return not self._to_stand_ns and now_ns >= self._change_ns
