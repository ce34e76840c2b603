"""The text record of an inspection: one place that says which keys the log, the database and every reader share."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any, TypeAlias

from edge_inspect.datatypes import Inspection, Latency, Region, Verdict

Record: TypeAlias = dict[str, Any]
"""An inspection as JSON has it; the keys are those of `record_from_inspection`."""

STAGES = ("wait", "place", "infer", "find", "decide", "emit", "verdict")
"""Keys of `latency_ms`; `verdict` is the time from exposure until the verdict stood."""


def record_from_inspection(inspection: Inspection, *, station: str) -> Record:
    """Everything of an inspection but its evidence, in values that JSON has.

    The keys are stable:

    | key | value |
    |---|---|
    | `station` | name in the station file |
    | `sequence`, `acquisition` | counts of the station and of the PLC handshake, integers |
    | `part_id`, `recipe` | text |
    | `taken_at` | ISO 8601 in UTC with microseconds and `+00:00` |
    | `verdict`, `reason` | `OK`, `NG` or `FAULT`; one line |
    | `score`, `threshold` | engine units, as floating point numbers, or null |
    | `engine_sha256`, `calibration_id`, `recipe_sha256`, `software` | what decided, in which version of this program |
    | `latency_ms` | object with one number per stage [ms], rounded to 0.001: see `STAGES` |
    | `regions` | list, worst first, of objects with the fields of `Region` |

    JSON has no NaN and no infinity: such a number becomes null (the reason says that it was not finite). A text
    that is no Unicode, like the name of a file in an old encoding, has the odd bytes escaped with a backslash.

    Args:
        inspection: what is recorded.
        station: name of the station.
    """
    return {
        "station": _text(station),
        "sequence": int(inspection.sequence),
        "acquisition": int(inspection.acquisition),
        "part_id": _text(inspection.part_id),
        "taken_at": utc_text(inspection.taken_at),
        "verdict": inspection.verdict.value,
        "reason": _text(inspection.reason),
        "score": _number(inspection.score),
        "threshold": _number(inspection.threshold),
        "recipe": _text(inspection.recipe),
        "engine_sha256": inspection.engine_sha256,
        "calibration_id": inspection.calibration_id,
        "recipe_sha256": inspection.recipe_sha256,
        "software": inspection.software,
        "latency_ms": _milliseconds(inspection.latency),
        "regions": [_region(region) for region in inspection.regions],
    }


def inspection_from_record(record: Record) -> Inspection:
    """The inspection that a record was made from, without its evidence.

    Raises:
        KeyError, TypeError, ValueError: it is no record.
    """
    plain = (
        "sequence",
        "acquisition",
        "part_id",
        "reason",
        "score",
        "threshold",
        "recipe",
        "engine_sha256",
        "calibration_id",
        "recipe_sha256",
        "software",
    )
    spent = {stage: round(float(ms) * 1e6) for stage, ms in record["latency_ms"].items() if stage != "verdict"}
    return Inspection(
        **{key: record[key] for key in plain},
        taken_at=datetime.fromisoformat(record["taken_at"]),
        verdict=Verdict(record["verdict"]),
        regions=tuple(Region(**region) for region in record["regions"]),
        latency=Latency(**spent),
    )


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC; all of one length, so that they sort as text."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def _milliseconds(latency: Latency) -> dict[str, float]:
    return {stage: round(getattr(latency, stage) / 1e6, 3) for stage in STAGES}


def _region(region: Region) -> Record:
    return {
        "left": int(region.left),
        "top": int(region.top),
        "right": int(region.right),
        "bottom": int(region.bottom),
        "centre_x": _number(region.centre_x),
        "centre_y": _number(region.centre_y),
        "area_px": _number(region.area_px),
        "area_mm2": _number(region.area_mm2),
        "peak": _number(region.peak),
        "mean": _number(region.mean),
        "zone": _text(region.zone),
        "zone_number": int(region.zone_number),
    }


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _text(text: str) -> str:
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")
