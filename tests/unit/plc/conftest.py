"""What the tests of the PLC share: inspections to emit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from edge_inspect.datatypes import Inspection, Latency, Region, Verdict


def inspection_of(acquisition: int, verdict: Verdict = Verdict.OK, *, regions: tuple[Region, ...] = ()) -> Inspection:
    inspected = verdict is not Verdict.FAULT
    return Inspection(
        sequence=100_000 + acquisition,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=verdict,
        reason="",
        score=1.5 if inspected else None,
        threshold=2.25 if inspected else None,
        regions=regions,
        recipe="cell",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )


@pytest.fixture(name="inspection_of")
def _inspection_of() -> Callable[..., Inspection]:
    return inspection_of


@pytest.fixture
def region() -> Region:
    return Region(left=10, top=20, right=30, bottom=40, centre_x=20.0, centre_y=30.0, area_px=400.0, area_mm2=None, peak=3.0, mean=2.5)
