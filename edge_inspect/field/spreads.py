"""What is told of many durations: ranks, jitter, throughput, and the outliers, which are kept and shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Durations = npt.NDArray[np.float64]
"""Durations [ms], in the order they were measured."""

Spread = dict[str, float]
"""p50, p95, p99 and max of a duration [ms]."""

RANKS = {"p50": 50, "p95": 95, "p99": 99, "max": 100}

FAR_OUT = 3.0
"""An outlier lies so many interquartile ranges above the upper quartile. Source: Tukey 1977, Exploratory Data Analysis ("far out")."""

SHOWN = 10
"""Outliers listed, the worst first; all of them are counted and none is left out of a rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outliers:
    """Durations far above the others.

    Attributes:
        count: how many.
        above_ms: what lies above this is one [ms].
        worst: number of the measurement and duration [ms], the longest first, ten at most.
    """

    count: int
    above_ms: float
    worst: list[tuple[int, float]]


def spread(durations_ms: Durations) -> Spread:
    """p50, p95, p99 and max [ms]."""
    values = np.percentile(durations_ms, list(RANKS.values()))
    return {name: round(float(value), 4) for name, value in zip(RANKS, values, strict=True)}


def jitter_ms(durations_ms: Durations) -> float:
    """Mean difference from one duration to the next [ms]; 0 for a single one."""
    return round(float(np.abs(np.diff(durations_ms)).mean()), 4) if len(durations_ms) > 1 else 0.0


def per_second(durations_ms: Durations) -> float:
    """How many one after the other fit into a second."""
    total_ms = float(durations_ms.sum())
    return round(1e3 * len(durations_ms) / total_ms, 2) if total_ms else 0.0


def outliers(durations_ms: Durations) -> Outliers:
    """Find what is far out."""
    lower, upper = np.percentile(durations_ms, (25, 75))
    above_ms = float(upper + FAR_OUT * (upper - lower))
    numbers = np.flatnonzero(durations_ms > above_ms)
    worst = sorted(numbers.tolist(), key=lambda number: -durations_ms[number])[:SHOWN]
    return Outliers(
        count=len(numbers), above_ms=round(above_ms, 4), worst=[(number, round(float(durations_ms[number]), 4)) for number in worst]
    )
