"""One part of a calibration with its scores, and a sample of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_inspect.datatypes import UInt8Image, Verdict
from edge_inspect.decision import Limits
from edge_inspect.scoring import Scored
from edge_inspect.thresholds.proposing import Scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One part.

    Attributes:
        name: file name, or the number of the inspection.
        sha256: hash of the frame; "" where only the record of it is left.
        good: what the person who calibrates says of it.
        score: image score, engine units.
        scored: what the engine said; None where only the record is left.
        image: what the network saw (H, W, C) uint8; None likewise.
        record: the station's record of it, for a stored one.
    """

    name: str
    sha256: str
    good: bool
    score: float
    scored: Scored | None = None
    image: UInt8Image | None = None
    record: dict[str, Any] | None = None

    def verdict(self, limits: Limits, *, mm_per_px: float | None) -> Verdict:
        """What the line would say of it under these limits; where only the record is left, by its score alone."""
        if self.scored is not None:
            return self.scored.decide(limits, mm_per_px=mm_per_px).verdict
        return Verdict.NG if self.score > limits.image_threshold else Verdict.OK


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """A sample.

    Attributes:
        parts: good ones and defective ones, each frame once.
        left_out: what could not be used, with the reason.
        told: what a person should know of the sample.
    """

    parts: tuple[Part, ...]
    left_out: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def good(self) -> tuple[Part, ...]:
        """The good ones."""
        return tuple(part for part in self.parts if part.good)

    @property
    def defective(self) -> tuple[Part, ...]:
        """The defective ones."""
        return tuple(part for part in self.parts if not part.good)

    def without(self, names: Sequence[str]) -> Parts:
        """The sample without some parts, by name."""
        kept = tuple(part for part in self.parts if part.name not in names)
        gone = tuple(f"{part.name}: left out by --leave-out" for part in self.parts if part.name in names)
        return Parts(parts=kept, left_out=(*self.left_out, *gone), told=self.told)

    def scores(self, *, own: bool) -> Scores:
        """The scores for a rule; the largest cells apart where the engine has an image score of its own."""
        mapped = all(part.scored is not None for part in self.parts)
        return Scores(
            good=_scores(self.good),
            defective=_scores(self.defective),
            good_peaks=_peaks(self.good) if own else None,
            defective_peaks=_peaks(self.defective) if own else None,
            good_means=_means(self.good) if mapped else None,
            defective_means=_means(self.defective) if mapped else None,
        )


def sample_of(parts: Iterable[Part], *, left_out: Sequence[str] = (), told: Sequence[str] = ()) -> Parts:
    """The parts, each frame once: a picture that stands there twice says nothing twice, and a bound would count it twice."""
    kept: dict[str, Part] = {}
    twice = []
    for part in parts:
        key = part.sha256 or part.name
        if key in kept:
            twice.append(f"{part.name}: the same frame as {kept[key].name}")
        else:
            kept[key] = part
    return Parts(parts=tuple(kept.values()), left_out=(*left_out, *twice), told=tuple(told))


def _scores(parts: Sequence[Part]) -> tuple[float, ...]:
    return tuple(part.score for part in parts)


def _peaks(parts: Sequence[Part]) -> tuple[float, ...]:
    return tuple(part.scored.peak for part in parts if part.scored is not None)


def _means(parts: Sequence[Part]) -> tuple[float, ...]:
    return tuple(part.scored.mean for part in parts if part.scored is not None)
