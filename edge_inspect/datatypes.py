"""The vocabulary: values that travel along the line. Frozen, slotted, keyword-only; units in the name or in brackets."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_inspect import __version__

UInt8Image: TypeAlias = npt.NDArray[np.uint8]
"""Pixels (H, W, C) uint8."""

ScoreMap: TypeAlias = npt.NDArray[np.float32]
"""Anomaly score per map cell (h, w) float32, engine units."""

CellMask: TypeAlias = npt.NDArray[np.bool_]
"""True where a map cell is searched for defects (h, w) bool."""

ZoneCells: TypeAlias = npt.NDArray[np.uint8]
"""Number of the recipe's zone that a map cell lies in, from 1 (h, w) uint8; 0 outside of all."""

Affine: TypeAlias = npt.NDArray[np.float64]
"""A 2x3 affine (2, 3) float64; points are pixel centres, so the top left pixel's centre is (0, 0)."""


class Verdict(enum.Enum):
    """What is said about a part. FAULT means *not inspected* and leaves the station as reject."""

    OK = "OK"
    NG = "NG"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One exposure.

    Attributes:
        pixels: (H, W, C) uint8, C is 1 or 3 (RGB), read-only.
        sequence: the camera's own count; a gap is a lost exposure.
        exposed_ns: monotonic clock at exposure [ns]; every latency starts here.
        taken_at: wall clock in UTC, for records only.
        camera: the camera's name in the station file.
        part_id: the part's name where the camera knows it (a file name, a scanned code), else "".
    """

    pixels: UInt8Image
    sequence: int
    exposed_ns: int
    taken_at: datetime
    camera: str
    part_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """Where the network's image lies in the frame. The only place where coordinates change.

    Attributes:
        affine: (2, 3) float64, network pixel centre to frame pixel centre.
        width: network image width [px].
        height: network image height [px].
        channels: network image channels, 1 or 3.
    """

    affine: Affine
    width: int
    height: int
    channels: int

    def cell_affine(self, map_width: int, map_height: int) -> Affine:
        """From the centres of a score map's cells to frame pixel centres, (2, 3) float64; the map covers the image evenly."""
        step_x, step_y = self.width / map_width, self.height / map_height
        cell_to_network = np.array([[step_x, 0, step_x / 2 - 0.5], [0, step_y, step_y / 2 - 0.5], [0, 0, 1]])
        cell_to_frame: Affine = self.affine @ cell_to_network
        return cell_to_frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What an engine says of one placed frame.

    Attributes:
        map: (h, w) float32, finite, engine units; never rescaled, never clamped.
        image: the engine's own image score, or None where the engine has only a map.
    """

    map: ScoreMap
    image: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A connected part of the score map above the pixel threshold, in frame coordinates.

    Attributes:
        left, top, right, bottom: half-open box [frame px].
        centre_x, centre_y: centroid of its cells [frame px].
        area_px: area [frame px].
        area_mm2: area [mm2] where the recipe has `mm_per_px`, else None.
        peak: highest score in it, engine units.
        mean: mean score in it, engine units.
        zone: name of the recipe's zone that most of its cells lie in, "" outside of all.
        zone_number: place of that zone in the recipe, from 1; 0 outside of all.
    """

    left: int
    top: int
    right: int
    bottom: int
    centre_x: float
    centre_y: float
    area_px: float
    area_mm2: float | None
    peak: float
    mean: float
    zone: str = ""
    zone_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """What a station tells its PLC beside results; none of it is a verdict.

    Attributes:
        check_light: light, sharpness or place of the picture are not as at the calibration.
        recalibrate: scores of accepted parts have moved away from those of the calibration.
        challenge_due: golden parts are asked for; until they have had their verdicts, no part gets OK.
        challenge_running: golden parts are being shown; each part is inspected, and the PLC is told FAULT.
    """

    check_light: bool = False
    recalibrate: bool = False
    challenge_due: bool = False
    challenge_running: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Time spent on one part, by stage [ns]. `wait` is from exposure to the start of `place`; `emit` is the PLC's."""

    wait: int = 0
    place: int = 0
    infer: int = 0
    find: int = 0
    decide: int = 0
    emit: int = 0

    @property
    def verdict(self) -> int:
        """From exposure until the verdict stands [ns]."""
        return self.wait + self.place + self.infer + self.find + self.decide


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a picture of the verdict is drawn from. Never part of a text record."""

    frame: Frame
    score_map: ScoreMap
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One verdict for one trigger: the unit of every record.

    Attributes:
        sequence: the station's own count; never repeats or goes back.
        acquisition: the count of the PLC handshake, 0 where no PLC is wired.
        part_id: the part's name, "" where nobody gave one.
        taken_at: when the part was exposed or triggered, UTC.
        verdict: OK, NG or FAULT.
        reason: one line for the operator.
        score: image score, engine units; None for a part that was not inspected.
        threshold: the image threshold it was held against; None likewise.
        regions: defect regions, worst first.
        recipe: name of the part in the recipe.
        engine_sha256: hash of the engine's model file, "" if none was open.
        calibration_id: id of the thresholds used, "" if none.
        recipe_sha256: hash of the whole recipe (`Recipe.whole_sha256`), "" if none.
        software: version of the program that decided, which is not always the one that records it: a crash may lie between.
        latency: where the time went.
        evidence: frame, map and placement for pictures; None for a part without a frame.
    """

    sequence: int
    acquisition: int
    part_id: str
    taken_at: datetime
    verdict: Verdict
    reason: str
    score: float | None
    threshold: float | None
    regions: tuple[Region, ...]
    recipe: str
    engine_sha256: str
    calibration_id: str
    latency: Latency
    recipe_sha256: str = ""
    software: str = __version__
    evidence: Evidence | None = field(default=None, repr=False, compare=False)


class RequestKind(enum.Enum):
    """What a PLC can ask of the station."""

    TRIGGER = "trigger"
    MISSED = "missed trigger"
    JOB_CHANGE = "job change"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlcRequest:
    """Something the PLC asked for.

    Attributes:
        kind: trigger; a trigger that came while the station was not ready, for which the wire has said FAULT already and
            the station only records it; job change; or reset of the error.
        received_ns: monotonic clock when the wire saw it [ns].
        acquisition: for a trigger, the handshake's count of it.
        deadline_ns: for a trigger, when the wire says FAULT by itself (monotonic clock) [ns].
        job: for a job change, the job asked for.
    """

    kind: RequestKind
    received_ns: int
    acquisition: int = 0
    deadline_ns: int = 0
    job: int = 0


class Deed(enum.Enum):
    """What the audit record knows of: everything by which somebody may change what the station says of a part, and routine traffic not."""

    STATION = "station"
    SERVING = "serving"
    JOB = "job change"
    ONLINE = "online"
    TRIGGER_ENABLE = "trigger enable"
    RESULTS_BUFFER = "results buffer"
    SOFT_RESET = "soft reset"
    REBIRTH = "rebirth"
    THRESHOLDS = "thresholds"
    RELOAD = "reload"
    CHALLENGE = "challenge"
    GUARD = "guard"
    CONNECTION = "connection"
    REQUEST = "request"
    RECORD = "audit record"


class Outcome(enum.Enum):
    """What became of it."""

    WANTED = "wanted"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a wire.

    Attributes:
        address: where from, as `10.0.0.7` or `broker.plant:8883`.
        user: account or certificate, where the wire knows one, else "".
    """

    address: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One control action for the audit record.

    Attributes:
        deed: what was done or wanted.
        outcome: what became of it.
        by: peer and user; a login for what is done on the machine itself.
        wire: the wire it came by, "" for the machine itself.
        subject: what about, as `job 3` or `off`.
        reason: why, one sentence; "" where there is nothing to say.
    """

    deed: Deed
    outcome: Outcome
    by: Peer = Peer()
    wire: str = ""
    subject: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateShown:
    """What a reject gate shows.

    Attributes:
        reject: its output is on.
        clearing: everything is rejected, since it is unknown what lies on the belt.
    """

    reject: bool = False
    clearing: bool = False


Options: TypeAlias = Mapping[str, Any]
"""Options of a plugin as they stand in the file."""
