"""How sure are the figures? 95 % bootstrap intervals: good and defective parts are drawn again, each from their own.

A picture, or a part with all its pictures, is drawn as one. All resamples are measured at once: a row of weights says how
often each picture was drawn in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_inspect.workshop.evaluation.outcomes import Flags, Numbers, Outcomes

CONFIDENCE = 0.95
RESAMPLES = 2000

Weights = npt.NDArray[np.float64]
"""How often each of n pictures was drawn in each of B resamples (B, n) float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a figure lies with 95 % confidence."""

    low: float
    high: float


def bootstrap(
    outcomes: Outcomes, parts: Sequence[str] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> Mapping[str, Interval]:
    """Percentile intervals of `image_auroc`, `image_ap`, `f1`, `recall` and `false_reject_rate`.

    A figure that needs scores is left out where good or defective parts have none. An interval of a share that is 0 or 1 in the
    sample has no width: it says nothing of rarer events.

    Args:
        outcomes: at least one good and one defective row.
        parts: the physical part of each row; None takes every picture for a part of its own.
        resamples: how often all parts are drawn again.
        seed: of the draws.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, sections 8.3 and 13.3.
    """
    weights = _drawn(outcomes.defective, parts, resamples, seed)
    figures = _verdict_figures(outcomes, weights)
    scored = np.isfinite(outcomes.scores)
    if scored[outcomes.defective].any() and scored[~outcomes.defective].any():
        figures |= _score_figures(outcomes.scored, weights[:, scored])
    return {name: _interval(values) for name, values in figures.items()}


def weighted_auroc(defective: Flags, scores: Numbers, weights: Weights) -> Numbers:
    """AUROC (B,) of each row of weights (B, n); ties count half. Not a number where one side was not drawn."""
    good, bad = _by_score(defective, scores, weights)
    below = np.cumsum(good, axis=1) - good / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((bad * below).sum(axis=1) / (good.sum(axis=1) * bad.sum(axis=1)))


def weighted_average_precision(defective: Flags, scores: Numbers, weights: Weights) -> Numbers:
    """Average precision (B,) of each row of weights (B, n): precision at each score, times the recall it adds."""
    good, bad = (side[:, ::-1] for side in _by_score(defective, scores, weights))
    caught, false_alarms = np.cumsum(bad, axis=1), np.cumsum(good, axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((bad * caught / np.maximum(caught + false_alarms, 1)).sum(axis=1) / bad.sum(axis=1))


def _drawn(defective: Flags, parts: Sequence[str] | None, resamples: int, seed: int) -> Weights:
    """Draw parts with replacement, as many good and as many defective ones as there are."""
    random = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(defective)))
    names = np.arange(len(defective)) if parts is None else np.asarray(parts)
    for side in (~defective, defective):
        _, part = np.unique(names[side], return_inverse=True)
        count = int(part.max()) + 1
        weights[:, side] = random.multinomial(count, np.full(count, 1 / count), size=resamples)[:, part]
    return weights


def _verdict_figures(outcomes: Outcomes, weights: Weights) -> dict[str, Numbers]:
    defective, rejected = outcomes.defective, outcomes.rejected
    caught, bad = weights[:, defective & rejected].sum(axis=1), weights[:, defective].sum(axis=1)
    false_alarms, good = weights[:, ~defective & rejected].sum(axis=1), weights[:, ~defective].sum(axis=1)
    return {"f1": 2 * caught / (caught + false_alarms + bad), "recall": caught / bad, "false_reject_rate": false_alarms / good}


def _score_figures(scored: Outcomes, weights: Weights) -> dict[str, Numbers]:
    return {
        "image_auroc": weighted_auroc(scored.defective, scored.scores, weights),
        "image_ap": weighted_average_precision(scored.defective, scored.scores, weights),
    }


def _by_score(defective: Flags, scores: Numbers, weights: Weights) -> tuple[Weights, Weights]:
    """Weights of good and of defective rows (B, u) at each different score, lowest first."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    good, bad = ((weights * side)[:, order] for side in (~defective, defective))
    return np.add.reduceat(good, starts, axis=1), np.add.reduceat(bad, starts, axis=1)


def _interval(values: Numbers) -> Interval:
    low, high = np.nanpercentile(values, (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)))
    return Interval(low=float(low), high=float(high))
