"""How large a region good parts have: a lower pixel threshold with a least area, both learnt from good parts.

A scratch is faint and long where a speck of dust is bright and small: by the highest cell alone the speck decides the threshold. Here
the pixel threshold is low enough that a good part in ten has some region, and the least area large enough that good parts' regions
do not count. One half of the parts gives the pixel threshold, the other half the area: so the bound on the area is exact.
"""

from __future__ import annotations

import math
from dataclasses import replace

from edge_inspect.config import Recipe
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Part, Parts
from edge_inspect.regions import find_regions
from edge_inspect.thresholds import RegionLimits
from edge_inspect.thresholds.order_statistics import Cut, cut
from edge_inspect.thresholds.proposing import QUANTILE, Proposal, Wanted

SHARE_WITH_A_REGION = 0.1

DESCRIBED = (
    "pixel threshold that one good part in ten exceeds, from one half of the good parts; "
    "least area: the k-th largest region of the other half"
)


def with_region_limits(proposal: Proposal, parts: Parts, recipe: Recipe, wanted: Wanted) -> tuple[Proposal, RegionLimits]:
    """The proposal with a lower pixel threshold, and the least area that goes with it.

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
    peaks = sorted((part.scored.peak for part in first if part.scored is not None), reverse=True)
    pixel_threshold = peaks[math.ceil(SHARE_WITH_A_REGION * len(peaks))]
    area = cut([_largest_area(part, pixel_threshold, recipe) for part in second], wanted=rate, confidence=confidence)
    limits = RegionLimits(min_area_px=math.nextafter(area.threshold, math.inf))
    if not recipe.decision.image_score:
        return _by_area(proposal, area, pixel_threshold, wanted), limits
    image = cut([part.score for part in parts.good], wanted=rate, confidence=confidence)
    both = _by_area(proposal, area, pixel_threshold, wanted, bound=area.bound + image.bound)
    return replace(both, image_threshold=image.threshold, promise=f"{_promise(wanted, both.bound)} {_area_sentence(area)}"), limits


def _by_area(proposal: Proposal, area: Cut, pixel_threshold: float, wanted: Wanted, bound: float | None = None) -> Proposal:
    bound = area.bound if bound is None else bound
    return replace(
        proposal,
        pixel_threshold=pixel_threshold,
        promise=f"{_promise(wanted, bound)} {_area_sentence(area)}",
        bound=bound,
        carried=bound <= wanted.rate,
        described=DESCRIBED,
    )


def _promise(wanted: Wanted, bound: float | None) -> str:
    return f"With {100 * wanted.confidence:g} % confidence at most {bound:.2%} of good parts like these are rejected."


def _area_sentence(area: Cut) -> str:
    return f"Regions count above {area.threshold:.1f} px, rank {area.rank} of the largest regions of {area.parts} good parts."


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


def _largest_area(part: Part, pixel_threshold: float, recipe: Recipe) -> float:
    """Area of the largest region that could count [px]; 0 where there is none."""
    assert part.scored is not None
    rule = recipe.decision.regions
    least = None if rule is None else rule.min_peak
    found = find_regions(
        part.scored.scores.map,
        pixel_threshold=pixel_threshold,
        searched=part.scored.searched,
        placement=part.scored.placement,
        mm_per_px=recipe.mm_per_px,
    )
    return max((region.area_px for region in found if least is None or region.peak >= least), default=0.0)
