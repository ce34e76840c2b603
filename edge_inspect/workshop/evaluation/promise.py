"""Did the threshold keep what it promised? False rejects of the test's good parts, held against the promised bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from edge_inspect.workshop.evaluation.intervals import CONFIDENCE
from edge_inspect.workshop.evaluation.outcomes import Outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The promised bound and what was seen.

    Attributes:
        sentence: what the thresholds promise.
        bound: highest false-reject rate promised; None where none is.
        parts: good parts seen; a part with several pictures counts once, as it does in the promise.
        rejected: of them rejected, by any of their pictures.
        low, high: where the false-reject rate of such parts lies with 95 % confidence (exact, of the binomial distribution).
        chance: probability of so many rejects or more, were the rate exactly the bound; None without a bound.
    """

    sentence: str
    bound: float | None
    parts: int
    rejected: int
    low: float
    high: float
    chance: float | None

    @property
    def broken(self) -> bool:
        """Whether so many rejects are too many for the bound, at 5 % risk of saying so wrongly."""
        return self.chance is not None and self.chance < 1 - CONFIDENCE


def held_against(outcomes: Outcomes, parts: Sequence[str] | None, *, sentence: str, bound: float | None) -> Promise:
    """Count rejected good parts and hold them against the bound.

    Source: Clopper and Pearson 1934 for the interval; one-sided exact binomial test for the chance.
    """
    good = [index for index, defective in enumerate(outcomes.defective) if not defective]
    names = {index: str(index) if parts is None else parts[index] for index in good}
    rejected = len({names[index] for index in good if outcomes.rejected[index]})
    seen = len(set(names.values()))
    interval = binomtest(rejected, seen).proportion_ci(confidence_level=CONFIDENCE, method="exact")
    chance = None if bound is None else float(binomtest(rejected, seen, bound, alternative="greater").pvalue)
    return Promise(
        sentence=sentence, bound=bound, parts=seen, rejected=rejected, low=float(interval.low), high=float(interval.high), chance=chance
    )
