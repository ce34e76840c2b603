"""One inspection for one trigger: from a finding, or as the FAULT it is when there is none."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from edge_inspect.datatypes import Evidence, Frame, Inspection, Latency, PlcRequest, Verdict
from edge_inspect.inspector import Finding, Inspector

OUT_OF_MEMORY = "this machine is out of memory; see what else runs on it (`systemctl status`, `top`)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One part to give a verdict for.

    Attributes:
        sequence: the station's count of it.
        acquisition: the PLC handshake's count, 0 where no PLC is wired.
        received_ns: when the part was triggered or exposed (monotonic clock) [ns].
        deadline_ns: when its verdict must stand (monotonic clock) [ns].
    """

    sequence: int
    acquisition: int
    received_ns: int
    deadline_ns: int

    @property
    def late_ms(self) -> float:
        """How long the deadline has passed [ms]; negative before it."""
        return (time.monotonic_ns() - self.deadline_ns) / 1e6


def trigger_from_request(request: PlcRequest, *, sequence: int) -> Trigger:
    """The trigger that the PLC gave."""
    return Trigger(sequence=sequence, acquisition=request.acquisition, received_ns=request.received_ns, deadline_ns=request.deadline_ns)


def fault(trigger: Trigger, inspector: Inspector, reason: str, *, part_id: str = "", taken_at: datetime | None = None) -> Inspection:
    """A part that was not inspected, and why."""
    return Inspection(
        sequence=trigger.sequence,
        acquisition=trigger.acquisition,
        part_id=part_id,
        taken_at=taken_at or datetime.now(timezone.utc),
        verdict=Verdict.FAULT,
        reason=f"not inspected: {reason}",
        score=None,
        threshold=None,
        regions=(),
        recipe=inspector.recipe.part,
        engine_sha256=inspector.model.engine_sha256,
        calibration_id=inspector.calibration_id,
        recipe_sha256=inspector.recipe_sha256,
        latency=Latency(wait=max(0, time.monotonic_ns() - trigger.received_ns)),
    )


def inspection_from_finding(finding: Finding, frame: Frame, trigger: Trigger, inspector: Inspector) -> Inspection:
    """A part that was inspected; too late, if its deadline has passed by now."""
    inspection = Inspection(
        sequence=trigger.sequence,
        acquisition=trigger.acquisition,
        part_id=frame.part_id,
        taken_at=frame.taken_at,
        verdict=finding.verdict,
        reason=finding.reason,
        score=finding.score,
        threshold=inspector.limits.image_threshold,
        regions=finding.regions,
        recipe=inspector.recipe.part,
        engine_sha256=inspector.model.engine_sha256,
        calibration_id=inspector.calibration_id,
        recipe_sha256=inspector.recipe_sha256,
        latency=finding.latency,
        evidence=Evidence(frame=frame, score_map=finding.scores.map, placement=finding.placement),
    )
    return too_late(inspection, trigger) if trigger.late_ms > 0 else inspection


def too_late(inspection: Inspection, trigger: Trigger) -> Inspection:
    """A verdict that came too late counts as none; what it would have been stays in the reason. A FAULT stays as it is."""
    if inspection.verdict is Verdict.FAULT:
        return inspection
    reason = f"too late by {trigger.late_ms:.0f} ms; it would have been {inspection.verdict.value}: {inspection.reason}"
    return replace(inspection, verdict=Verdict.FAULT, reason=reason, score=None, threshold=None, regions=())
