"""Every rule by name, and what it proposes for one sample of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np

from edge_inspect.config import DecisionRule
from edge_inspect.thresholds.good_rules import mean_of_errors
from edge_inspect.thresholds.labelled_rules import best_f1, most_precise, youden
from edge_inspect.thresholds.order_statistics import CONFIDENCE, parts_needed
from edge_inspect.thresholds.part_limits import part_limits
from edge_inspect.thresholds.separation import PENALTY, fit_svm
from edge_inspect.thresholds.tail import LEAST_FIT, Tail, fit_tail

QUANTILE, TAIL, MEAN, SEPARATION = "quantile", "tail", "mean", "svm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One sample of parts, a score each.

    Attributes:
        good, defective: image scores, engine units.
        good_peaks, defective_peaks: largest searched cell of each; None where that is the image score.
        good_means, defective_means: mean of the searched cells of each; None where no map is at hand.
    """

    good: tuple[float, ...]
    defective: tuple[float, ...] = ()
    good_peaks: tuple[float, ...] | None = None
    defective_peaks: tuple[float, ...] | None = None
    good_means: tuple[float, ...] | None = None
    defective_means: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asks for: a false-reject rate, how sure it must be, and what the recipe lets decide.

    `held_out` says whether it is known that the model was not made from the parts; the promise does not say so where it is not.
    """

    rate: float = 0.01
    confidence: float = CONFIDENCE
    decision: DecisionRule = field(default_factory=DecisionRule)
    held_out: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a rule proposes.

    Attributes:
        rule: its name.
        image_threshold, pixel_threshold: engine units.
        promise: the sentence a person may rely on.
        bound: highest false-reject rate promised; None where none is.
        carried: whether the sample carries the wanted rate.
        described: how it was made, for the record.
    """

    rule: str
    image_threshold: float
    pixel_threshold: float
    promise: str
    bound: float | None
    carried: bool
    described: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule: what it does in one plain sentence, where it comes from, and what it needs.

    `propose` raises ValueError where the sample is not one for this rule.
    """

    name: str
    plainly: str
    source: str
    needs_defects: bool
    propose: Callable[[Scores, Wanted], Proposal]
    package: str | None = None


def rules_for(scores: Scores) -> Mapping[str, Rule]:
    """The rules that this sample can be given to: those that need defects where there are some, those of an extra where it is there."""
    return {name: rule for name, rule in RULES.items() if (scores.defective or not rule.needs_defects) and _installed(rule)}


def _installed(rule: Rule) -> bool:
    return rule.package is None or find_spec(rule.package) is not None


def parts_to_promise(scores: Scores, wanted: Wanted) -> int:
    """Fewest good parts that carry the wanted promise, for the events that may reject a part."""
    rate, confidence = _each(scores, wanted)
    return parts_needed(rate, confidence)


def _each(scores: Scores, wanted: Wanted) -> tuple[float, float]:
    """Rate and confidence of each event: where image score and regions reject apart, both together must keep the promise."""
    if scores.good_peaks is None or wanted.decision.regions is None or not wanted.decision.image_score:
        return wanted.rate, wanted.confidence
    return wanted.rate / 2, (1 + wanted.confidence) / 2


def _by_quantile(scores: Scores, wanted: Wanted) -> Proposal:
    rate, confidence = _each(scores, wanted)
    limits = part_limits(scores.good, scores.good_peaks, wanted=rate, rule=wanted.decision, confidence=confidence, held_out=wanted.held_out)
    return Proposal(
        rule=QUANTILE,
        image_threshold=limits.image.threshold,
        pixel_threshold=limits.pixel.threshold,
        promise=limits.promise,
        bound=limits.bound,
        carried=limits.bound <= wanted.rate,
        described=limits.rule,
    )


def _by_tail(scores: Scores, wanted: Wanted) -> Proposal:
    image = fit_tail(scores.good, wanted=wanted.rate, confidence=wanted.confidence)
    pixel = image if scores.good_peaks is None else fit_tail(scores.good_peaks, wanted=wanted.rate, confidence=wanted.confidence)
    return Proposal(
        rule=TAIL,
        image_threshold=image.threshold,
        pixel_threshold=pixel.threshold,
        promise=_tail_promise(image, pixel),
        bound=None,
        carried=image.fits and pixel.fits,
        described=f"goes on from the {image.peaks} highest of {image.parts} good scores "
        f"(generalised Pareto, shape {image.pareto.shape:.2f})",
    )


def _tail_promise(image: Tail, pixel: Tail) -> str:
    fit = min(image.fit, pixel.fit)
    if fit < LEAST_FIT:
        return f"None: the highest good scores do not look like a tail that goes on evenly (fit {fit:.2f}, wanted {LEAST_FIT:.2f} or more)."
    needed = parts_needed(image.wanted, image.confidence)
    promised = (
        f"These {image.parts} good parts carry a promise of that: take --rule {QUANTILE}."
        if image.parts >= needed
        else f"A promise of that needs {needed} good parts."
    )
    return (
        f"No promise, an extrapolation: if scores beyond the {image.parts} seen go on as the highest {image.peaks} begin "
        f"(fit {fit:.2f}), at most {image.wanted:.2%} of good parts like these are rejected. {promised}"
    )


def _by_mean(scores: Scores, _: Wanted) -> Proposal:
    return _unpromised(MEAN, mean_of_errors(scores.good), None if scores.good_peaks is None else mean_of_errors(scores.good_peaks), scores)


def _weighed(name: str, choose: Callable[[Sequence[float], Sequence[float]], float]) -> Callable[[Scores, Wanted], Proposal]:
    """A rule that weighs good against defective parts."""

    def propose(scores: Scores, _: Wanted) -> Proposal:
        image = choose(scores.good, scores.defective)
        pixel = choose(scores.good_peaks, scores.defective_peaks or ()) if scores.good_peaks is not None else None
        return _unpromised(name, image, pixel, scores)

    return propose


def _by_separation(scores: Scores, _: Wanted) -> Proposal:
    """A station compares the maximum alone: it gets the paper's line where that crosses the way from the average good part to the average
    defective one.
    """
    if scores.good_means is None or scores.defective_means is None or scores.good_peaks is not None:
        raise ValueError("svm parts mean and maximum of the score map: it needs every part's map, and an image score that is the maximum")
    good, defective = (np.column_stack(side) for side in ((scores.good_means, scores.good), (scores.defective_means, scores.defective)))
    found = fit_svm(good, defective, penalty=PENALTY)
    ends = np.stack([good.mean(axis=0), defective.mean(axis=0)])
    here, there = found.scores(ends)
    if not here < 0 < there:
        raise ValueError("svm: no line parts these defective parts from the good ones on average; use another rule")
    crossing = float(ends[0, 1] + here / (here - there) * (ends[1, 1] - ends[0, 1]))
    return _unpromised(SEPARATION, crossing, None, scores)


def _unpromised(name: str, image: float, pixel: float | None, scores: Scores) -> Proposal:
    rejected = sum(score > image for score in scores.good)
    passed = sum(score <= image for score in scores.defective)
    defects = f" and {passed} of {len(scores.defective)} defective ones pass" if scores.defective else ""
    return Proposal(
        rule=name,
        image_threshold=image,
        pixel_threshold=image if pixel is None else pixel,
        promise=f"None: chosen on these very parts, of which {rejected} of {len(scores.good)} good ones are rejected{defects}.",
        bound=None,
        carried=True,
        described=f"{name}: {RULES[name].source}",
    )


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            name=QUANTILE,
            plainly="the lowest threshold that keeps the promised share of false rejects; needs only good parts",
            source="order statistics: David and Nagaraja 2003, section 2.3",
            needs_defects=False,
            propose=_by_quantile,
        ),
        Rule(
            name=TAIL,
            plainly="goes on from the highest good scores to a rate that the sample is too small for; no promise",
            source="peaks over threshold: Davison and Smith 1990, fitted as Zhang and Stephens 2009",
            needs_defects=False,
            propose=_by_tail,
        ),
        Rule(
            name=MEAN,
            plainly="the mean of the good scores: rejects about half of all good parts, for comparison",
            source="Kumar et al. 2025",
            needs_defects=False,
            propose=_by_mean,
        ),
        Rule(
            name="f1",
            plainly="the best balance of caught defects and false rejects, on a grid of a hundredth of the score range",
            source="An et al. 2026, F1 grid of step 0.01",
            needs_defects=True,
            propose=_weighed("f1", best_f1),
        ),
        Rule(
            name="youden",
            plainly="the largest distance between the share of caught defects and the share of false rejects",
            source="Youden 1950; An et al. 2026",
            needs_defects=True,
            propose=_weighed("youden", youden),
        ),
        Rule(
            name="recall90",
            plainly="catches at least 90 of 100 defects, with as few false rejects among the rejects as that allows",
            source="An et al. 2026, recall >= 0.90 with the highest precision",
            needs_defects=True,
            propose=_weighed("recall90", most_precise),
        ),
        Rule(
            name=SEPARATION,
            plainly="parts good from defective in the plane of mean and maximum; the station uses where it lies between the averages",
            source="Tayeh et al. 2020, linear support vector machine, C = 1e8",
            needs_defects=True,
            propose=_by_separation,
            package="sklearn",
        ),
    )
}
"""In the order in which they are shown; the first is what is taken when nobody asks for another."""
