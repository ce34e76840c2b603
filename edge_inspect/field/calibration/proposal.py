"""From a sample to new thresholds, and what may not be proposed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.util import find_spec

import numpy as np

from edge_inspect import __version__
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Parts
from edge_inspect.field.calibration.region_limits import with_region_limits
from edge_inspect.field.calibration.zones import Places, parts_for_zones, usual_places
from edge_inspect.scoring import Scorer
from edge_inspect.thresholds import Sample, Thresholds, ZoneLimits
from edge_inspect.thresholds.order_statistics import parts_needed
from edge_inspect.thresholds.proposing import RULES, Proposal, Rule, Scores, Wanted, parts_to_promise, rules_for

FEWEST = 10
"""Fewer good parts than this say too little about how good parts differ."""

MOST = 0.5
"""A promise of more false rejects than this is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What is proposed.

    Attributes:
        thresholds: ready to be put in force.
        proposal: of the rule that was asked for.
        others: what the other rules would propose; the reason where one cannot.
        refusal: why these thresholds may not be put in force; "" where they may.
    """

    thresholds: Thresholds
    proposal: Proposal
    others: dict[str, Proposal | str]
    refusal: str


def propose(scorer: Scorer, parts: Parts, *, rule: str, wanted: Wanted, regions: bool = False) -> Proposed:
    """Ask a rule, and beside it all others that this sample can be given to.

    Args:
        scorer: the opened engine.
        parts: what is looked at.
        rule: its name.
        wanted: what is to be promised.
        regions: learn a lower pixel threshold and a least area, too.

    Raises:
        ConfigError: too few parts, an unknown rule, or one that this sample is not for.
    """
    _refuse_impossible(parts, wanted)
    places = usual_places(parts, scorer.recipe, own=scorer.own_score) if scorer.recipe.zones else None
    scores = parts.scores(own=scorer.own_score) if places is None else places.scores(parts)
    named = _rule(rule, scores)
    try:
        proposal, zones = _laid(named.propose(scores, wanted), places)
    except ValueError as error:
        raise ConfigError(f"--rule {rule}: {error}") from error
    limits = None
    if regions:
        proposal, limits, zones = with_region_limits(proposal, parts, scorer.recipe, wanted)
    return Proposed(
        thresholds=_thresholds(scorer, parts, proposal, wanted).model_copy(update={"region_limits": limits, "zones": zones}),
        proposal=proposal,
        others={name: _tried(other, scores, wanted, places) for name, other in rules_for(scores).items() if name != rule},
        refusal=_refusal(proposal, scores, wanted, places),
    )


def _laid(proposal: Proposal, places: Places | None) -> tuple[Proposal, tuple[ZoneLimits, ...]]:
    """The proposal in engine units, and the thresholds of the recipe's zones."""
    return (proposal, ()) if places is None else places.in_engine_units(proposal)


def _refuse_impossible(parts: Parts, wanted: Wanted) -> None:
    if not 0 < wanted.rate <= MOST or not 0.5 <= wanted.confidence < 1:
        raise ConfigError(
            f"--false-rejects {wanted.rate:g} --confidence {wanted.confidence:g}: wanted above 0 and at most {MOST}, and 0.5 to below 1"
        )
    if len(parts.good) < FEWEST:
        needed = parts_needed(wanted.rate, wanted.confidence)
        raise ConfigError(
            f"{len(parts.good)} usable good parts, {FEWEST} or more are needed, and {needed} to promise {wanted.rate:.2%}"
            + ("; left out: " + "; ".join(parts.left_out[:5]) if parts.left_out else "")
        )


def _rule(name: str, scores: Scores) -> Rule:
    rule = RULES[name]
    if rule.needs_defects and not scores.defective:
        raise ConfigError(f"--rule {name}: weighs good parts against defective ones, and there are none; give --bad DIR")
    if rule.package is not None and find_spec(rule.package) is None:
        raise ConfigError(f"--rule {name}: needs scikit-learn, which is not installed: pip install 'edge-inspect[evaluate]'")
    return rule


def _tried(rule: Rule, scores: Scores, wanted: Wanted, places: Places | None) -> Proposal | str:
    try:
        return _laid(rule.propose(scores, wanted), places)[0]
    except ValueError as error:
        return str(error)


def _refusal(proposal: Proposal, scores: Scores, wanted: Wanted, places: Places | None) -> str:
    if proposal.carried:
        return ""
    if proposal.bound is None:
        return "the highest good scores do not fit the tail that this rule draws; use another rule, or more good parts"
    good, needed = len(scores.good), parts_to_promise(scores, wanted)
    if places is not None:
        good, needed = good + len(places.used), parts_for_zones(needed)
    return (
        f"{good} good parts carry a promise of {proposal.bound:.2%}, not of {wanted.rate:.2%}; bring {needed} or more, or ask for what "
        f"they carry: --false-rejects {_rounded_up(proposal.bound):g}"
    )


def _rounded_up(rate: float) -> float:
    """The rate in thousandths, not below."""
    return float(np.ceil(rate * 1000) / 1000)


def _thresholds(scorer: Scorer, parts: Parts, proposal: Proposal, wanted: Wanted) -> Thresholds:
    good = [part.score for part in parts.good]
    return Thresholds(
        image_threshold=proposal.image_threshold,
        pixel_threshold=proposal.pixel_threshold,
        engine_sha256=scorer.model.engine_sha256,
        recipe_sha256=scorer.recipe.sha256,
        rule=proposal.described,
        promise=proposal.promise,
        false_reject_bound=proposal.bound,
        confidence=None if proposal.bound is None else wanted.confidence,
        sample=Sample(
            images=len(good), fingerprint=_fingerprint(parts), minimum=min(good), median=float(np.median(good)), maximum=max(good)
        ),
        made_at=datetime.now(timezone.utc),
        software=f"edge-inspect {__version__}",
    )


def _fingerprint(parts: Parts) -> str:
    """Hash over the sorted hashes of the good frames; of a part without a frame its number stands for it."""
    return hashlib.sha256("".join(sorted(part.sha256 or part.name for part in parts.good)).encode()).hexdigest()
