"""A study as one HTML page for whoever must release the station: nothing outside it is loaded, and it prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape
from pathlib import Path

from edge_inspect import __version__
from edge_inspect.datatypes import Verdict
from edge_inspect.field.calibration.pages import style, write_page
from edge_inspect.field.msa.agreement import LIMITS, Figure, Presentation, Standing, Study, by_part

PLAINLY = {
    "effectiveness": "parts that got the right verdict every time they were shown",
    "miss rate": "showings of defective parts that passed",
    "false alarm rate": "showings of good parts that were rejected",
    "kappa": "agreement with what is known, less what chance alone would bring: 1 is always, 0 is chance",
    "repeatability": "parts that got the same verdict every time, right or wrong; of those shown more than once",
    "defective parts passed at least once": "by parts",
    "good parts rejected at least once": "by parts",
}

INDEPENDENT = (
    "Intervals are exact (Clopper and Pearson). Showings of one part are not independent of each other, so those of the miss rate, the "
    "false alarm rate and kappa are narrower than they should be where parts were shown several times; the lines by parts are not."
)

_BOX = {Standing.ACCEPTED: "", Standing.MARGINAL: "none", Standing.NOT_ACCEPTED: "refused"}


def value_text(figure: Figure) -> str:
    """A figure as it was seen: a share, or kappa as a number."""
    if figure.value is None:
        return "not shown"
    return f"{figure.value:.3f}" if figure.name == "kappa" else f"{figure.value:.1%} ({figure.seen} of {figure.of})"


def interval_text(figure: Figure) -> str:
    """Where the true figure lies."""
    return f"{figure.low:.3f} to {figure.high:.3f}" if figure.name == "kappa" else f"{figure.low:.1%} to {figure.high:.1%}"


def limit_text(figure: Figure) -> str:
    """The customary limit in words; "" where there is none."""
    limit = LIMITS.get(figure.name)
    if limit is None:
        return ""
    sign = ">=" if limit.at_least else "<="
    shown = [f"{one:g}" if figure.name == "kappa" else f"{one:.0%}" for one in (limit.accepted, limit.marginal)]
    return f"{sign} {shown[0]}, marginal {sign} {shown[1]}"


def standing_text(figure: Figure) -> str:
    """What the limit says, and whether the sample is large enough to say so surely."""
    if figure.standing is None:
        return ""
    doubt = figure.standing is Standing.ACCEPTED and not figure.carried
    return f"{figure.standing.value}{', sample too small to be sure' if doubt else ''}"


def size_text(study: Study) -> str:
    """How many parts and showings, and how many ended in a FAULT."""
    parts = by_part(study.presentations).values()
    good = sum(shown[0].good for shown in parts)
    return f"{good} good parts, {len(parts) - good} defective, {len(study.presentations)} showings, {study.faults} of them FAULT"


def write_study(study: Study, path: Path, *, source: str) -> None:
    """Write the page; `source` says what decided.

    Raises:
        OutputError: it cannot be written.
    """
    write_page(path, html(study, source=source).encode())


def html(study: Study, *, source: str) -> str:
    """The page as text."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Attribute agreement study</title>',
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style()}</style></head><body><main>',
            f'<header><div class="brand">edge-inspect msa</div><h1>Attribute agreement study</h1><p class="soft">{escape(source)}</p>'
            f'<p class="soft">{size_text(study)}</p></header>',
            f'<div class="promise {_BOX[study.standing]}"><p><b>By the customary limits: {study.standing.value}.</b></p></div>',
            _figures(study),
            _counts(study),
            *_wrong(study),
            *_told(study),
            f"<footer><p>edge-inspect {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}. The limits are those of AIAG's MSA "
            "manual as secondary pages give them; a customer may ask for others.</p></footer></main></body></html>\n",
        ]
    )


def _figures(study: Study) -> str:
    rows = "".join(
        _row([one.name, value_text(one), interval_text(one), limit_text(one), standing_text(one), PLAINLY[one.name]])
        for one in study.figures
    )
    heads = "<tr><th>figure</th><th>seen</th><th>95 % interval</th><th>limit</th><th>stands</th><th>in words</th></tr>"
    return f"<h2>Figures</h2><table class='words'>{heads}{rows}</table><p class='soft'>{INDEPENDENT}</p>"


def _counts(study: Study) -> str:
    caught, missed, passed, rejected = study.counts
    faults = {good: sum(one.good is good and one.verdict is Verdict.FAULT for one in study.presentations) for good in (True, False)}
    rows = _row(["good", passed, rejected, faults[True]]) + _row(["defective", missed, caught, faults[False]])
    return (
        f"<h2>Showings</h2><table><tr><th>known as</th><th>OK</th><th>NG</th><th>FAULT</th></tr>{rows}</table>"
        "<p class='soft'>A FAULT is no decision: its part counts as neither right nor repeated, and no rate of decisions counts it.</p>"
    )


def _wrong(study: Study) -> Iterator[str]:
    if study.wrong:
        rows = "".join(_row([shown[0].part, _known(shown[0]), said_text(shown), _reasons(shown)]) for shown in study.wrong)
        heads = "<tr><th>part</th><th>known as</th><th>said, trial by trial</th><th>reasons</th></tr>"
        yield f"<h2>Parts not decided rightly every time</h2><table class='words'>{heads}{rows}</table>"


def said_text(shown: Iterable[Presentation]) -> str:
    """The verdicts of one part, in order."""
    return " ".join(one.verdict.value for one in shown)


def _known(one: Presentation) -> str:
    return "good" if one.good else "defective"


def _reasons(shown: Iterable[Presentation]) -> str:
    return "; ".join(dict.fromkeys(one.reason for one in shown if one.reason))


def _told(study: Study) -> Iterator[str]:
    if study.told:
        yield f"<h2>To know</h2><ul>{''.join(f'<li>{escape(text)}</li>' for text in study.told)}</ul>"


def _row(cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"
