"""Inspections of every kind that an output or a PLC wire meets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import numpy as np

from edge_inspect.datatypes import Evidence, Frame, Inspection, Latency, Placement, Region, Verdict


def sample_inspections() -> tuple[Inspection, ...]:
    """One inspection of each kind that an output meets: OK, NG with regions, FAULT with and without a frame."""
    return (
        _sample(1, Verdict.OK, "score 0.5, limit 1", score=0.5, evidence=_evidence()),
        _sample(2, Verdict.NG, "score 3.25, limit 1", score=3.25, regions=_regions(), evidence=_evidence()),
        _sample(3, Verdict.FAULT, "no frame within 1 s", score=None),
        _sample(4, Verdict.FAULT, "the score is not finite", score=None, evidence=_evidence()),
        _sample(5, Verdict.OK, "score 0, limit 1", score=0.0, part_id='Gehäuse "7/8", 左\n'),
        _sample(2**40, Verdict.NG, "score 1e+30, limit 1", score=1e30, regions=_regions()),
    )


def _sample(
    sequence: int,
    verdict: Verdict,
    reason: str,
    *,
    score: float | None,
    part_id: str = "",
    regions: Sequence[Region] = (),
    evidence: Evidence | None = None,
) -> Inspection:
    return Inspection(
        sequence=sequence,
        acquisition=sequence % 65_536,
        part_id=part_id,
        taken_at=datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=timezone.utc) + timedelta(seconds=sequence % 1000),
        verdict=verdict,
        reason=reason,
        score=score,
        threshold=None if score is None else 1.0,
        regions=tuple(regions),
        recipe="sample",
        engine_sha256="0" * 64,
        calibration_id="abcdef012345",
        latency=Latency(wait=1_000, place=2_000, infer=9_000_000, find=3_000, decide=4_000, emit=5_000),
        evidence=evidence,
    )


def _regions() -> tuple[Region, ...]:
    worst = Region(left=8, top=4, right=16, bottom=12, centre_x=11.5, centre_y=7.5, area_px=64.0, area_mm2=0.64, peak=3.25, mean=2.0)
    small = Region(left=0, top=0, right=1, bottom=1, centre_x=0.0, centre_y=0.0, area_px=1.0, area_mm2=None, peak=1.5, mean=1.5)
    return worst, small


def _evidence() -> Evidence:
    pixels = np.full((48, 64, 3), 128, np.uint8)
    pixels[4:12, 8:16] = 255
    pixels.setflags(write=False)
    score_map = np.zeros((12, 16), np.float32)
    score_map[1:3, 2:4] = 3.25
    taken_at = datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)
    frame = Frame(pixels=pixels, sequence=1, exposed_ns=time.monotonic_ns(), taken_at=taken_at, camera="sample")
    affine = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return Evidence(frame=frame, score_map=score_map, placement=Placement(affine=affine, width=64, height=48, channels=3))
