"""A calibration as one HTML page for whoever must decide: nothing outside it is loaded, and it prints."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from edge_inspect import __version__
from edge_inspect.field.calibration.calibration import Calibration, learnt_rows, rule_rows
from edge_inspect.field.calibration.pages import style, write_page
from edge_inspect.field.calibration.pictures import pair
from edge_inspect.field.calibration.plots import plots
from edge_inspect.field.calibration.preview import Judged, Rate
from edge_inspect.thresholds.proposing import RULES

SHOWN = 12
"""Flipped parts with pictures; the JSON has all."""

NAMED = 12

_CAPTIONS = {
    "scores": "Every part by its score: the higher, the less it looks like the good ones. Right of the line is rejected.",
    "rates": "What each image threshold would do: a lower one catches more defects and rejects more good parts.",
    "stored": "The station's own stored parts by their score.",
}


def write_report(calibration: Calibration, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
    """
    write_page(path, html(calibration).encode())


def write_plots(calibration: Calibration, folder: Path) -> tuple[Path, ...]:
    """Write every plot as a PNG file.

    Raises:
        OutputError: one cannot be written.
    """
    made = {folder / f"{name}.png": content for name, content in plots(calibration.preview).items()}
    for path, content in made.items():
        write_page(path, content)
    return tuple(made)


def html(calibration: Calibration) -> str:
    """The page as text."""
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(calibration.part)}: calibration</title>',
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style()}</style></head><body><main>',
            f'<header><div class="brand">edge-inspect calibration</div><h1>{escape(calibration.part)}</h1>{_facts(calibration)}</header>',
            _promise(calibration),
            _changes(calibration),
            *_plots(calibration),
            *_flips(calibration),
            *_highest(calibration),
            _rules(calibration),
            *_left_out(calibration),
            _footer(calibration),
            "</main></body></html>\n",
        ]
    )


def rate_text(rate: Rate) -> str:
    """A share as it was seen, and where it lies."""
    return f"{rate.seen} of {rate.parts} ({rate.low:.1%} to {rate.high:.1%})" if rate.parts else "no such parts"


def _facts(calibration: Calibration) -> str:
    parts = calibration.parts
    return f'<p class="soft">{len(parts.good)} good parts, {len(parts.defective)} defective, {len(calibration.preview.stored)} stored</p>'


def _promise(calibration: Calibration) -> str:
    proposed = calibration.proposed
    kind = "refused" if proposed.refusal else "none" if proposed.proposal.bound is None else ""
    refusal = f"<p><b>Not to be put in force:</b> {escape(proposed.refusal)}</p>" if proposed.refusal else ""
    return f'<div class="promise {kind}"><p><b>Promise.</b> {escape(proposed.proposal.promise)}</p>{refusal}</div>'


def _changes(calibration: Calibration) -> str:
    seen = calibration.preview
    old = seen.old is not None
    rows = [
        ("image threshold", f"{seen.old.image_threshold:.4g}" if seen.old else "none", f"{seen.new.image_threshold:.4g}"),
        ("pixel threshold", f"{seen.old.pixel_threshold:.4g}" if seen.old else "none", f"{seen.new.pixel_threshold:.4g}"),
        *learnt_rows(calibration),
        ("good parts rejected", rate_text(seen.false_rejects(old=True)) if old else "", rate_text(seen.false_rejects())),
        ("defective parts passed", rate_text(seen.escapes(old=True)) if old else "", rate_text(seen.escapes())),
        ("stored parts rejected", rate_text(seen.rejects(old=True)) if old else "", rate_text(seen.rejects())),
    ]
    table = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    note = f'<p class="soft">{escape(calibration.no_old)}</p>' if calibration.no_old else ""
    return (
        "<h2>What changes</h2><p class='soft'>In brackets: where the true share lies with 95 % confidence. The parts that a threshold was "
        "made from flatter it; the promise above does not.</p>"
        f"<table><tr><th></th><th>old</th><th>new</th></tr>{table}</table>{note}"
    )


def _plots(calibration: Calibration) -> Iterator[str]:
    for name, content in plots(calibration.preview).items():
        packed = base64.b64encode(content).decode("ascii")
        yield f'<p class="soft">{_CAPTIONS[name]}</p><img class="plot" alt="{name}" src="data:image/png;base64,{packed}">'


def _flips(calibration: Calibration) -> Iterator[str]:
    flips = calibration.preview.flips
    if calibration.preview.old is None:
        return
    yield f"<h2>{len(flips)} {'verdict flips' if len(flips) == 1 else 'verdicts flip'}</h2>"
    pixel = calibration.preview.new.pixel_threshold
    yield f'<div class="cards">{"".join(_flip_card(one, pixel) for one in flips[:SHOWN])}</div>'
    if len(flips) > SHOWN:
        yield f'<p class="soft">and {len(flips) - SHOWN} more.</p>'


def _flip_card(judged: Judged, pixel_threshold: float) -> str:
    assert judged.before is not None
    said = "good" if judged.part.good else "defective"
    told = f"<b>{escape(judged.part.name)}</b>: {judged.before.value} becomes {judged.after.value}, score {judged.part.score:.4g}"
    label = "" if judged.part.record is not None else f" (called {said})"
    return f'<div class="card">{_pictures(pair(judged.part, pixel_threshold))}{told}{label}</div>'


def _highest(calibration: Calibration) -> Iterator[str]:
    yield "<h2>The highest good parts</h2><p class='soft'>These set the threshold. A defective one among them hides defects: look.</p>"
    pixel = calibration.preview.new.pixel_threshold
    cards = (
        f'<div class="card">{_pictures(pair(part, pixel))}<b>{escape(part.name)}</b>, score {part.score:.4g}</div>'
        for part in calibration.highest
    )
    yield f'<div class="cards">{"".join(cards)}</div>'


def _pictures(shown: tuple[str, str] | None) -> str:
    if shown is None:
        return "<p class='soft'>its frame was not kept</p>"
    return f"<div>{''.join(f'<img src={uri!r} alt=part>' for uri in shown)}</div>"


def _rules(calibration: Calibration) -> str:
    rows = "".join(
        f"<tr><td>{name}</td><td>{'' if isinstance(one, str) else f'{one.image_threshold:.4g}'}</td>"
        f'<td class="text">{escape(RULES[name].plainly)}. {escape(one if isinstance(one, str) else one.promise)} '
        f'<span class="soft">({escape(RULES[name].source)})</span></td></tr>'
        for name, one in rule_rows(calibration)
    )
    return (
        f"<h2>What each rule proposes</h2><table><tr><th>rule</th><th>threshold</th><th class='text'>what it does</th></tr>{rows}</table>"
    )


def _left_out(calibration: Calibration) -> Iterator[str]:
    if told := [*calibration.parts.told, *calibration.parts.left_out[:NAMED]]:
        yield f"<h2>To know</h2><ul>{_items(told)}</ul>"


def _items(texts: Iterable[str]) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in texts)


def _footer(calibration: Calibration) -> str:
    new = calibration.preview.new
    return (
        f"<footer><p>Scored by the accepted engine {new.engine_sha256} on this device; recipe {new.recipe_sha256}. "
        f"edge-inspect {__version__}, {new.made_at.astimezone():%Y-%m-%d %H:%M %Z}. Nothing is changed by this page.</p></footer>"
    )
