"""How rare are scores higher than any seen? The generalised Pareto distribution of the highest good scores (peaks over threshold).

For a sample too small for the wanted rate. It is an extrapolation: right only where the tail goes on as it begins, which no sample can
prove. So the threshold is not the tail's quantile but the upper end of where that quantile may lie, and the fit is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_inspect.thresholds.order_statistics import CONFIDENCE

TAIL_SHARE = 0.2
FEWEST_PEAKS = 10
FEWEST_PARTS = 30
"""Below that the tail is ten of two dozen parts: no tail any more."""

LEAST_FIT = 0.10
"""A fit this unlikely is refused; the usual level for tests of a generalised Pareto fit (Choulakian and Stephens 2001)."""

RESAMPLES = 499
SEED = 0

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pareto:
    """Generalised Pareto distribution of excesses: 1 - (1 + shape x / scale)^(-1 / shape)."""

    shape: float
    scale: float

    def exceeded(self, chance: float) -> float:
        """The excess that is exceeded with this chance, engine units."""
        grown = -math.log(chance) if abs(self.shape) < 1e-9 else math.expm1(-self.shape * math.log(chance)) / self.shape
        return self.scale * grown

    def probabilities(self, excesses: Numbers) -> Numbers:
        """P(excess <= x) for each (n,)."""
        if abs(self.shape) < 1e-9:
            return np.asarray(-np.expm1(-excesses / self.scale))
        inside = np.maximum(self.shape * excesses / self.scale, -1)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(-np.log1p(inside) / self.shape))

    def draw(self, count: int, random: np.random.Generator) -> Numbers:
        """So many excesses at random (count,)."""
        waits = random.standard_exponential(count)
        return self.scale * (waits if abs(self.shape) < 1e-9 else np.expm1(self.shape * waits) / self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A threshold from the tail of the good scores.

    Attributes:
        threshold: with `confidence`, no more than `wanted` of good parts lie above, if the tail is as fitted.
        quantile: the fitted tail's own estimate, without a margin for how little is known of it.
        start: where the tail begins, engine units.
        peaks: scores above it.
        parts: all scores.
        pareto: what was fitted.
        fit: probability of a worse fit (Anderson and Darling's distance), were the tail of this kind.
        wanted, confidence: what was asked for.
    """

    threshold: float
    quantile: float
    start: float
    peaks: int
    parts: int
    pareto: Pareto
    fit: float
    wanted: float
    confidence: float

    @property
    def fits(self) -> bool:
        """Whether the highest scores look like such a tail at all."""
        return self.fit >= LEAST_FIT


def fit_tail(scores: Sequence[float], *, wanted: float, confidence: float = CONFIDENCE) -> Tail:
    """Fit the highest fifth of the good scores and go on from there.

    Args:
        scores: image score of each good part, engine units.
        wanted: false-reject rate to aim at.
        confidence: how sure the threshold is, within the model.

    Raises:
        ValueError: too few scores, or too many equal ones.

    Source: Pickands 1975 and Davison and Smith 1990, Models for exceedances over high thresholds; fitted as Zhang and Stephens 2009.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    if len(ordered) < FEWEST_PARTS:
        raise ValueError(f"{len(ordered)} good scores; a tail needs {FEWEST_PARTS} or more")
    count = max(FEWEST_PEAKS, math.ceil(TAIL_SHARE * len(ordered)))
    start, excesses = float(ordered[-count - 1]), ordered[-count:] - ordered[-count - 1]
    pareto = fit_pareto(excesses)
    share = count / len(ordered)
    quantile = start + _excess_at(pareto, wanted, share)
    fits, shares, fit = _fitted_again(pareto, excesses, len(ordered))
    likely = float(np.quantile([_excess_at(again, wanted, part) for again, part in zip(fits, shares, strict=True)], confidence))
    return Tail(
        threshold=max(start + likely, quantile),
        quantile=quantile,
        start=start,
        peaks=count,
        parts=len(ordered),
        pareto=pareto,
        fit=fit,
        wanted=wanted,
        confidence=confidence,
    )


def fit_pareto(excesses: Numbers) -> Pareto:
    """Shape and scale of excesses (n,) above 0, sorted upwards.

    Raises:
        ValueError: too many of them are equal to where the tail begins.

    Source: Zhang and Stephens 2009, A new and efficient estimation method for the generalized Pareto distribution, section 4.
    """
    count = len(excesses)
    quarter = excesses[int(count / 4 + 0.5) - 1]
    if quarter <= 0:
        raise ValueError("too many of the highest good scores are equal; no tail can be fitted to them")
    points = 20 + int(math.sqrt(count))
    rates = 1 / excesses[-1] + (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3 * quarter)
    rates = rates[np.abs(rates) > 1e-12 / excesses[-1]]
    shapes = np.log1p(-rates[:, None] * excesses).mean(axis=1)
    likelihoods = count * (np.log(-rates / shapes) - shapes - 1)
    weights = np.exp(likelihoods - likelihoods.max())
    rate = float((rates * weights).sum() / weights.sum())
    shape = float(np.log1p(-rate * excesses).mean())
    return Pareto(shape=shape, scale=-shape / rate)


def anderson_darling(pareto: Pareto, excesses: Numbers) -> float:
    """Anderson and Darling's distance between a distribution and the sorted excesses (n,); it weighs the tail most."""
    count = len(excesses)
    below = np.clip(pareto.probabilities(excesses), 1e-12, 1 - 1e-12)
    odd = 2 * np.arange(1, count + 1) - 1
    return float(-count - (odd * (np.log(below) + np.log1p(-below[::-1]))).mean())


def _excess_at(pareto: Pareto, wanted: float, share: float) -> float:
    """The excess with `wanted` of all parts above it; 0 where the wanted rate lies below the tail."""
    return pareto.exceeded(wanted / share) if wanted < share else 0.0


def _fitted_again(pareto: Pareto, excesses: Numbers, parts: int) -> tuple[list[Pareto], list[float], float]:
    """Tails fitted to samples drawn of the fitted one, the share of parts in each, and how likely a worse fit is."""
    random = np.random.default_rng(SEED)
    counts = np.maximum(FEWEST_PEAKS, random.binomial(parts, len(excesses) / parts, RESAMPLES))
    samples = [np.sort(pareto.draw(int(count), random)) for count in counts]
    fits = [fit_pareto(sample) for sample in samples]
    seen = anderson_darling(pareto, excesses)
    worse = sum(anderson_darling(again, sample) >= seen for again, sample in zip(fits, samples, strict=True))
    return fits, [int(count) / parts for count in counts], (worse + 1) / (RESAMPLES + 1)
