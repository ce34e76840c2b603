"""What a PLC notes of each result, and what it counts over a run. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.datatypes import Verdict
from edge_inspect.plc.handshake import LAST_ACQUISITION
from edge_inspect.plc.signals import RESULT_CODE, Trouble

VERDICT_OF_CODE = {code: verdict for verdict, code in RESULT_CODE.items()}
Values = dict[str, int | float]
"""A status block by the names of the register map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One result as the PLC read it.

    Attributes:
        acquisition: the acquisition it belongs to.
        code: 1 OK, 2 NG, 3 FAULT.
        fault: why it is FAULT.
        score: anomaly score, not a number where the part was not inspected.
        threshold: what the score was held against, likewise.
        region_count: number of defect regions.
        box: left, top, right, bottom of the worst one [frame px].
        sequence: the station's count of the inspection, 0 where the wire said FAULT by itself.
        latency_s: from writing the trigger until the result was read [s].
    """

    acquisition: int
    code: int
    fault: Trouble
    score: float
    threshold: float
    region_count: int
    box: tuple[int, int, int, int]
    sequence: int
    latency_s: float

    @property
    def verdict(self) -> Verdict:
        """The result code in words."""
        return VERDICT_OF_CODE[self.code]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a PLC counted.

    Attributes:
        cycles: parts it wanted to have inspected.
        triggers: triggers it wanted to give, the wrong ones included.
        ok, ng, fault: results by code.
        lost: triggers without a result.
        doubled: results that came a second time.
        unasked: results for acquisitions it had not triggered.
        overrun: results that the station says it threw away, since this PLC connected.
        latency_ms: p50, p95 and p99 from trigger to result [ms]; None without a result.
        swapped: results that are not those of their part; None where nobody knows what they should be.
        repeated: copies of a result that the wire may deliver more than once; None where it may not.
        recovered_s: longest time from the death of the station until it had given a result again [s]; None where it did not die.
        refused: triggers that the station refused to take, and that are none; None on a wire that counts each as missed instead.
    """

    cycles: int
    triggers: int
    ok: int
    ng: int
    fault: int
    lost: int
    doubled: int
    unasked: int
    overrun: int
    latency_ms: dict[str, float] | None
    swapped: int | None = None
    recovered_s: float | None = None
    repeated: int | None = None
    refused: int | None = None

    @property
    def clean(self) -> bool:
        """Whether each trigger got exactly one result, and its own."""
        return not (self.lost or self.doubled or self.swapped)


def answer_from_status(status: Values, latency_s: float) -> Answer:
    """The result shown in a status block, and how long it took [s]."""
    left, top, right, bottom = (int(status[f"box_{edge}"]) for edge in ("left", "top", "right", "bottom"))
    return Answer(
        acquisition=int(status["inspection_id"]),
        code=int(status["result_code"]),
        fault=Trouble(int(status["fault_code"])),
        score=status["score"],
        threshold=status["threshold"],
        region_count=int(status["region_count"]),
        box=(left, top, right, bottom),
        sequence=int(status["sequence"]),
        latency_s=latency_s,
    )


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """The 50th, 95th and 99th percentile; None without a value."""
    if not values:
        return None
    return {f"p{share}": float(np.percentile(values, share)) for share in (50, 95, 99)}


def acquisitions_between(before: int, newest: int) -> Sequence[int]:
    """The acquisitions counted after `before` up to `newest`; the count goes from 65535 on to 1, and 0 is none yet."""
    return [(before + step - 1) % LAST_ACQUISITION + 1 for step in range(1, (newest - before) % LAST_ACQUISITION + 1)]


def counted_on(acquisitions: Sequence[int]) -> Sequence[int]:
    """The same acquisitions counted on beyond 65535: neighbours are taken for less than half a round apart."""
    counted: list[int] = []
    for acquisition in acquisitions:
        before = counted[-1] if counted else acquisition
        half = LAST_ACQUISITION // 2
        counted.append(before + (acquisition - before + half) % LAST_ACQUISITION - half)
    return counted
