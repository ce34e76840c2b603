"""The report's figures as SVG. Blue is good, orange defective, a dashed line the threshold, in all of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from edge_inspect.workshop.evaluation.disturbances import Disturbance
from edge_inspect.workshop.evaluation.outcomes import ImageFigures, Numbers, Outcomes
from edge_inspect.workshop.evaluation.robustness import Disturbed

GOOD, DEFECTIVE, INK, FAINT = "#2b6cb0", "#d9622b", "#1f2933", "#d8dee6"
BINS = 48

# An odd type: matplotlib names every key that it knows in its own.
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": "#52606d",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "legend.frameon": False,
}


def histogram_svg(outcomes: Outcomes, threshold: float) -> str:
    """How many good and how many defective parts have which score, with the image threshold."""
    with _style("histogram"):
        figure, axes = _new(9.2, 2.9)
        edges = _edges(outcomes.scored.scores, threshold)
        for side, colour, name in ((~outcomes.defective, GOOD, "good"), (outcomes.defective, DEFECTIVE, "defective")):
            scores = outcomes.only(side).scored.scores
            axes.hist(np.clip(scores, edges[0], edges[-1]), bins=edges.tolist(), color=colour, alpha=0.72, label=f"{name} ({len(scores)})")
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.3, label=f"threshold {threshold:.4g}")
        axes.set(xlabel="image score, engine units" + _cut_note(outcomes, edges), ylabel="parts", xlim=(edges[0], edges[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper right")
        return _svg(figure)


def roc_svg(outcomes: Outcomes, figures: ImageFigures) -> str:
    """Recall against false rejects, for every threshold; a dot where the station is."""
    scored = outcomes.scored
    with _style("roc"):
        figure, axes = _new(4.5, 3.9)
        false_alarms, caught, _ = roc_curve(scored.defective, scored.scores)
        axes.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=0.8, linestyle=":")
        _curve_with_dot(axes, false_alarms, caught, (figures.false_reject_rate, figures.recall))
        axes.set(xlabel="false rejects (share of good parts)", ylabel="recall (share of defective parts)")
        return _svg(figure)


def precision_recall_svg(outcomes: Outcomes, figures: ImageFigures) -> str:
    """Precision against recall, for every threshold; a dot where the station is, unless it rejected nothing."""
    scored = outcomes.scored
    with _style("pr"):
        figure, axes = _new(4.5, 3.9)
        precision, recall, _ = precision_recall_curve(scored.defective, scored.scores)
        axes.axhline(scored.defective.mean(), color="#9aa5b1", linewidth=0.8, linestyle=":")
        _curve_with_dot(axes, recall, precision, None if figures.precision is None else (figures.recall, figures.precision), step=True)
        axes.set(xlabel="recall (share of defective parts)", ylabel="precision (share of rejects)")
        return _svg(figure)


def disturbance_svg(disturbance: Disturbance, curve: Sequence[Disturbed]) -> str:
    """AUROC, recall and false alarms against the strength of one disturbance, as it came on the left."""
    with _style(disturbance.name):
        figure, axes = _new(3.0, 2.5)
        places = range(len(curve))
        auroc = [np.nan if point.auroc is None else point.auroc for point in curve]
        axes.plot(places, auroc, color=INK, marker="o", markersize=4, label="AUROC")
        axes.plot(places, [point.recall for point in curve], color=DEFECTIVE, marker="s", markersize=3.5, linewidth=1.1, label="recall")
        axes.plot(places, [point.false_reject_rate for point in curve], color=GOOD, marker="^", markersize=4, label="false alarms")
        axes.set(xlabel=disturbance.unit, ylim=(-0.03, 1.03))
        axes.set_xticks(list(places), ["as it came", *(f"{point.strength:g}" for point in curve[1:])])
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        return _svg(figure)


def _style(figure_name: str) -> AbstractContextManager[None]:
    """How all figures look; the name makes the ids inside a figure its own, and the same each time."""
    return mpl.rc_context({**_STYLE, "svg.hashsalt": figure_name})


def _new(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes: Axes = figure.add_subplot()
    return figure, axes


def _edges(scores: Numbers, threshold: float) -> Numbers:
    """Bins up to the highest score, or to where one part in a hundred lies beyond: single giants would flatten the rest."""
    low, middle, top = (float(value) for value in np.quantile([*scores, threshold], (0, 0.99, 1)))
    high = top if top <= low + 2 * (middle - low) else max(middle, threshold + 0.1 * abs(threshold))
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _cut_note(outcomes: Outcomes, edges: Numbers) -> str:
    beyond = int((outcomes.scored.scores > edges[-1]).sum())
    return f" ({beyond} higher in the last bar)" if beyond else ""


def _curve_with_dot(axes: Axes, x: Numbers, y: Numbers, station: tuple[float, float] | None, *, step: bool = False) -> None:
    axes.plot(x, y, color=INK, linewidth=1.7, drawstyle="steps-pre" if step else "default")
    if station is not None:
        dot: dict[str, Any] = {"marker": "o", "markersize": 8, "color": DEFECTIVE, "markeredgecolor": "white", "linestyle": "none"}
        axes.plot(*station, **dot, label="the station's threshold")
        axes.legend(loc="lower left" if step else "lower right")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _svg(figure: Figure) -> str:
    """The figure as an element that stands inside a page."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
