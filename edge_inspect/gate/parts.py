"""The words of part tracking: where camera, sensor and gate lie, a part on the belt, and what became of it. Values only.

The belt is measured in *steps*: counts of an encoder, or nanoseconds where the belt runs at one speed and a clock stands for it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edge_inspect.datatypes import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where things lie along the belt, counted from where a part is when it is triggered [steps].

    Attributes:
        distance: to the point where a part is rejected.
        pulse: length of the reject output for one part.
        lead: the output begins so much before the part is at the gate.
        pitch: least distance between the fronts of two parts; triggers closer than this are no two parts.
        reverse: backward movement that is play of the belt, and nothing more.
        sensor: to the part sensor before the gate; None without one.
        window: how far from where it is expected the sensor may see a part, to either side.
        least_on_ns: shortest time the output is on, whatever the belt does [ns].
    """

    distance: int
    pulse: int
    pitch: int
    lead: int = 0
    reverse: int = 0
    sensor: int | None = None
    window: int = 0
    least_on_ns: int = 0

    @property
    def belt(self) -> int:
        """What the belt must run until everything that lay between camera and gate has passed it [steps]."""
        return self.distance - self.lead + self.pulse + self.window + self.reverse


class Why(enum.Enum):
    """What decided over a part at the gate."""

    VERDICT = "its verdict"
    NO_VERDICT = "no verdict had come when it reached the gate"
    UNKNOWN = "what lay on the belt was unknown"
    NEIGHBOUR = "it was in the pulse of a neighbour"
    SLIPPED = "the output came too late"


@dataclass(slots=True, kw_only=True)
class Part:
    """One part between camera and gate.

    Attributes:
        acquisition: the handshake's count of it; 0 for one that only the sensor saw.
        entered: where the belt was when it was triggered [steps].
        gate_at: where the belt will be when it is at the gate [steps].
        verdict: None until one has come.
        doubtful: rejected whatever its verdict, because it may be another part.
        sensed: the part sensor saw it.
        rejected: what was decided; None until the output had to be.
        slipped: the output came too late for it.
    """

    acquisition: int
    entered: int
    gate_at: int
    verdict: Verdict | None = None
    doubtful: bool = False
    sensed: bool = False
    rejected: bool | None = None
    slipped: bool = False

    @property
    def to_reject(self) -> bool:
        """Only a part that is surely good passes."""
        return self.doubtful or self.verdict is not Verdict.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a part at the gate.

    Attributes:
        acquisition: the handshake's count of it; 0 for one that only the sensor saw.
        verdict: what was said of it in time; None where nothing was.
        rejected: whether the output was on as it passed.
        why: what decided.
        text: the same for a record, with what had happened.
    """

    acquisition: int
    verdict: Verdict | None
    rejected: bool
    why: Why
    text: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has happened at the gate since the start.

    Attributes:
        passed: parts let through.
        rejected: parts rejected because their verdict was NG or FAULT.
        no_verdict: parts rejected because no verdict had come.
        unknown: parts rejected because it was unknown what lay on the belt.
        neighbour: good parts that were in a neighbour's pulse.
        slipped: parts to be rejected for which the output came too late: look for them.
        late: verdicts that came when the gate had decided already.
        cleared: how often everything on the belt had to be rejected, the start not counted.
    """

    passed: int = 0
    rejected: int = 0
    no_verdict: int = 0
    unknown: int = 0
    neighbour: int = 0
    slipped: int = 0
    late: int = 0
    cleared: int = 0
