"""An evaluation as one JSON object and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from edge_inspect import __version__
from edge_inspect.workshop.evaluation.evaluate import Evaluation
from edge_inspect.workshop.evaluation.outcomes import Outcomes
from edge_inspect.workshop.evaluation.shortcuts import suspicious


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but pictures and single scores; a figure that cannot be measured is None."""
    image, pixel = evaluation.image, evaluation.pixel
    return {
        "family": evaluation.manifest.family,
        "model": evaluation.manifest.model,
        "engine_sha256": evaluation.engine_sha256,
        "part": evaluation.part,
        "set": evaluation.set_name,
        "seed": evaluation.seed,
        "runtime": evaluation.runtime,
        "image_auroc": image.auroc,
        "image_ap": image.average_precision,
        "pixel_auroc": None if pixel is None else pixel.auroc,
        "aupro_30": None if pixel is None else pixel.aupro_30,
        "aupro_05": None if pixel is None else pixel.aupro_05,
        "precision": image.precision,
        "recall": image.recall,
        "f1": image.f1,
        "false_reject_rate": image.false_reject_rate,
        "ms_per_image": evaluation.ms_per_image,
        "intervals": {name: [interval.low, interval.high] for name, interval in evaluation.intervals.items()},
        "resamples": evaluation.resamples,
        "part_of": evaluation.part_of,
        "counts": counts(evaluation),
        "per_defect": {kind: asdict(figures) for kind, figures in evaluation.per_defect.items()},
        "promise": {**asdict(evaluation.promise), "broken": evaluation.promise.broken},
        "image_threshold": evaluation.thresholds.image_threshold,
        "pixel_threshold": evaluation.thresholds.pixel_threshold,
        "calibration_id": evaluation.thresholds.calibration_id,
        "robustness": [asdict(figure) for figure in evaluation.robustness] or None,
        "shortcuts": dict(evaluation.shortcuts),
        "refused": list(evaluation.refused),
        "without_mask": list(evaluation.without_mask),
        "software": f"edge-inspect {__version__}",
    }


def counts(evaluation: Evaluation) -> dict[str, int]:
    """How many pictures were what, and what became of them."""
    outcomes, pixel = evaluation.outcomes, evaluation.pixel
    return {
        "good": int((~outcomes.defective).sum()),
        "defective": int(outcomes.defective.sum()),
        "false_rejects": int((outcomes.rejected & ~outcomes.defective).sum()),
        "missed": missed(outcomes),
        "faults": outcomes.faults,
        "refused": len(evaluation.refused),
        "pixel_images": 0 if pixel is None else pixel.images,
        "pixel_regions": 0 if pixel is None else pixel.regions,
        "without_mask": len(evaluation.without_mask),
    }


def missed(outcomes: Outcomes) -> int:
    """Defective parts that pass as OK."""
    return int((outcomes.defective & ~outcomes.rejected).sum())


def shortcut_sentence(evaluation: Evaluation) -> str | None:
    """What else this set measures; None where no plain look tells good from defective."""
    found = suspicious(evaluation.shortcuts)
    if not found:
        return None
    told = ", ".join(f"{name} (AUROC {auroc:.3f})" for name, auroc in found.items())
    return (
        f"In this set good and defective pictures differ by plain {told}, without any engine: accuracy, and most of all "
        "robustness, may tell of how the pictures were taken and not of defects. Judge on a set taken under one condition."
    )


def kept_sentence(evaluation: Evaluation) -> str:
    """Whether the promised bound held, in one sentence."""
    promise = evaluation.promise
    seen = f"{promise.rejected} of {promise.parts} good parts rejected, {promise.low:.1%} to {promise.high:.1%} with 95 % confidence"
    if promise.bound is None or promise.chance is None:
        return f"{seen}; the thresholds promise no bound."
    if promise.broken:
        return f"{seen}: more than the promised {promise.bound:.2%} allows (chance {promise.chance:.1g})."
    return f"{seen}: in keeping with the promised {promise.bound:.2%}."


def lines(evaluation: Evaluation, machine: str) -> Iterator[str]:
    """For a terminal."""
    count, manifest = counts(evaluation), evaluation.manifest
    yield from (f"left out     {refused}" for refused in evaluation.refused)
    yield f"engine       {manifest.model} ({manifest.family}, {evaluation.engine_sha256[:12]}) in {evaluation.runtime}"
    yield f"set          {evaluation.set_name}: {count['good']} good, {count['defective']} defective, {count['refused']} left out"
    yield from _figures(evaluation)
    yield f"promise      {kept_sentence(evaluation)}"
    warning = shortcut_sentence(evaluation)
    if warning is not None:
        yield f"beware       {warning}"
    yield from _by_kind(evaluation)
    yield from _disturbed(evaluation)
    if count["faults"]:
        yield f"faults       {count['faults']} parts were not inspected; they leave as reject and have no score"
    yield f"time         {evaluation.ms_per_image:.2f} ms per image (median), {machine}"


def _figures(evaluation: Evaluation) -> Iterator[str]:
    image = evaluation.image
    auroc, precision = _with(evaluation, "image_auroc", image.auroc), _with(evaluation, "image_ap", image.average_precision)
    yield f"image        AUROC {auroc}, AP {precision}"
    yield f"pixel        {_pixel(evaluation)}"
    f1, recall = _with(evaluation, "f1", image.f1), _with(evaluation, "recall", image.recall)
    yield f"at threshold F1 {f1}, recall {recall}, {_precision(image.precision)}"


def _by_kind(evaluation: Evaluation) -> Iterator[str]:
    for kind, figures in evaluation.per_defect.items():
        yield f"  {kind:20} AUROC {figure(figures.auroc)}, {figures.recall:.0%} of {figures.images} rejected"


def _disturbed(evaluation: Evaluation) -> Iterator[str]:
    for row in evaluation.robustness:
        if not row.undisturbed:
            found = f"AUROC {figure(row.auroc)}, false alarms {row.false_reject_rate:.1%}, recall {row.recall:.1%}"
            yield f"  {row.disturbance:16} {row.strength:5g}  {found}"


def figure(value: float | None) -> str:
    """Three decimals, or a word where it cannot be measured."""
    return "not measured" if value is None else f"{value:.3f}"


def _with(evaluation: Evaluation, name: str, value: float | None) -> str:
    interval = evaluation.intervals.get(name)
    return figure(value) + (f" ({interval.low:.3f} to {interval.high:.3f})" if interval else "")


def _precision(value: float | None) -> str:
    return "nothing rejected" if value is None else f"precision {value:.3f}"


def _pixel(evaluation: Evaluation) -> str:
    pixel = evaluation.pixel
    if pixel is None:
        return f"not measured: no usable mask ({len(evaluation.without_mask)} defective pictures without)"
    without = f", {len(evaluation.without_mask)} defective pictures without a usable mask" if evaluation.without_mask else ""
    return f"AUROC {pixel.auroc:.3f}, AUPRO {pixel.aupro_30:.3f} up to 0.30 and {pixel.aupro_05:.3f} up to 0.05{without}"
