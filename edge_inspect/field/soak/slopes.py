"""How fast something grows over a run, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Series: TypeAlias = npt.NDArray[np.float64]

BINS = 120
"""Samples are brought together into so many medians at most: every pair of them is looked at."""
_Z_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Growth per hour with its 95 % interval; all NaN where there were too few samples."""

    per_hour: float
    lowest: float
    highest: float


def slope_per_hour(seconds: Series, values: Series) -> Slope:
    """The median of the slopes of all pairs of points, which a few odd points do not move.

    The interval is Kendall's, widened for samples that resemble their neighbours.

    Args:
        seconds: (n,) when [s], rising.
        values: (n,) what was measured; NaN was not.

    Source: Sen 1968, eq. 2.6 and section 5; the widening by (1 + r) / (1 - r) with the residuals' lag-1 correlation r: Bayley and
    Hammersley 1946.
    """
    there = np.isfinite(values)
    seconds, values = _medians(seconds[there], values[there])
    if len(values) < 8:
        return Slope(per_hour=math.nan, lowest=math.nan, highest=math.nan)
    first, second = np.triu_indices(len(values), k=1)
    slopes = np.sort((values[second] - values[first]) / (seconds[second] - seconds[first]))
    median = float(np.median(slopes))
    spread = _Z_95 * math.sqrt(_kendall_variance(len(values)) * _likeness(values - median * seconds))
    low, high = (len(slopes) - spread) / 2, (len(slopes) + spread) / 2
    lowest = slopes[max(0, math.floor(low))]
    highest = slopes[min(len(slopes) - 1, math.ceil(high))]
    return Slope(per_hour=3600 * median, lowest=3600 * float(lowest), highest=3600 * float(highest))


def _medians(seconds: Series, values: Series) -> tuple[Series, Series]:
    if len(values) <= BINS:
        return seconds, values
    pairs = zip(np.array_split(seconds, BINS), np.array_split(values, BINS), strict=True)
    middles = np.array([(np.median(when), np.median(what)) for when, what in pairs])
    return middles[:, 0], middles[:, 1]


def _kendall_variance(count: int) -> float:
    return count * (count - 1) * (2 * count + 5) / 18


def _likeness(residuals: Series) -> float:
    around = residuals - residuals.mean()
    total = float(np.sum(around**2))
    correlation = float(np.sum(around[1:] * around[:-1])) / total if total > 0 else 0.0
    kept = min(max(correlation, 0.0), 0.95)
    return (1 + kept) / (1 - kept)
