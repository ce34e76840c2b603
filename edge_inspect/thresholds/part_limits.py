"""The thresholds of a part by image score and by cell, and what both together may promise.

Where the image score is the maximum of the score map, one threshold serves both: NG by score and a region are one event.
Where the model has an image score of its own they are two events, each cut by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_inspect.config import DecisionRule
from edge_inspect.thresholds.order_statistics import CONFIDENCE, Cut, cut, ordinal

ONE_FOR_BOTH = "one threshold for picture and place"
ONE_FOR_EACH = "one threshold for the picture, one for the place"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLimits:
    """What a part is held against.

    Attributes:
        image: cut of the image scores.
        pixel: cut of the largest cells; the same where the image score is the largest cell.
        rule: how they were made, for the record.
        promise: the sentence a person may rely on, for the events that the recipe lets decide.
        bound: of the false-reject rate of those events together.
        confidence: how sure that bound is.
    """

    image: Cut
    pixel: Cut
    rule: str
    promise: str
    bound: float
    confidence: float

    def clearance(self, image_score: float, peak: float) -> float:
        """Distance to the nearer threshold, as a part of that threshold."""
        return min(_apart(image_score, self.image.threshold), _apart(peak, self.pixel.threshold))


def part_limits(
    scores: Sequence[float],
    peaks: Sequence[float] | None,
    *,
    wanted: float,
    rule: DecisionRule,
    confidence: float = CONFIDENCE,
    held_out: bool = True,
) -> PartLimits:
    """Cut image scores and largest cells of the held-out parts.

    Args:
        scores: image score, one for each held-out good part.
        peaks: largest cell of each; None where that is the image score.
        wanted: false-reject rate to promise.
        rule: what the recipe lets decide.
        confidence: how sure the promise is.
        held_out: whether it is known that the model was not made from these parts.
    """
    image = cut(scores, wanted=wanted, confidence=confidence, held_out=held_out)
    highest = f"the {highest_of(image.rank)} of {image.parts} good scores"
    if peaks is None:
        words = f"{highest}; {ONE_FOR_BOTH}"
        return PartLimits(image=image, pixel=image, rule=words, promise=image.promise, bound=image.bound, confidence=confidence)
    pixel = cut(peaks, wanted=wanted, confidence=confidence, held_out=held_out)
    promise, bound, sure = _promised(image, pixel, rule)
    words = f"{highest}; {ONE_FOR_EACH}"
    return PartLimits(image=image, pixel=pixel, rule=words, promise=promise, bound=bound, confidence=sure)


def _promised(image: Cut, pixel: Cut, rule: DecisionRule) -> tuple[str, float, float]:
    if rule.regions is None:
        return image.promise, image.bound, image.confidence
    if not rule.image_score:
        return pixel.promise, pixel.bound, pixel.confidence
    both = min(1.0, image.bound + pixel.bound)
    sure = round(2 * image.confidence - 1, 12)  # each may fail alone
    return (
        f"Image score and regions each reject by their own threshold: with {100 * sure:g} % confidence at most {both:.2%} of good parts "
        f"like these are rejected by either. By the image score: {image.promise} By regions: {pixel.promise}",
        both,
        sure,
    )


def highest_of(rank: int) -> str:
    """`highest`, `2nd highest`, as people count."""
    return ordinal(rank).replace("largest", "highest")


def _apart(score: float, threshold: float) -> float:
    return abs(score - threshold) / abs(threshold) if threshold else float("inf") if score else 0.0
