"""The words of the PLC handshake: what the PLC says, what the station says, and one result. Values only, no behaviour.

Names and order follow the block of a Cognex In-Sight camera, so that a PLC program written for one needs a new address, not
a new sequence.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from edge_inspect.datatypes import Inspection, Notices, Verdict


class Trouble(enum.IntEnum):
    """Why a result is FAULT, and the error code shown until Clear Error."""

    NONE = 0
    LATE = 1
    MISSED = 2
    SUPERSEDED = 3
    STATION = 4
    JOB_FAILED = 5
    COMMAND_REFUSED = 6
    CHALLENGE = 7


TROUBLE_MEANING = {
    Trouble.NONE: "none",
    Trouble.LATE: "the verdict had not come at the deadline",
    Trouble.MISSED: "a trigger came while Trigger Ready was off",
    Trouble.SUPERSEDED: "the camera saw the next part before this one had a verdict",
    Trouble.STATION: "the station could not inspect the part; its record says why",
    Trouble.JOB_FAILED: "the job asked for does not run; the one before goes on",
    Trouble.COMMAND_REFUSED: "a command came while another was executing",
    Trouble.CHALLENGE: "golden parts are due: until they are shown the station is not ready; goes by itself when they have passed",
}


class OfflineReason(enum.IntEnum):
    """Why Online is off."""

    ONLINE = 0
    STATION = 1
    PLC = 2


RESULT_CODE = {Verdict.OK: 1, Verdict.NG: 2, Verdict.FAULT: 3}
"""Result code of each verdict; 0 is *no result to take*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Everything the PLC writes, as it stands after one write.

    Attributes:
        trigger_enable: triggers count; without it a trigger is ignored.
        trigger: its rising edge is one part.
        buffer_results_enable: results wait for their acknowledgement instead of replacing each other.
        results_ack: rising: the result was read; falling: the next may be shown.
        execute_command: its rising edge asks for `job`.
        set_offline: the PLC wants no inspection.
        clear_error: its rising edge clears error, error code, missed and overrun.
        job: the job asked for, 0 to 999.
    """

    trigger_enable: bool = False
    trigger: bool = False
    buffer_results_enable: bool = False
    results_ack: bool = False
    execute_command: bool = False
    set_offline: bool = False
    clear_error: bool = False
    job: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one acquisition, as the PLC reads it.

    Attributes:
        acquisition: the acquisition it belongs to, 1 to 65535; 0 for *no result yet*.
        verdict: OK, NG or FAULT; None for *no result yet*.
        trouble: why a FAULT is one.
        sequence: the station's own count of the inspection, 0 where the wire said FAULT by itself.
        score: image score, engine units; not a number where the part was not inspected.
        threshold: what the score was held against, likewise.
        region_count: number of defect regions.
        box: left, top, right, bottom of the worst region, half-open [frame px]; zeros without a region.
        zone: place in the recipe of the zone that region lies in, from 1; 0 outside of all.
    """

    acquisition: int = 0
    verdict: Verdict | None = None
    trouble: Trouble = Trouble.NONE
    sequence: int = 0
    score: float = float("nan")
    threshold: float = float("nan")
    region_count: int = 0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    zone: int = 0


def result_from_inspection(inspection: Inspection) -> Result:
    """What the PLC is told of an inspection."""
    worst = inspection.regions[0] if inspection.regions else None
    return Result(
        acquisition=inspection.acquisition,
        verdict=inspection.verdict,
        trouble=Trouble.STATION if inspection.verdict is Verdict.FAULT else Trouble.NONE,
        sequence=inspection.sequence,
        score=_or_nan(inspection.score),
        threshold=_or_nan(inspection.threshold),
        region_count=len(inspection.regions),
        box=(0, 0, 0, 0) if worst is None else (worst.left, worst.top, worst.right, worst.bottom),
        zone=0 if worst is None else worst.zone_number,
    )


def _or_nan(number: float | None) -> float:
    return float("nan") if number is None else number


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What has happened since the wire was opened. `triggers` = delivered + overrun + waiting + still open.

    Attributes:
        triggers: acquisitions counted, missed ones and parts seen by the camera included.
        delivered: results acknowledged by the PLC.
        overrun: results thrown away because the PLC had not acknowledged earlier ones.
        missed: triggers that came while the station was not ready.
        late: acquisitions the wire said FAULT for, because the verdict did not come in time.
        waiting: results not yet acknowledged.
    """

    triggers: int
    delivered: int
    overrun: int
    missed: int
    late: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything the station shows to the PLC at one instant.

    Attributes:
        trigger_ready: a trigger would be accepted now.
        trigger_ack: the trigger was accepted; until Trigger falls.
        missed_acquisition: a trigger was missed since the last accepted one.
        offline_reason: why `online` is off.
        online: the station is ready to work and the PLC has not set it offline.
        system_busy: an acquisition is open, the station is working on one, or a command is executing.
        inspection_completed: changes its level with every result made.
        results_buffer_overrun: the last result made threw away another one.
        results_valid: `result` waits for its acknowledgement.
        command_executing: a job change was asked for and is not finished.
        command_completed: the last job change was done.
        command_failed: the last job change was not done, or a command was refused.
        error: `error_code` is not 0.
        exposure_complete: the exposure of the newest accepted acquisition is over and the part may move.
        job_pass: the result shown is valid and OK.
        reject_gate: the reject gate's output is on.
        gate_clearing: the gate rejects everything, since it is unknown what lies on the belt.
        heartbeat: counts up once a second, wraps after 65535.
        current_job: the job that runs.
        error_code: the newest trouble since Clear Error.
        acquisition_id: the newest acquisition.
        result: the result shown; it stays readable after its acknowledgement.
        counters: what has happened so far.
        notices: what a person should look at.
    """

    trigger_ready: bool
    trigger_ack: bool
    missed_acquisition: bool
    offline_reason: OfflineReason
    online: bool
    system_busy: bool
    inspection_completed: bool
    results_buffer_overrun: bool
    results_valid: bool
    command_executing: bool
    command_completed: bool
    command_failed: bool
    error: bool
    exposure_complete: bool
    job_pass: bool
    reject_gate: bool
    gate_clearing: bool
    heartbeat: int
    current_job: int
    error_code: Trouble
    acquisition_id: int
    result: Result
    counters: Counters
    notices: Notices = field(default_factory=Notices)

    @property
    def result_code(self) -> int:
        """1 OK, 2 NG, 3 FAULT; 0 while no result is valid, so that a PLC that skips the handshake sees no stale OK."""
        verdict = self.result.verdict
        return RESULT_CODE[verdict] if self.results_valid and verdict is not None else 0
