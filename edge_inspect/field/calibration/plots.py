"""Plots of a calibration as PNG. Blue is good, orange defective; the old threshold is dotted, the new one dashed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from edge_inspect.field.calibration.preview import Judged, Preview

GOOD, DEFECTIVE, STORED, INK = "#2b6cb0", "#d9622b", "#9aa5b1", "#1f2933"
BINS, DOTS_PER_INCH = 48, 110

_STYLE: Any = {
    "font.size": 9.5,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#d8dee6",
    "legend.frameon": False,
}

Numbers = npt.NDArray[np.float64]


def plots(preview: Preview) -> dict[str, bytes]:
    """Every plot as a PNG file, by name."""
    with mpl.rc_context(_STYLE):
        return {name: _png(figure) for name, figure in figures(preview).items()}


def figures(preview: Preview) -> dict[str, Figure]:
    """Every plot, by name."""
    with mpl.rc_context(_STYLE):
        made = {"scores": _scores_figure(preview), "rates": _rates_figure(preview)}
        return made if not preview.stored else {**made, "stored": _stored_figure(preview)}


def _scores_figure(preview: Preview) -> Figure:
    """How many labelled parts have which score, with both thresholds."""
    sides = [(GOOD, "good", [one for one in preview.labelled if one.part.good])]
    sides += [(DEFECTIVE, "defective", [one for one in preview.labelled if not one.part.good])]
    return _histogram(preview, [side for side in sides if side[2]])


def _stored_figure(preview: Preview) -> Figure:
    """The same of the station's stored parts."""
    return _histogram(preview, [(STORED, "stored", list(preview.stored))])


def _rates_figure(preview: Preview) -> Figure:
    """Share of good parts rejected, and of defective ones that pass, at every image threshold."""
    figure, axes = _new(9.2, 2.9)
    good, defective = _scores(preview, good=True), _scores(preview, good=False)
    grid = np.unique(np.concatenate([good, defective, [preview.new.image_threshold]]))
    axes.step(grid, _above(good, grid), where="post", color=GOOD, label="good parts rejected")
    if len(defective):
        axes.step(grid, 1 - _above(defective, grid), where="post", color=DEFECTIVE, label="defective parts passed")
    _draw_thresholds(axes, preview)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="image threshold, engine units", ylabel="share of parts", ylim=(-0.02, 1.02))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _histogram(preview: Preview, sides: list[tuple[str, str, list[Judged]]]) -> Figure:
    figure, axes = _new(9.2, 2.9)
    everything = np.array([one.part.score for _, _, side in sides for one in side])
    edges = _edges(everything, [one.image_threshold for one in (preview.old, preview.new) if one is not None])
    for colour, name, side in sides:
        scores = np.clip([one.part.score for one in side], edges[0], edges[-1])
        axes.hist(scores, bins=edges.tolist(), color=colour, alpha=0.72, label=f"{name} ({len(side)})")
    _draw_thresholds(axes, preview)
    beyond = int((everything > edges[-1]).sum())
    note = f" ({beyond} higher in the last bar)" if beyond else ""
    axes.set(xlabel=f"image score, engine units{note}", ylabel="parts", xlim=(edges[0], edges[-1]))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _draw_thresholds(axes: Axes, preview: Preview) -> None:
    if preview.old is not None:
        old = preview.old.image_threshold
        axes.axvline(old, color=INK, linestyle=":", linewidth=1.4, label=f"old threshold {old:.4g}")
    new = preview.new.image_threshold
    axes.axvline(new, color=INK, linestyle="--", linewidth=1.4, label=f"new threshold {new:.4g}")


def _edges(scores: Numbers, thresholds: Sequence[float]) -> Numbers:
    """Bins up to the highest score or threshold, or to where one part in a hundred lies beyond: single giants would flatten the rest."""
    low, middle, top = (float(value) for value in np.quantile([*scores, *thresholds], (0, 0.99, 1)))
    high = top if top <= low + 2 * (middle - low) else max(middle, *(one + 0.1 * abs(one) for one in thresholds))
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _scores(preview: Preview, *, good: bool) -> Numbers:
    return np.array([one.part.score for one in preview.labelled if one.part.good is good], np.float64)


def _above(scores: Numbers, grid: Numbers) -> Numbers:
    return np.asarray((scores[None] > grid[:, None]).mean(axis=1))


def _new(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), dpi=DOTS_PER_INCH, layout="constrained")
    axes: Axes = figure.add_subplot()
    return figure, axes


def _png(figure: Figure) -> bytes:
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()
