"""The verdict: scores and regions held against the limits, with one sentence for the operator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.config import DecisionRule, RegionRule
from edge_inspect.datatypes import CellMask, Region, ScoreMap, Scores, Verdict
from edge_inspect.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneLimits:
    """What regions in one zone are held against.

    Attributes:
        name: of the zone.
        pixel_threshold: a cell of it strictly above belongs to a region.
        rule: which regions count.
    """

    name: str
    pixel_threshold: float
    rule: RegionRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a part is held against; scores in engine units.

    Attributes:
        image_threshold: an image score strictly above is a reject.
        pixel_threshold: a cell of the score map strictly above belongs to a region.
        rule: whether image score, regions or both decide, and which regions count.
        zones: the same for the recipe's zones, in its order.
    """

    image_threshold: float
    pixel_threshold: float
    rule: DecisionRule
    zones: tuple[ZoneLimits, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is said of one part.

    Attributes:
        verdict: OK, NG, or FAULT where the scores are not finite.
        reason: one line for the operator.
        regions: the regions that count, worst first; all that were found where the recipe has no rule for regions.
    """

    verdict: Verdict
    reason: str
    regions: tuple[Region, ...]


def masked_score(scores: Scores, searched: CellMask, *, highest_cells: int | None) -> float:
    """The image score.

    A number of cells and not a share of the searched ones: as long as so many are searched, a mask can only lower the score, and
    a defect beside it counts as it does without one.

    Args:
        scores: what the engine said.
        searched: (h, w) bool, the cells that count; at least one.
        highest_cells: the score is the mean of so many searched cells, the highest (all, where fewer are searched); None takes
            the engine's own image score, which no mask can apply to.

    Returns:
        The score, engine units; not a number where a cell that counts is not.

    Raises:
        EngineError: the engine has no image score of its own.
    """
    if highest_cells == 1:
        # Without a mask four times as fast, and masks are rare.
        return float(scores.map.max() if searched.all() else scores.map.max(where=searched, initial=-np.inf))
    if highest_cells is not None:
        return mean_of_highest(scores.map[searched], highest_cells)
    if scores.image is None:
        raise EngineError(
            "the engine gave no image score, but its manifest says that it has its own; export the model again, "
            'or with image_score "map maximum"'
        )
    return scores.image


def mean_of_highest(cells: ScoreMap, count: int) -> float:
    """Mean of the highest `count` cells, of all where there are fewer; added in one order, so that every machine gives the same bits."""
    if cells.size == 0:
        return -math.inf
    highest = np.partition(cells, -count)[-count:] if count < cells.size else cells
    return float(np.sort(highest, axis=None).mean(dtype=np.float64))


def is_finite(scores: Scores) -> bool:
    """Whether every cell of the map, and the image score where there is one, is a finite number."""
    return bool(np.isfinite(scores.map).all()) and (scores.image is None or math.isfinite(scores.image))


def decide(score: float, regions: Sequence[Region], limits: Limits, *, finite: bool) -> Decision:
    """Give the verdict.

    The reason does not repeat the verdict.

    Args:
        score: image score, engine units.
        regions: the regions found, worst first.
        limits: what they are held against.
        finite: whether all scores are finite; where not, the part was not inspected.
    """
    if not (finite and math.isfinite(score)):
        return Decision(verdict=Verdict.FAULT, reason="not inspected: the engine gave a score that is not a finite number", regions=())
    counting = _counting(regions, limits)
    by_score, by_regions = _score_causes(score, limits), _region_causes(counting, limits.rule.regions)
    if by_score or by_regions:
        return Decision(verdict=Verdict.NG, reason=_rejection(by_score, by_regions, counting), regions=counting)
    return Decision(verdict=Verdict.OK, reason=_margin(score, counting, limits), regions=counting)


def _counting(regions: Sequence[Region], limits: Limits) -> tuple[Region, ...]:
    rule = limits.rule.regions
    if rule is None:
        return tuple(regions)
    rules = (rule, *(zone.rule for zone in limits.zones))
    return tuple(region for region in regions if _counts(region, rules[region.zone_number]))


def _counts(region: Region, rule: RegionRule) -> bool:
    if region.area_px < rule.min_area_px or (rule.min_peak is not None and region.peak < rule.min_peak):
        return False
    return rule.min_area_mm2 is None or region.area_mm2 is None or region.area_mm2 >= rule.min_area_mm2


def _score_causes(score: float, limits: Limits) -> list[str]:
    if not (limits.rule.image_score and score > limits.image_threshold):
        return []
    return ["score {} above {}".format(*_told_apart(score, limits.image_threshold))]


def _region_causes(counting: Sequence[Region], rule: RegionRule | None) -> list[str]:
    return [_allowance(counting, rule)] if rule is not None and len(counting) > rule.max_count else []


def _rejection(by_score: list[str], by_regions: list[str], counting: Sequence[Region]) -> str:
    worst = "worst" if by_regions else "region" if len(counting) == 1 else f"worst of {_number_of(counting)}"
    return "; ".join([*by_score, *by_regions, *[f"{worst} {_place(region)}" for region in counting[:1]]])


def _margin(score: float, counting: Sequence[Region], limits: Limits) -> str:
    told = []
    if limits.rule.image_score:
        told.append("score {} not above {}".format(*_told_apart(score, limits.image_threshold)))
    if limits.rule.regions is not None:
        told.append(_allowance(counting, limits.rule.regions))
    return "; ".join(told)


def _allowance(counting: Sequence[Region], rule: RegionRule) -> str:
    if not counting:
        return "no region"
    return f"{_number_of(counting)} where {rule.max_count or 'none'} {'are' if rule.max_count > 1 else 'is'} allowed"


def _number_of(regions: Sequence[Region]) -> str:
    return f"{len(regions)} region{'' if len(regions) == 1 else 's'}"


def _place(region: Region) -> str:
    size = f"{region.right - region.left} x {region.bottom - region.top} px"
    area = "" if region.area_mm2 is None else f", {_digits(region.area_mm2, _decimals(region.area_mm2, 2))} mm2"
    zone = f" in zone {region.zone}" if region.zone else ""
    return f"at ({region.left}, {region.top}){zone}, {size}{area}, peak {_digits(region.peak, _decimals(region.peak, 3))}"


def _told_apart(value: float, limit: float) -> tuple[str, str]:
    """Both numbers with three digits, or with as many as it takes to see which is larger."""
    decimals = _decimals(max(abs(value), abs(limit)), 3)
    while _digits(value, decimals) == _digits(limit, decimals) and value != limit:
        decimals += 1
    return _digits(value, decimals), _digits(limit, decimals)


def _decimals(value: float, digits: int) -> int:
    """Decimals that show so many digits of a number, none of them for a large one."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else digits - 1


def _digits(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"
