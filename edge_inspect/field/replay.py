"""Run a stored frame again: is the verdict the same, and if not, what has changed since?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_inspect.cameras.pictures import read_picture
from edge_inspect.config import Station, load_recipe, load_station
from edge_inspect.datatypes import Frame
from edge_inspect.errors import EdgeInspectError
from edge_inspect.field.archive import output_path
from edge_inspect.inspector import open_inspector
from edge_inspect.outputs.database import find_inspection
from edge_inspect.outputs.images import find_raw
from edge_inspect.station.gate_watch import fate_at_the_gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A stored inspection and what is said of the same frame now.

    Attributes:
        picture: the stored frame.
        then: the stored record.
        verdict, reason, score: what is found now; score in engine units.
        same: whether verdict and score are the same, to the last bit of float32.
        changed: what has changed since, in words: engine, thresholds.
        at_the_gate: what became of the part at the reject gate where that was not simply its verdict, else "".
    """

    picture: Path
    then: dict[str, Any]
    verdict: str
    reason: str
    score: float | None
    same: bool
    changed: tuple[str, ...]
    at_the_gate: str


def replay(station_file: Path, sequence: int) -> Replay:
    """Inspect the stored frame of one inspection again, with what the station would use today.

    Raises:
        EdgeInspectError: the station keeps no database or pictures, or this inspection's frame is not stored.
    """
    settings = load_station(station_file)
    base = station_file.resolve().parent
    then = _record(output_path(settings, base, "database"), sequence)
    picture = _picture(output_path(settings, base, "images"), sequence)
    frame = Frame(
        pixels=read_picture(picture),
        sequence=sequence,
        exposed_ns=time.monotonic_ns(),
        taken_at=datetime.fromisoformat(then["taken_at"]),
        camera=settings.camera.kind,
        part_id=then["part_id"],
    )
    with open_inspector(_recipe_of(settings, then), settings.runtime, base=base, public_key=settings.public_key) as inspector:
        finding = inspector.inspect(frame)
        identity = {
            "engine_sha256": inspector.model.engine_sha256,
            "calibration_id": inspector.calibration_id,
            "recipe_sha256": inspector.recipe_sha256,
        }
    return Replay(
        picture=picture,
        then=then,
        verdict=finding.verdict.value,
        reason=finding.reason,
        score=finding.score,
        same=(finding.verdict.value, finding.score) == (then["verdict"], then["score"]),
        at_the_gate=fate_at_the_gate(settings.data, sequence),
        changed=tuple(f"{key} was {then[key][:12]}, is {now[:12]}" for key, now in identity.items() if then[key] != now),
    )


def _record(database: Path, sequence: int) -> dict[str, Any]:
    record = find_inspection(database, sequence)
    if record is None:
        raise EdgeInspectError(f"{database}: holds no inspection {sequence}; `edge-inspect status` shows the last one")
    return record


def _picture(images: Path, sequence: int) -> Path:
    picture = find_raw(images, sequence)
    if picture is None:
        raise EdgeInspectError(f"{images}: holds no raw frame of inspection {sequence}; it was not kept (`keep`, `raw`) or has been pruned")
    return picture


def _recipe_of(settings: Station, then: dict[str, Any]) -> Path:
    """The recipe of the part that was inspected, among those of this station."""
    for recipe in (settings.recipe, *settings.jobs.values()):
        if load_recipe(recipe).part == then["recipe"]:
            return recipe
    raise EdgeInspectError(f"station {settings.name}: has no recipe for the part {then['recipe']!r} any more; add it to `jobs`")
