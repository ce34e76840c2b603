"""One picture before the accepted engine, as the line would take it: what goes wrong is that part's FAULT."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_inspect.cameras.pictures import hash_pixels, read_picture
from edge_inspect.datatypes import Frame, Verdict
from edge_inspect.errors import EdgeInspectError
from edge_inspect.inspector import Inspector


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the engine said of one picture.

    Attributes:
        verdict: OK, NG or FAULT.
        reason: one line for the operator.
        score: image score, engine units; None for a FAULT.
        sha256: of the pixels; "" where they could not be read.
    """

    verdict: Verdict
    reason: str
    score: float | None
    sha256: str


def show(inspector: Inspector, path: Path) -> Shown:
    """Inspect one picture file under the thresholds in force."""
    sha256 = ""
    try:
        pixels = read_picture(path)
        sha256 = hash_pixels(pixels)
        now = datetime.now(timezone.utc)
        found = inspector.inspect(
            Frame(pixels=pixels, sequence=0, exposed_ns=time.monotonic_ns(), taken_at=now, camera="folder", part_id=path.name)
        )
    except EdgeInspectError as error:
        return Shown(verdict=Verdict.FAULT, reason=str(error), score=None, sha256=sha256)
    return Shown(verdict=found.verdict, reason=found.reason, score=found.score, sha256=sha256)
