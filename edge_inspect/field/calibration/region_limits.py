"""How large a region good parts have: a lower pixel threshold with a least area, both learnt from good parts.

A scratch is faint and long where a speck of dust is bright and small: by the highest cell alone the speck decides the threshold. Here
the pixel threshold is low enough that a good part in ten has some region, and the least area large enough that good parts' regions
do not count. One half of the parts gives the pixel threshold, the other half the area: so the bound on the area is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge_inspect.config import Recipe, RegionRule
from edge_inspect.decision import Limits
from edge_inspect.decision import ZoneLimits as ZoneRule
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Part, Parts
from edge_inspect.thresholds import RegionLimits, ZoneLimits
from edge_inspect.thresholds.order_statistics import Cut, cut, ordinal
from edge_inspect.thresholds.proposing import QUANTILE, Proposal, Wanted

SHARE_WITH_A_REGION = 0.1

DESCRIBED = (
    "pixel threshold that one good part in ten exceeds, from one half of the good parts; "
    "least area: the {} region of the other half, each part counted by its largest"
)


def with_region_limits(
    proposal: Proposal, parts: Parts, recipe: Recipe, wanted: Wanted
) -> tuple[Proposal, RegionLimits, tuple[ZoneLimits, ...]]:
    """The proposal with a lower pixel threshold, and the least area that goes with it; both for each zone of the recipe, too.

    With zones one number is kept for each part: its largest region in any place, measured by how large they are there in the first half.

    Args:
        proposal: by order statistics.
        parts: good ones are looked at.
        recipe: must decide by regions.
        wanted: kept by image score and regions together, where both decide.

    Raises:
        ConfigError: the recipe does not decide by regions, another rule was asked for, or a part's score map is not at hand.
    """
    _refuse_unfit(proposal, parts, recipe)
    first, second = _halves(parts)
    rate, confidence = (wanted.rate / 2, (1 + wanted.confidence) / 2) if recipe.decision.image_score else (wanted.rate, wanted.confidence)
    limits = _limits_of(first, recipe)
    scale = _scale(first, limits, recipe)
    area = cut(
        [max(size / one for size, one in zip(_largest_areas(part, limits, recipe), scale, strict=True)) for part in second],
        wanted=rate,
        confidence=confidence,
    )
    least = [math.nextafter(area.threshold * one, math.inf) for one in scale]
    learnt = RegionLimits(min_area_px=least[0])
    zones = tuple(
        ZoneLimits(name=zone.name, pixel_threshold=zone.pixel_threshold, min_area_px=one)
        for zone, one in zip(limits.zones, least[1:], strict=True)
    )
    if not recipe.decision.image_score:
        return _by_area(proposal, area, wanted, least, pixel_threshold=limits.pixel_threshold, mm_per_px=recipe.mm_per_px), learnt, zones
    image = cut([part.score for part in parts.good], wanted=rate, confidence=confidence)
    bound, pixel = area.bound + image.bound, limits.pixel_threshold
    both = _by_area(proposal, area, wanted, least, pixel_threshold=pixel, mm_per_px=recipe.mm_per_px, bound=bound)
    return replace(both, image_threshold=image.threshold), learnt, zones


def _limits_of(parts: Sequence[Part], recipe: Recipe) -> Limits:
    """Pixel thresholds of every place that one in ten of these parts exceeds; nothing counts as too small yet."""
    heights = [(part.scored.peak, *part.scored.zone_peaks) for part in parts if part.scored is not None]
    rank = math.ceil(SHARE_WITH_A_REGION * len(heights))
    outside, *zones = (sorted(place, reverse=True)[rank] for place in zip(*heights, strict=True))
    named = zip(recipe.zones, zones, strict=True)
    return Limits(
        image_threshold=math.inf,
        pixel_threshold=outside,
        rule=recipe.decision,
        zones=tuple(ZoneRule(name=zone.name, pixel_threshold=threshold, rule=RegionRule()) for zone, threshold in named),
    )


def _scale(parts: Sequence[Part], limits: Limits, recipe: Recipe) -> Sequence[float]:
    """How large regions are in each place, by the largest of these parts [px]; a cell at least. 1 px where there is one place only."""
    if not limits.zones:
        return [1.0]
    largest = np.max([_largest_areas(part, limits, recipe) for part in parts], axis=0)
    sizes: list[float] = np.maximum(largest, _cell_px(parts[0])).tolist()
    return sizes


def _cell_px(part: Part) -> float:
    assert part.scored is not None
    height, width = part.scored.searched.shape
    return abs(float(np.linalg.det(part.scored.placement.cell_affine(width, height)[:, :2])))


def area_text(area_px: float, mm_per_px: float | None) -> str:
    """An area as a person measures it: in pixels, and in mm2 where the recipe knows the scale."""
    return f"{area_px:.4g} px" + (f" ({area_px * mm_per_px**2:.3g} mm2)" if mm_per_px else "")


def _by_area(
    proposal: Proposal,
    area: Cut,
    wanted: Wanted,
    least: Sequence[float],
    *,
    pixel_threshold: float,
    mm_per_px: float | None,
    bound: float | None = None,
) -> Proposal:
    bound = area.bound if bound is None else bound
    return replace(
        proposal,
        pixel_threshold=pixel_threshold,
        promise=f"{_promise(wanted, bound)} {_area_sentence(area, least, mm_per_px)}",
        bound=bound,
        carried=bound <= wanted.rate,
        described=DESCRIBED.format(ordinal(area.rank)),
    )


def _promise(wanted: Wanted, bound: float | None) -> str:
    return f"With {100 * wanted.confidence:g} % confidence at most {bound:.2%} of good parts like these are rejected."


def _area_sentence(area: Cut, least: Sequence[float], mm_per_px: float | None) -> str:
    first, *others = (area_text(one, mm_per_px) for one in least)
    zones = f", in zones {', '.join(others)}" if others else ""
    return f"Regions count above {first}{zones}: the {ordinal(area.rank)} region of {area.parts} good parts, each counted by its largest."


def _refuse_unfit(proposal: Proposal, parts: Parts, recipe: Recipe) -> None:
    if recipe.decision.regions is None:
        raise ConfigError("--regions: the recipe does not decide by regions; add decision.regions, then calibrate")
    if proposal.rule != QUANTILE:
        raise ConfigError(f"--regions: goes with --rule {QUANTILE}, which looks at good parts only; leave --rule {proposal.rule} out")
    if any(part.scored is None for part in parts.good):
        raise ConfigError(
            "--regions: needs every part's frame, and of some only the recorded score is left; keep raw frames (`keep`, `raw`)"
        )


def _halves(parts: Parts) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """By the hash of the frame: by chance, and the same again."""
    ordered = sorted(parts.good, key=lambda part: part.sha256)
    return tuple(ordered[::2]), tuple(ordered[1::2])


def _largest_areas(part: Part, limits: Limits, recipe: Recipe) -> Sequence[float]:
    """Area of the largest region that could count in each place [px], outside of zones first; 0 where there is none."""
    assert part.scored is not None
    asked = recipe.decision.regions or RegionRule()
    peaks = [asked.min_peak, *(asked.min_peak if zone.min_peak is None else zone.min_peak for zone in recipe.zones)]
    largest = [0.0] * len(peaks)
    for region in part.scored.regions(limits, mm_per_px=recipe.mm_per_px):
        least = peaks[region.zone_number]
        if least is None or region.peak >= least:
            largest[region.zone_number] = max(largest[region.zone_number], region.area_px)
    return largest
