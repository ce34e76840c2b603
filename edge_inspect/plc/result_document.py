"""One result and one state as JSON, as they go over MQTT. The schemas are docs/schemas/mqtt-*.json. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from edge_inspect.datatypes import Inspection, Region
from edge_inspect.plc.signals import TROUBLE_MEANING, Result, Status
from edge_inspect.plc.states import machine_state

VERSION = 1
Document = dict[str, Any]


def result_document(result: Result, inspection: Inspection | None) -> Document:
    """What a subscriber is told of one part.

    Args:
        result: what the handshake says of it, FAULT at the deadline included.
        inspection: the station's own word; None where the wire said FAULT by itself.
    """
    verdict = "FAULT" if result.verdict is None else result.verdict.value
    document: Document = {
        "version": VERSION,
        "acquisition": result.acquisition,
        "sequence": result.sequence,
        "verdict": verdict,
        "pass": verdict == "OK",
        "fault": int(result.trouble),
        "reason": TROUBLE_MEANING[result.trouble] if inspection is None else inspection.reason,
        "score": _number(result.score),
        "threshold": _number(result.threshold),
        "regions": [],
        "published_at": _now(),
    }
    return document if inspection is None else document | _of_inspection(inspection)


def state_document(status: Status, *, online: bool = True) -> Document:
    """What a subscriber is told of the station; `online` is False in its last word and in its last will."""
    return {
        "version": VERSION,
        "online": online,
        "state": machine_state(status).value if online else "Preoperational",
        "job": status.current_job,
        "error": int(status.error_code),
        "notices": asdict(status.notices),
        "gate": {"reject": status.reject_gate, "clearing": status.gate_clearing},
        "published_at": _now(),
    }


def _of_inspection(inspection: Inspection) -> Document:
    return {
        "part_id": inspection.part_id,
        "taken_at": inspection.taken_at.isoformat(),
        "recipe": inspection.recipe,
        "engine_sha256": inspection.engine_sha256,
        "calibration_id": inspection.calibration_id,
        "verdict_ms": inspection.latency.verdict / 1e6,
        "regions": [_region(region) for region in inspection.regions],
    }


def _region(region: Region) -> Document:
    return {
        "box": [region.left, region.top, region.right, region.bottom],
        "area_px": region.area_px,
        "area_mm2": region.area_mm2,
        "peak": _number(region.peak),
        "zone": region.zone,
    }


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
