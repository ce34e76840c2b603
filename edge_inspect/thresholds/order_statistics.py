"""A threshold from good parts only, with a bound on false rejects that holds for any distribution of scores.

The parts it is taken from are used for nothing else. Only then are they and the line's future parts drawn alike (exchangeable), and the
order statistics below hold. In other words for the same thing: a distribution-free tolerance bound, a conformal prediction set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A threshold with the false-reject rate it can promise.

    Attributes:
        threshold: a part above it is rejected.
        rank: the threshold is the rank-th largest of the held-out scores.
        parts: how many held-out parts.
        expected: mean false-reject rate over repetitions of the teaching.
        bound: with this confidence the false-reject rate is at most this.
        wanted: the rate that was asked for.
        confidence: how sure the bound is.
        held_out: whether it is known that the model was not made from these parts; the promise does not say so where it is not.
    """

    threshold: float
    rank: int
    parts: int
    expected: float
    bound: float
    wanted: float
    confidence: float = CONFIDENCE
    held_out: bool = True

    @property
    def carried(self) -> bool:
        """Whether the sample carries the wanted rate."""
        return self.bound <= self.wanted

    @property
    def promise(self) -> str:
        """The sentence a person may rely on; it never says more than the sample carries."""
        good = "held-out good" if self.held_out else "good"
        said = (
            f"With {100 * self.confidence:g} % confidence at most {self.bound:.2%} of good parts like these are rejected "
            f"({self.expected:.2%} expected; the threshold is the {ordinal(self.rank)} of {self.parts} {good} scores)."
        )
        if self.carried:
            return said
        return f"{said} The wanted {self.wanted:.2%} needs {parts_needed(self.wanted, self.confidence)} {good} parts."


def cut(scores: Sequence[float], *, wanted: float, confidence: float = CONFIDENCE, held_out: bool = True) -> Cut:
    """The lowest threshold that promises the wanted false-reject rate; the largest score where none can.

    Args:
        scores: one for each held-out good part.
        wanted: false-reject rate to promise.
        confidence: how sure the promise is.
        held_out: whether it is known that the model was not made from these parts.

    Source: for the k-th largest of n exchangeable scores the rate above it is Beta(k, n + 1 - k) at most (continuous
    scores; ties only lower it): David and Nagaraja 2003, Order Statistics, section 2.3. As a tolerance bound: Wilks 1941; as a
    prediction set: Vovk 2012, Conditional validity of inductive conformal predictors, proposition 2.
    """
    ordered = sorted(scores, reverse=True)
    count = len(ordered)
    rank = _largest_rank(count, wanted, confidence)
    return Cut(
        threshold=float(ordered[rank - 1]),
        rank=rank,
        parts=count,
        expected=rank / (count + 1),
        bound=upper_bound(rank, count, confidence),
        wanted=wanted,
        confidence=confidence,
        held_out=held_out,
    )


def upper_bound(rank: int, count: int, confidence: float = CONFIDENCE) -> float:
    """The quantile of Beta(rank, count + 1 - rank) at this confidence: P(Binomial(count, p) < rank) falls to the rest there."""
    return _where_it_falls_to(rank, count, 1 - confidence)


def parts_needed(wanted: float, confidence: float = CONFIDENCE) -> int:
    """Fewest held-out parts whose largest score promises the wanted rate."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - wanted))


def exact_interval(seen: int, parts: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where a rate lies that showed `seen` events in so many independent parts; (0, 1) where there were no parts.

    Source: Clopper and Pearson 1934, The use of confidence or fiducial limits, exact two-sided interval of the binomial distribution.
    """
    beyond = (1 - confidence) / 2
    low = _where_it_falls_to(seen, parts, 1 - beyond) if seen else 0.0
    high = _where_it_falls_to(seen + 1, parts, beyond) if seen < parts else 1.0
    return low, high


@lru_cache
def _largest_rank(count: int, wanted: float, confidence: float) -> int:
    rank = 1
    while rank < count and upper_bound(rank + 1, count, confidence) <= wanted:
        rank += 1
    return rank


def _where_it_falls_to(rank: int, count: int, chance: float) -> float:
    """The rate p at which P(Binomial(count, p) < rank) is `chance`; it falls from 1 to 0 as p grows."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _binomial_below(rank, count, middle) > chance:
            low = middle
        else:
            high = middle
    return high


def _binomial_below(rank: int, count: int, rate: float) -> float:
    """P(fewer than `rank` of `count` independent events of this rate, which lies strictly between 0 and 1)."""
    return sum(
        math.exp(
            math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * math.log(rate) + (count - k) * math.log1p(-rate)
        )
        for k in range(rank)
    )


def ordinal(rank: int) -> str:
    """`largest`, `2nd largest`, as people count."""
    if rank == 1:
        return "largest"
    suffix = "th" if rank % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{suffix} largest"
