"""Thresholds for a recipe with zones: one number for each part that says how far it reaches towards the threshold of any place.

Each place (outside of all zones, and each zone) has scores of its own: a label is high on every good part. A fifth of the good parts
says what is usual in each place, its middle and how far its highest lies above that. By these two numbers the other parts' scores
are laid on one scale, and the highest of all places is the part's one number. The rules then work on it as they do on an image score:
a part is rejected where it is above the threshold, in whichever place. So one bound holds for all places together, and no zone costs a
promise of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_inspect.config import Recipe
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Part, Parts
from edge_inspect.thresholds import ZoneLimits
from edge_inspect.thresholds.proposing import Proposal, Scores

SHARE_FOR_THE_USUAL = 0.2
FEWEST_FOR_THE_USUAL = 10
"""Good parts that say what is usual in each place: a fifth of them, ten at least."""

LEAST_ROOM = 1e-3
"""Least distance of a place's highest from its middle, as a part of the middle: a place that never varies has a scale all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What is usual in each place, and how parts and thresholds are laid on its scale.

    Attributes:
        middles, rooms: of each place, engine units: image score (where that is not the highest cell and decides), highest cell outside
            of zones, highest cell of each zone.
        own: whether the first is an image score apart from the highest cell.
        names: of the zones.
        used: the good parts that said so; they take no part in the bound.
    """

    middles: tuple[float, ...]
    rooms: tuple[float, ...]
    own: bool
    names: tuple[str, ...]
    used: frozenset[str]

    def reach(self, part: Part) -> float:
        """How far the part reaches: 0 is the middle of a place, 1 its highest usual score, in whichever place that is more."""
        heights = zip(_heights(part, own=self.own), self.middles, self.rooms, strict=True)
        return max((height - middle) / room for height, middle, room in heights)

    def laid(self, reach: float) -> tuple[float, ...]:
        """The threshold of each place for one reach, engine units."""
        return tuple(middle + reach * room for middle, room in zip(self.middles, self.rooms, strict=True))

    def scores(self, parts: Parts) -> Scores:
        """One score for each part that was not used."""
        return Scores(
            good=tuple(self.reach(part) for part in parts.good if part.name not in self.used),
            defective=tuple(map(self.reach, parts.defective)),
        )

    def in_engine_units(self, proposal: Proposal) -> tuple[Proposal, tuple[ZoneLimits, ...]]:
        """What a rule proposed on the one scale, laid back on every place."""
        thresholds = self.laid(proposal.image_threshold)
        first, rest = thresholds[0], thresholds[2 if self.own else 1 :]
        pixel = thresholds[1] if self.own else first
        described = f"{proposal.described}; over {len(rest) + 1} places at once, scaled by {len(self.used)} other good parts"
        zones = tuple(ZoneLimits(name=name, pixel_threshold=threshold) for name, threshold in zip(self.names, rest, strict=True))
        return replace(proposal, image_threshold=first, pixel_threshold=pixel, described=described), zones


def usual_places(parts: Parts, recipe: Recipe, *, own: bool) -> Places:
    """Learn what is usual in each place from some of the good parts, chosen by the hashes of their frames.

    Args:
        parts: with their score maps.
        recipe: its zones.
        own: whether the engine has an image score beside its highest cell.

    Raises:
        ConfigError: a part's score map is not at hand, there are too few parts, or a zone was hardly seen.
    """
    _refuse_unfit(parts)
    some = sorted(parts.good, key=lambda part: part.sha256)[: max(FEWEST_FOR_THE_USUAL, round(SHARE_FOR_THE_USUAL * len(parts.good)))]
    apart = own and recipe.decision.image_score
    heights = np.array([_heights(part, own=apart) for part in some])
    middles = np.median(heights, axis=0)
    names = tuple(zone.name for zone in recipe.zones)
    unseen = [name for name, middle in zip(names, middles[-len(names) :], strict=True) if not math.isfinite(middle)]
    if unseen:
        raise ConfigError(f"zones: {', '.join(unseen)}: hidden or out of the frame on most parts; move or remove it")
    rooms = np.maximum(heights.max(axis=0) - middles, np.maximum(LEAST_ROOM * np.abs(middles), 1e-9))
    return Places(
        middles=tuple(middles.tolist()), rooms=tuple(rooms.tolist()), own=apart, names=names, used=frozenset(part.name for part in some)
    )


def parts_for_zones(needed: int) -> int:
    """Good parts to bring where `needed` must be left for the bound."""
    return max(needed + FEWEST_FOR_THE_USUAL, math.ceil(needed / (1 - SHARE_FOR_THE_USUAL)))


def _heights(part: Part, *, own: bool) -> Sequence[float]:
    assert part.scored is not None
    outside = (part.scored.score, part.scored.peak) if own else (part.scored.peak,)
    return (*outside, *part.scored.zone_peaks)


def _refuse_unfit(parts: Parts) -> None:
    if any(part.scored is None for part in parts.parts):
        raise ConfigError("zones: need every part's frame, and of some only the recorded score is left; keep raw frames (`keep`, `raw`)")
    if len(parts.good) < 2 * FEWEST_FOR_THE_USUAL:
        raise ConfigError(
            f"zones: {len(parts.good)} good parts; {FEWEST_FOR_THE_USUAL} say what is usual in each zone, and as many more are needed"
        )
