"""One part of a calibration with its scores, and a sample of many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_inspect.datatypes import CellMask, UInt8Image, Verdict, ZoneCells
from edge_inspect.decision import Limits
from edge_inspect.scoring import Scored
from edge_inspect.thresholds.proposing import Scores

NAMED = 5

KNOWN = "{} good parts that the model was taught on, so that it knows them and a promise from them would be void: {}"
MISTAKEN = "{} defective parts are among those that the model was taught on as good ones: {}; teach the part anew without them"
UNTOLD = (
    "the model folder does not say which pictures the model was taught on, so it cannot be checked that these are others; from those it "
    "was taught on the promise would be void (a part taught or exported anew has the list)"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkImage:
    """What the network saw of a part in one look, with the cells that counted: all of it, or the tile with its highest cell.

    Attributes:
        pixels: (H, W, C) uint8.
        searched: (h, w) bool.
        zones: (h, w) uint8, or None where the recipe has no zones.
        view: (side, side) uint8 grey, the whole part small; None where `pixels` are that.
        patch: (side, side) uint8 grey, the reference patch of the frame; None where the recipe has none.
    """

    pixels: UInt8Image
    searched: CellMask
    zones: ZoneCells | None
    view: UInt8Image | None
    patch: UInt8Image | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One part.

    Attributes:
        name: file name, or the number of the inspection.
        sha256: hash of the frame; "" where only the record of it is left.
        good: what the person who calibrates says of it.
        score: image score, engine units.
        scored: what the engine said; None where only the record is left.
        image: what was seen (H, W, C) uint8, with tiles made small; None likewise.
        network: what is kept of it for another engine; None likewise.
        record: the station's record of it, for a stored one.
    """

    name: str
    sha256: str
    good: bool
    score: float
    scored: Scored | None = None
    image: UInt8Image | None = None
    network: NetworkImage | None = None
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
        taught: names of those left out since the model was made from them; None where its folder does not say from which.
    """

    parts: tuple[Part, ...]
    left_out: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    taught: tuple[str, ...] | None = ()

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
        return replace(self, parts=kept, left_out=(*self.left_out, *gone))

    def new_to(self, taught: frozenset[str] | None) -> Parts:
        """The sample without good parts whose frame the model was made from; with a word on it where that cannot be told."""
        if taught is None:
            return replace(self, told=(*self.told, UNTOLD), taught=None)
        known = tuple(part.name for part in self.good if part.sha256 in taught)
        kept = tuple(part for part in self.parts if not part.good or part.sha256 not in taught)
        mistaken = [part.name for part in self.defective if part.sha256 in taught]
        return replace(
            self,
            parts=kept,
            left_out=(*([KNOWN.format(len(known), _some(known))] if known else []), *self.left_out),
            told=(*self.told, *([MISTAKEN.format(len(mistaken), _some(mistaken))] if mistaken else [])),
            taught=known,
        )

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


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _scores(parts: Sequence[Part]) -> tuple[float, ...]:
    return tuple(part.score for part in parts)


def _peaks(parts: Sequence[Part]) -> tuple[float, ...]:
    return tuple(part.scored.peak for part in parts if part.scored is not None)


def _means(parts: Sequence[Part]) -> tuple[float, ...]:
    return tuple(part.scored.mean for part in parts if part.scored is not None)
