"""Rules that weigh good parts against labelled defective ones. A part is rejected when its score lies strictly above the threshold.

Where several thresholds are equally good the one in the middle of the widest gap is taken: the parts at hand do not say where in it
the next part's score will lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STEP = 0.01
"""Of the grid, as a part of the range of scores. An, Wu and Li's scores lie in [0, 1], where both are the same."""

LEAST_RECALL = 0.90

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """Thresholds (t,) and what each would do: defective parts rejected and good ones rejected, as shares (t,)."""

    thresholds: Numbers
    recall: Numbers
    false_rejects: Numbers
    precision: Numbers

    @property
    def f1(self) -> Numbers:
        """Harmonic mean of precision and recall (t,)."""
        return 2 * self.precision * self.recall / np.maximum(self.precision + self.recall, 1e-300)


def best_f1(good: Sequence[float], defective: Sequence[float], *, step: float = STEP) -> float:
    """The threshold of the highest F1 on a grid over the range of all scores.

    Raises:
        ValueError: one side is empty.

    Source: An, Wu and Li 2026, "F1-maximising grid search with step 0.01".
    """
    _refuse_one_sided(good, defective)
    low, high = min(*good, *defective), max(*good, *defective)
    grid = low + (high - low) * np.arange(0, 1 + step / 2, step)
    counted = count_at(grid, good, defective)
    return _middle_of_widest_run(grid, np.isclose(counted.f1, counted.f1.max(), rtol=0, atol=1e-12))


def youden(good: Sequence[float], defective: Sequence[float]) -> float:
    """The threshold of the largest sensitivity + specificity - 1.

    Raises:
        ValueError: one side is empty.

    Source: Youden 1950, Index for rating diagnostic tests; An, Wu and Li 2026.
    """
    _refuse_one_sided(good, defective)
    counted = count_at(candidates(good, defective), good, defective)
    index = counted.recall - counted.false_rejects
    return _in_widest_gap(counted, np.isclose(index, index.max(), rtol=0, atol=1e-12), good, defective)


def most_precise(good: Sequence[float], defective: Sequence[float], *, least_recall: float = LEAST_RECALL) -> float:
    """Of the thresholds that catch this share of the defective parts the most precise; of equals the one that catches most.

    Raises:
        ValueError: one side is empty.

    Source: An, Wu and Li 2026, "fixed operating point recall >= 0.90 with the highest precision".
    """
    _refuse_one_sided(good, defective)
    counted = count_at(candidates(good, defective), good, defective)
    allowed = counted.recall >= least_recall - 1e-12
    precise = allowed & np.isclose(counted.precision, counted.precision[allowed].max(), rtol=0, atol=1e-12)
    best = precise & np.isclose(counted.recall, counted.recall[precise].max(), rtol=0, atol=1e-12)
    return _in_widest_gap(counted, best, good, defective)


def candidates(good: Sequence[float], defective: Sequence[float]) -> Numbers:
    """One threshold for each way to part the scores: below all of them, and between each two that differ (u,)."""
    scores = np.unique(np.array([*good, *defective], np.float64))
    between = scores[:-1] + np.diff(scores) / 2
    between = np.where(between < scores[1:], between, scores[:-1])  # of two neighbours in float64 the lower one parts them
    return np.concatenate([[np.nextafter(scores[0], -np.inf)], between])


def count_at(thresholds: Numbers, good: Sequence[float], defective: Sequence[float]) -> Counted:
    """What each threshold (t,) would do."""
    caught, false_alarms = (len(side) - np.searchsorted(np.sort(np.asarray(side)), thresholds, side="right") for side in (defective, good))
    return Counted(
        thresholds=thresholds,
        recall=caught / len(defective),
        false_rejects=false_alarms / len(good),
        precision=caught / np.maximum(caught + false_alarms, 1),
    )


def _refuse_one_sided(good: Sequence[float], defective: Sequence[float]) -> None:
    if not (len(good) and len(defective)):
        raise ValueError(f"{len(good)} good and {len(defective)} defective scores; this rule weighs one against the other and needs both")


def _in_widest_gap(counted: Counted, best: npt.NDArray[np.bool_], good: Sequence[float], defective: Sequence[float]) -> float:
    scores = np.unique(np.array([*good, *defective], np.float64))
    gaps = np.concatenate([[0.0], np.diff(scores)])
    chosen = np.flatnonzero(best)
    return float(counted.thresholds[chosen[np.argmax(gaps[chosen])]])


def _middle_of_widest_run(grid: Numbers, best: npt.NDArray[np.bool_]) -> float:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], best, [False]])))
    starts, ends = edges[::2], edges[1::2]
    widest = int(np.argmax(ends - starts))
    return float(grid[(starts[widest] + ends[widest] - 1) // 2])
