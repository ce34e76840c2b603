"""Which good parts fit the Gaussians, which give the threshold, and what the threshold may promise.

The held-out parts are never used for anything but the threshold. Only then are they and the line's future parts drawn alike
(exchangeable), and the order statistics below hold for any distribution of scores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.errors import ConfigError

CONFIDENCE = 0.95
HELD_OUT_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Indices of the images that fit the model, and of the held-out ones by physical part."""

    fit: tuple[int, ...]
    held_out: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A threshold with the false-reject rate it can promise.

    Attributes:
        threshold: a part above it is rejected.
        rank: the threshold is the rank-th largest of the held-out scores.
        parts: how many held-out parts.
        expected: mean false-reject rate over repetitions of the teaching.
        bound: with 95 % confidence the false-reject rate is at most this.
        wanted: the rate that was asked for.
    """

    threshold: float
    rank: int
    parts: int
    expected: float
    bound: float
    wanted: float

    @property
    def promise(self) -> str:
        """The sentence a person may rely on; it never says more than the sample carries."""
        said = (
            f"With 95 % confidence at most {self.bound:.2%} of good parts like these are rejected "
            f"({self.expected:.2%} expected; the threshold is the {_ordinal(self.rank)} of {self.parts} held-out good scores)."
        )
        if self.bound <= self.wanted:
            return said
        return f"{said} The wanted {self.wanted:.2%} needs {parts_needed(self.wanted)} held-out good parts."


def split_parts(names: Sequence[str], *, seed: int, part_of: re.Pattern[str] | None = None, share: float = HELD_OUT_SHARE) -> Split:
    """Divide images into those that fit the model and about 30 % held out; one part's images stay together.

    Args:
        names: one for each image.
        seed: of the shuffle.
        part_of: its first group, found in a name, is the physical part; without it every image is a part of its own.
        share: of the parts that is held out; one part at least.

    Raises:
        ConfigError: a name does not tell its part, or there are fewer than two parts.
    """
    parts: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        parts.setdefault(str(index) if part_of is None else part_name(name, part_of), []).append(index)
    if len(parts) < 2:
        raise ConfigError(f"all {len(names)} images are of one part; two or more are needed, correct the pattern that names parts")
    order = np.random.default_rng(seed).permutation(len(parts))
    shuffled = [tuple(group) for group in (list(parts.values())[i] for i in order)]
    held_out = max(1, round(share * len(parts)))
    return Split(fit=tuple(sorted(i for part in shuffled[held_out:] for i in part)), held_out=tuple(sorted(shuffled[:held_out])))


def cut(scores: Sequence[float], *, wanted: float) -> Cut:
    """The lowest threshold that promises the wanted false-reject rate; the largest score where none can.

    Args:
        scores: one for each held-out good part.
        wanted: false-reject rate to promise with 95 % confidence.

    Source: for the k-th largest of n exchangeable scores the rate above it is Beta(k, n + 1 - k) at most (continuous
    scores; ties only lower it): David and Nagaraja 2003, Order Statistics, section 2.3.
    """
    ordered = sorted(scores, reverse=True)
    rank = 1
    while rank < len(ordered) and upper_bound(rank + 1, len(ordered)) <= wanted:
        rank += 1
    count = len(ordered)
    return Cut(
        threshold=float(ordered[rank - 1]),
        rank=rank,
        parts=count,
        expected=rank / (count + 1),
        bound=upper_bound(rank, count),
        wanted=wanted,
    )


def upper_bound(rank: int, count: int) -> float:
    """The 95 % quantile of Beta(rank, count + 1 - rank): P(Binomial(count, p) < rank) falls to 5 % there."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _binomial_below(rank, count, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def parts_needed(wanted: float) -> int:
    """Fewest held-out parts whose largest score promises the wanted rate."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - wanted))


def part_name(name: str, part_of: re.Pattern[str]) -> str:
    """The physical part that a file name tells: the pattern's first group in it.

    Raises:
        ConfigError: the pattern is not found in the name, or has no group.
    """
    found = part_of.search(name)
    if found is None or not found.groups():
        raise ConfigError(f"{name}: the pattern {part_of.pattern!r} does not find a part's name in it; it needs one group, as (\\d+)_")
    return found.group(1)


def _binomial_below(rank: int, count: int, rate: float) -> float:
    """P(fewer than `rank` of `count` independent events of this rate, which lies strictly between 0 and 1)."""
    return sum(
        math.exp(
            math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * math.log(rate) + (count - k) * math.log1p(-rate)
        )
        for k in range(rank)
    )


def _ordinal(rank: int) -> str:
    if rank == 1:
        return "largest"
    suffix = "th" if rank % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{suffix} largest"
