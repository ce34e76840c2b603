"""Golden parts before anything is passed: may this station say OK now, and is it being shown golden parts?

Where the station file asks for a challenge, a part gets OK or NG only while a passed one counts that was made with exactly this engine,
recipe and calibration. While golden parts are shown, every part is inspected and the PLC is told FAULT: a part of the line that gets
among them is rejected, and none slips.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_inspect.challenges import CHALLENGE_FILE, Bound, Challenge, bound_to, read_challenges
from edge_inspect.challenges.record import boot_id, uptime_s
from edge_inspect.challenges.schedule import FUTURE_S, counts_until
from edge_inspect.challenges.showing import ASKED_FILE, Said, answer
from edge_inspect.config import ChallengeRule, Recipe
from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.inspector import Inspector
from edge_inspect.service.asked import Asked

LOOK_EVERY_S = 0.5

SHOWING = "golden parts are being shown; the PLC is told FAULT for every part"

DO = "show golden parts: edge-inspect challenge --station FILE --live, or without --live for the stored pictures"
DO_LIVE = "show golden parts: edge-inspect challenge --station FILE --live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether parts may pass.

    Attributes:
        due: why golden parts are asked for, and what to do; "" where they are not.
        showing: name of the challenge whose golden parts are being shown, "" where none is.
        until: until when the challenge that was passed counts; None where nothing is asked for or none was.
    """

    due: str = ""
    showing: str = ""
    until: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether a part may get its verdict."""
        return not (self.due or self.showing)


class ChallengeGate:
    """Looks at the station's challenges, between two parts."""

    def __init__(self, rule: ChallengeRule | None, data: Path, *, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        """Keep the gate of the station that has this data folder; without a rule it only closes while golden parts are shown."""
        self.gate = Gate()
        self._rule = rule
        self._data = data
        self._now = now
        self._looked_s = 0.0
        self._asked = Asked(data / ASKED_FILE)
        self._read: tuple[tuple[int, int, int], tuple[Challenge, ...]] | None = None
        self._bound: tuple[Recipe, str, Bound] | None = None

    def look(self, inspector: Inspector, *, at_once: bool = False) -> Gate:
        """What the gate should be now; it is looked at twice a second at most, at once where another engine or threshold serves."""
        now_s = time.monotonic()
        if not at_once and now_s - self._looked_s < LOOK_EVERY_S:
            return self.gate
        self._looked_s = now_s
        due, until = ("", None) if self._rule is None else self._due(self._rule, inspector)
        return Gate(due=due, showing=self._asked.now().get("asked", ""), until=until)

    def told(self, inspection: Inspection) -> Inspection:
        """What may be said of a part: the inspection itself while the gate is open, else its FAULT."""
        return inspection if self.gate.open else _withheld(inspection, self.gate)

    def answer(self, inspection: Inspection, inspector: Inspector) -> None:
        """Tell whoever shows golden parts what the engine said of this one; nothing where none are shown.

        Raises:
            OutputError: it cannot be written.
        """
        if not self.gate.showing:
            return
        said = Said(
            asked=self.gate.showing,
            sequence=inspection.sequence,
            part_id=inspection.part_id,
            verdict=inspection.verdict,
            reason=inspection.reason,
            score=inspection.score,
            bound=self._bound_to(inspector),
        )
        answer(self._data, said)

    def _due(self, rule: ChallengeRule, inspector: Inspector) -> tuple[str, datetime | None]:
        do = DO_LIVE if rule.live else DO
        try:
            kept = self._challenges()
        except ConfigError as error:
            return f"{error}; {do}", None
        bound = self._bound_to(inspector)
        alike = [one for one in kept if one.bound == bound and (one.how == "live parts" or not rule.live)]
        if not alike:
            return f"{_none_of_this(kept, bound)}; {do}", None
        return self._of_the_last(rule, alike[-1], do)

    def _of_the_last(self, rule: ChallengeRule, last: Challenge, do: str) -> tuple[str, datetime | None]:
        if not last.passed:
            wrong = last.wrong[0]
            said = f"the last challenge failed: {wrong.name} was {wrong.verdict.value}, expected {wrong.expected.value}"
            return f"{said}; find out why, then {do}", None
        now = self._now()
        age_s = last.age_s(now, boot=boot_id(), uptime_s=uptime_s())
        if age_s < -FUTURE_S:
            return f"by this machine's clock the last challenge was made in the future: set the clock, or {do}", None
        until = counts_until(rule, now - timedelta(seconds=age_s))
        if now >= until:
            return f"the last challenge counted until {until.astimezone():%Y-%m-%d %H:%M}; {do}", None
        return "", until

    def _challenges(self) -> tuple[Challenge, ...]:
        """Read again only where another file stands there: a station looks twice a second."""
        path = self._data / CHALLENGE_FILE
        state = _state_of(path)
        if self._read is None or self._read[0] != state:
            self._read = None
            self._read = state, read_challenges(path)
        return self._read[1]

    def _bound_to(self, inspector: Inspector) -> Bound:
        """Hashes are taken once for each engine and calibration."""
        recipe, calibration_id = inspector.recipe, inspector.calibration_id
        if self._bound is None or self._bound[0] is not recipe or self._bound[1] != calibration_id:
            found = bound_to(inspector.binding, recipe, recipe_sha256=inspector.thresholds.recipe_sha256)
            self._bound = recipe, calibration_id, found
        return self._bound[2]


def _withheld(inspection: Inspection, gate: Gate) -> Inspection:
    """The part's FAULT; what the engine said stays in the reason."""
    if inspection.verdict is Verdict.FAULT:
        return inspection
    why = "golden parts are being shown" if gate.showing else f"golden parts are due: {gate.due}"
    reason = f"not judged: {why}; it would have been {inspection.verdict.value}: {inspection.reason}"
    return replace(inspection, verdict=Verdict.FAULT, reason=reason, score=None, threshold=None, regions=())


def _none_of_this(kept: tuple[Challenge, ...], bound: Bound) -> str:
    if not kept:
        return "no challenge has been made here"
    last, new = kept[-1].bound.engine, bound.engine
    if last.calibration_id != new.calibration_id:
        return f"the thresholds are others ({new.calibration_id}) than at the last challenge ({last.calibration_id})"
    return "engine, device, recipe or the way of showing is another than at the last challenge"


def _state_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size
