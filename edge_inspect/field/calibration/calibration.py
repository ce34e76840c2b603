"""One calibration from the parts to what is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Part, Parts
from edge_inspect.field.calibration.preview import Judged, Preview, Rate, preview
from edge_inspect.field.calibration.proposal import Proposed, propose
from edge_inspect.field.calibration.region_limits import area_text
from edge_inspect.scoring import Scorer
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.proposing import RULES, Proposal, Wanted
from edge_inspect.thresholds.record import load_thresholds
from edge_inspect.thresholds.taught_frames import taught_frames

HIGHEST = 6
"""How many of the highest good parts are shown: one that is not good after all hides defects from then on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What was measured and what is proposed.

    Attributes:
        part: the recipe's part.
        parts: what it was measured on: none that the model is known to be made from.
        proposed: the new thresholds, and what other rules propose.
        preview: what they would have decided.
        no_old: why there are no old thresholds to compare with; "" where there are.
        mm_per_px: scale of the recipe; None where it has none.
    """

    part: str
    parts: Parts
    proposed: Proposed
    preview: Preview
    no_old: str
    mm_per_px: float | None = None

    @property
    def highest(self) -> tuple[Part, ...]:
        """The good parts with the highest scores, highest first."""
        return tuple(sorted(self.parts.good, key=lambda part: -part.score)[:HIGHEST])


def calibrate(scorer: Scorer, parts: Parts, stored: Parts, *, rule: str, wanted: Wanted, regions: bool = False) -> Calibration:
    """Propose thresholds, and try them on the same parts and on the stored ones.

    Good parts that the model was made from are left out, where its folder says which.

    Raises:
        ConfigError: too few parts, or a rule that this sample is not for.
        EngineError: the list of what the model was made from cannot be read.
    """
    parts = parts.new_to(taught_frames(scorer.model))
    proposed = propose(scorer, parts, rule=rule, wanted=replace(wanted, held_out=parts.taught is not None), regions=regions)
    old, no_old = _old(scorer)
    return Calibration(
        part=scorer.recipe.part,
        parts=parts,
        proposed=proposed,
        preview=preview(parts.parts, stored.parts, old=old, new=proposed.thresholds, recipe=scorer.recipe),
        no_old=no_old,
        mm_per_px=scorer.recipe.mm_per_px,
    )


def _old(scorer: Scorer) -> tuple[Thresholds | None, str]:
    engine, recipe = scorer.model.engine_sha256, scorer.recipe
    try:
        return load_thresholds(recipe.thresholds, engine_sha256=engine, recipe_sha256=recipe.sha256), ""
    except ConfigError as error:
        return None, str(error)


def summary(calibration: Calibration) -> dict[str, Any]:
    """Everything but pictures and maps, in values that JSON has."""
    seen, proposed = calibration.preview, calibration.proposed
    return {
        "part": calibration.part,
        "good": len(calibration.parts.good),
        "defective": len(calibration.parts.defective),
        "left_out": list(calibration.parts.left_out),
        "told": list(calibration.parts.told),
        "taught": None if calibration.parts.taught is None else list(calibration.parts.taught),
        "old": None if seen.old is None else seen.old.model_dump(mode="json"),
        "no_old": calibration.no_old,
        "new": proposed.thresholds.model_dump(mode="json"),
        "mm_per_px": calibration.mm_per_px,
        "rule": proposed.proposal.rule,
        "promise": proposed.proposal.promise,
        "refusal": proposed.refusal,
        "others": {name: one if isinstance(one, str) else asdict(one) for name, one in proposed.others.items()},
        "false_rejects": _both(seen.false_rejects(), seen.false_rejects(old=True), seen.old),
        "escapes": _both(seen.escapes(), seen.escapes(old=True), seen.old),
        "stored_rejects": _both(seen.rejects(), seen.rejects(old=True), seen.old),
        "flips": [_flip(one) for one in seen.flips],
        "highest_good": [[part.name, part.score] for part in calibration.highest],
    }


def _both(new: Rate, old: Rate, thresholds: Thresholds | None) -> dict[str, Any] | None:
    if not new.parts:
        return None
    return {"old": None if thresholds is None else asdict(old), "new": asdict(new)}


def _flip(judged: Judged) -> dict[str, Any]:
    assert judged.before is not None
    name, score = judged.part.name, judged.part.score
    return {"part": name, "score": score, "before": judged.before.value, "after": judged.after.value}


def learnt_rows(calibration: Calibration) -> Iterator[tuple[str, str, str]]:
    """What good parts taught beside image and pixel threshold, with what it was: least areas, and the thresholds of the recipe's zones."""
    old, new, scale = calibration.preview.old, calibration.preview.new, calibration.mm_per_px
    if new.region_limits is not None:
        before = old.region_limits if old else None
        yield "least region area", _area(before.min_area_px if before else None, scale), _area(new.region_limits.min_area_px, scale)
    zones = {zone.name: zone for zone in (old.zones if old else ())}
    for zone in new.zones:
        earlier = zones.get(zone.name)
        yield f"zone {zone.name}", f"{earlier.pixel_threshold:.4g}" if earlier else "none", f"{zone.pixel_threshold:.4g}"
        if zone.min_area_px:
            yield f"zone {zone.name} least area", _area(earlier.min_area_px if earlier else None, scale), _area(zone.min_area_px, scale)


def _area(area_px: float | None, mm_per_px: float | None) -> str:
    return "none" if area_px is None else area_text(area_px, mm_per_px)


def rule_rows(calibration: Calibration) -> Sequence[tuple[str, Proposal | str]]:
    """What every rule proposes, the chosen one first."""
    chosen = calibration.proposed.proposal
    return [(chosen.rule, chosen), *((name, calibration.proposed.others[name]) for name in RULES if name in calibration.proposed.others)]
