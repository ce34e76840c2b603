"""What new thresholds would have decided: which verdicts flip, and what is to be expected of good and of defective parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_inspect.config import Recipe
from edge_inspect.datatypes import Verdict
from edge_inspect.field.calibration.parts import Part
from edge_inspect.scoring import limits_from
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.order_statistics import exact_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of parts, and where it lies with 95 % confidence (exact, of the binomial distribution)."""

    seen: int
    parts: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One part under the old and the new thresholds; `before` is None where there are no old ones that fit."""

    part: Part
    before: Verdict | None
    after: Verdict

    @property
    def flips(self) -> bool:
        """Whether the verdict changes."""
        return self.before is not None and self.before is not self.after


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preview:
    """What would change.

    Attributes:
        labelled: parts of which a person says whether they are good.
        stored: the station's newest inspections, of which nobody has said so.
        old, new: the thresholds; `old` is None where none stand there that fit this engine and recipe.
    """

    labelled: tuple[Judged, ...]
    stored: tuple[Judged, ...]
    old: Thresholds | None
    new: Thresholds

    @property
    def flips(self) -> tuple[Judged, ...]:
        """Every part whose verdict changes."""
        return tuple(one for one in (*self.labelled, *self.stored) if one.flips)

    def false_rejects(self, *, old: bool = False) -> Rate:
        """Good parts that are rejected."""
        return _rate([_is(one, Verdict.NG, old=old) for one in self.labelled if one.part.good])

    def escapes(self, *, old: bool = False) -> Rate:
        """Defective parts that pass."""
        return _rate([_is(one, Verdict.OK, old=old) for one in self.labelled if not one.part.good])

    def rejects(self, *, old: bool = False) -> Rate:
        """Stored parts that are rejected, good or not."""
        return _rate([_is(one, Verdict.NG, old=old) for one in self.stored])


def preview(labelled: Sequence[Part], stored: Sequence[Part], *, old: Thresholds | None, new: Thresholds, recipe: Recipe) -> Preview:
    """Decide every part by the old and by the new thresholds."""
    return Preview(labelled=_judged(labelled, old, new, recipe), stored=_judged(stored, old, new, recipe), old=old, new=new)


def _judged(parts: Sequence[Part], old: Thresholds | None, new: Thresholds, recipe: Recipe) -> tuple[Judged, ...]:
    after, scale = limits_from(new, recipe), recipe.mm_per_px
    before = None if old is None else limits_from(old, recipe)
    return tuple(
        Judged(
            part=part,
            before=None if before is None else part.verdict(before, mm_per_px=scale),
            after=part.verdict(after, mm_per_px=scale),
        )
        for part in parts
    )


def _is(judged: Judged, verdict: Verdict, *, old: bool) -> bool:
    return (judged.before if old else judged.after) is verdict


def _rate(events: Sequence[bool]) -> Rate:
    low, high = exact_interval(sum(events), len(events))
    return Rate(seen=sum(events), parts=len(events), low=low, high=high)
