"""The inspector at the pace of a line: parts come at fixed times whether the last verdict stands or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_inspect.datatypes import Frame
from edge_inspect.field.spreads import Spread, jitter_ms, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """How the line's pace was kept.

    Attributes:
        rate_per_s: parts a second.
        deadline_ms: from exposure to verdict [ms].
        parts: how many came.
        missed: how many verdicts stood only after the deadline.
        exposure_to_verdict_ms: waiting behind the part before is in it.
        wait_ms: from exposure until the inspection began.
        jitter_ms: mean difference of `exposure_to_verdict` from one part to the next [ms].
    """

    rate_per_s: float
    deadline_ms: float
    parts: int
    missed: int
    exposure_to_verdict_ms: Spread
    wait_ms: Spread
    jitter_ms: float


def at_intervals(count: int, interval_s: float) -> Iterator[int]:
    """Counts from 0, each when it is due, `interval_s` [s] after the one before or as soon as whoever asks comes back; never in a burst."""
    due = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic()) + interval_s
        yield number


def keep_pace(inspect: Callable[[Frame], object], frames: Sequence[Frame], count: int, *, rate_per_s: float, deadline_ms: float) -> Paced:
    """Inspect `count` frames, each exposed when it is due and inspected as soon as the one before is done.

    Args:
        inspect: from a frame to its verdict.
        frames: shown in turn.
        count: how many parts come.
        rate_per_s: parts a second.
        deadline_ms: a verdict that stands later has missed [ms].
    """
    started_ns, period_ns = time.monotonic_ns(), 1e9 / rate_per_s
    waits, verdicts = np.empty(count), np.empty(count)
    for number in range(count):
        exposed_ns = started_ns + round((number + 1) * period_ns)
        time.sleep(max(0.0, (exposed_ns - time.monotonic_ns()) / 1e9))
        waits[number] = time.monotonic_ns() - exposed_ns
        inspect(replace(frames[number % len(frames)], exposed_ns=exposed_ns))
        verdicts[number] = time.monotonic_ns() - exposed_ns
    return Paced(
        rate_per_s=rate_per_s,
        deadline_ms=deadline_ms,
        parts=count,
        missed=int((verdicts / 1e6 > deadline_ms).sum()),
        exposure_to_verdict_ms=spread(verdicts / 1e6),
        wait_ms=spread(waits / 1e6),
        jitter_ms=jitter_ms(verdicts / 1e6),
    )
