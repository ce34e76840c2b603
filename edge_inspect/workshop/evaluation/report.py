"""The evaluation as one HTML page: nothing outside it is loaded, and it prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from edge_inspect import __version__
from edge_inspect.errors import OutputError
from edge_inspect.workshop.evaluation.evaluate import Evaluation
from edge_inspect.workshop.evaluation.report_sections import (
    capital,
    curves_section,
    gallery_section,
    robustness_section,
    scores_section,
    verdicts_section,
)
from edge_inspect.workshop.evaluation.summary import counts, figure, kept_sentence, shortcut_sentence

NAMED = 12
"""Pictures left out that are named on the page; the JSON has all."""


def write_report(evaluation: Evaluation, path: Path, *, machine: str) -> None:
    """Write the page.

    Args:
        evaluation: what it tells; its pictures are read again.
        path: of the page.
        machine: where the time was measured.

    Raises:
        OutputError: the page cannot be written.
        CameraError: a picture of the gallery cannot be read any more.
    """
    page = html(evaluation, machine=machine)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: the report cannot be written: {error.strerror}; check the path, space and permissions") from error


def html(evaluation: Evaluation, *, machine: str) -> str:
    """The page as text. Arguments and errors are those of `write_report`."""
    style = (files("edge_inspect.workshop.evaluation") / "report.css").read_text(encoding="utf-8")
    title = escape(evaluation.part)
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: evaluation</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{style}</style></head><body><main>",
            _header(evaluation, title, machine),
            _tiles(evaluation),
            _promise(evaluation),
            *_warnings(evaluation),
            verdicts_section(evaluation),
            scores_section(evaluation),
            *curves_section(evaluation),
            *robustness_section(evaluation),
            *gallery_section(evaluation),
            _footer(evaluation),
            "</main></body></html>\n",
        ]
    )


def _header(evaluation: Evaluation, title: str, machine: str) -> str:
    network, count = evaluation.manifest.input, counts(evaluation)
    facts = {
        "test set": f"{evaluation.set_name}, {count['good']} good and {count['defective']} defective",
        "engine": f"{evaluation.manifest.model} ({evaluation.manifest.family})",
        "hash": evaluation.engine_sha256[:12],
        "calibration": evaluation.thresholds.calibration_id,
        "network image": f"{network.width} x {network.height} x {network.channels}",
        "runtime": evaluation.runtime,
        "machine": machine,
    }
    told = "".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in facts.items())
    return f'<header><div class="brand">edge-inspect evaluation</div><h1>{title}</h1><div class="facts">{told}</div></header>'


def _tiles(evaluation: Evaluation) -> str:
    image, pixel = evaluation.image, evaluation.pixel
    tiles = [
        _tile("Image AUROC", figure(image.auroc), _range(evaluation, "image_auroc")),
        _tile("Average precision", figure(image.average_precision), _range(evaluation, "image_ap")),
        _tile("Pixel AUROC", figure(pixel.auroc if pixel else None), "" if pixel is None else f"{pixel.images} pictures"),
        _tile("AUPRO to 0.30", figure(pixel.aupro_30 if pixel else None), "" if pixel is None else f"{pixel.regions} defects"),
        _tile("AUPRO to 0.05", figure(pixel.aupro_05 if pixel else None), ""),
        _tile("F1 at threshold", figure(image.f1), _range(evaluation, "f1")),
        _tile("Recall", figure(image.recall), _range(evaluation, "recall")),
        _tile("Precision", figure(image.precision), ""),
        _tile("False rejects", f"{image.false_reject_rate:.1%}", _exact_range(evaluation)),
        _tile("Time per image", f"{evaluation.ms_per_image:.1f} ms", "median, frame to verdict"),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, beside: str) -> str:
    kind = "value none" if value == figure(None) else "value"
    return f'<div class="tile"><div class="name">{name}</div><div class="{kind}">{value}</div><div class="range">{beside}</div></div>'


def _exact_range(evaluation: Evaluation) -> str:
    """Of false rejects: a bootstrap of a sample without any would say that there are none."""
    promise = evaluation.promise
    return f"{promise.low:.1%} to {promise.high:.1%}"


def _range(evaluation: Evaluation, name: str) -> str:
    interval = evaluation.intervals.get(name)
    if interval is None:
        return ""
    return f"{interval.low:.3f} to {interval.high:.3f}"


def _promise(evaluation: Evaluation) -> str:
    promise = evaluation.promise
    kind = "" if promise.bound is None else "broken" if promise.broken else "kept"
    word = {"": "No promise to keep", "broken": "Promise broken", "kept": "Promise kept"}[kind]
    told = f"<p><b>{word}.</b> {escape(capital(kept_sentence(evaluation)))}</p><p>The thresholds say: {escape(promise.sentence)}</p>"
    return f'<div class="promise {kind}">{told}</div>'


def _warnings(evaluation: Evaluation) -> Iterator[str]:
    shortcut = shortcut_sentence(evaluation)
    if shortcut is not None:
        yield f'<div class="warning"><b>Beware.</b> {escape(shortcut)}</div>'
    if evaluation.refused:
        yield _warning(f"{len(evaluation.refused)} pictures could not be judged and count for nothing", evaluation.refused)
    if evaluation.outcomes.faults:
        faults = [one.image.name for one in evaluation.judged if one.score is None]
        yield _warning(f"{len(faults)} parts were not inspected: they leave as reject and have no score", faults)
    if evaluation.without_mask:
        none = "No pixel figures: " if evaluation.pixel is None else ""
        yield _warning(f"{none}{len(evaluation.without_mask)} defective pictures have no usable mask", evaluation.without_mask)


def _warning(what: str, names: Sequence[str]) -> str:
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return f'<div class="warning"><b>{escape(what)}.</b><ul>{_items([*names[:NAMED], *more])}</ul></div>'


def _items(texts: Iterable[str]) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in texts)


def _footer(evaluation: Evaluation) -> str:
    part = "every picture is a part" if evaluation.part_of is None else f"a part's pictures are drawn together ({evaluation.part_of})"
    return (
        "<footer><p>Every picture went through the station's own inspection: engine accepted on its golden frames, thresholds as "
        "calibrated. Pixel figures compare the score map, read bilinearly at every frame pixel, with the mask as drawn; a defective "
        "pixel that the recipe does not search counts as missed, a good one not at all.</p>"
        f"<p>Intervals: 95 %, bootstrap, {evaluation.resamples} resamples of good and of defective parts, seed {evaluation.seed}; "
        f"{escape(part)}. False rejects and the promise: exact, of the binomial distribution.</p>"
        f"<p>edge-inspect {__version__}, engine {evaluation.engine_sha256}, "
        f"made {evaluation.manifest.created_at:%Y-%m-%d %H:%M} UTC.</p></footer>"
    )
