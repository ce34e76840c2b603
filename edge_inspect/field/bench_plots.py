"""The pictures of a report: stages as bars, every frame as a point. PNG, or one HTML page with the figures beside the picture."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge_inspect.errors import ConfigError
from edge_inspect.field.comparison import Row, rows_of

_COLOURS = {"place": "#9aa5b1", "warp": "#2b6cb0", "infer": "#1f2933", "find": "#d9622b", "decide": "#6b8e23"}
_RANKS = ("p50", "p95", "p99", "max")
_STYLE = (
    "body{font:15px sans-serif;max-width:70em;margin:2em auto} td,th{padding:.2em .8em;text-align:right}"
    "td:first-child{text-align:left} img{max-width:100%}"
)
_WIDTH_IN, _BARS_IN, _FRAMES_IN = 10.0, 0.45, 3.0


def draw_report(report: Mapping[str, Any], path: Path) -> None:
    """Draw all rows of a report.

    Args:
        report: as `edge-inspect bench --json` prints it.
        path: ends in .png or .html.

    Raises:
        ConfigError: the name ends otherwise, or the file cannot be written.
    """
    if path.suffix not in {".png", ".html"}:
        raise ConfigError(f"{path}: plots are drawn as .png or .html; name the file so")
    png = _png(rows_of(report))
    try:
        path.write_bytes(png if path.suffix == ".png" else _page(report, png).encode())
    except OSError as error:
        raise ConfigError(f"{path}: the plot cannot be written: {error.strerror}; name another file") from error


def _png(rows: list[Row]) -> bytes:
    bars_in = 1.4 + _BARS_IN * len(rows)
    figure = Figure(figsize=(_WIDTH_IN, bars_in + _FRAMES_IN), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(bars_in, _FRAMES_IN))
    _draw_stages(above, rows)
    _draw_frames(below, rows)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    return drawn.getvalue()


def _draw_stages(axes: Axes, rows: list[Row]) -> None:
    names = [_label(row) for row in rows]
    left = np.zeros(len(rows))
    for stage, colour in _COLOURS.items():
        medians = np.array([row["stages_ms"][stage]["p50"] for row in rows])
        axes.barh(names, medians, left=left, color=colour, label=stage, height=0.6)
        left += medians
    axes.plot([row["frame_to_verdict_ms"]["p99"] for row in rows], names, "|", color="#c0392b", markersize=14, label="verdict p99")
    axes.invert_yaxis()
    axes.set(xlabel="ms, medians of the stages", xlim=(0, None))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8, frameon=False, ncols=6)


def _draw_frames(axes: Axes, rows: list[Row]) -> None:
    for row in rows:
        times = np.concatenate([np.asarray(part) for part in row["rounds_ms"]["frame_to_verdict"]])
        axes.plot(times, ".", markersize=3, label=_label(row))
    axes.set(xlabel="frame, in the order timed (no outlier is left out)", ylabel="frame to verdict [ms]", yscale="log")
    if len(rows) <= 8:
        axes.legend(fontsize=7, frameon=False)


def _label(row: Row) -> str:
    threads = row.get("threads")
    return f"{row['model']} {row['precision']} {row['runtime']} {threads or 'all'}t {row['frame']['width']}x{row['frame']['height']}"


def _page(report: Mapping[str, Any], png: bytes) -> str:
    device = html.escape(json.dumps(report["device"], indent=1))
    return (
        f"<!doctype html><meta charset='utf-8'><title>edge-inspect bench</title><style>{_STYLE}</style><h1>Frame to verdict</h1>"
        f"<table>{_cells('th', ['', *(f'{rank} [ms]' for rank in _RANKS)])}{''.join(map(_figures, rows_of(report)))}</table>"
        f"<img alt='stages and frames' src='data:image/png;base64,{base64.b64encode(png).decode()}'><h2>Machine</h2><pre>{device}</pre>\n"
    )


def _figures(row: Row) -> str:
    return _cells("td", [_label(row), *(f"{row['frame_to_verdict_ms'][rank]:.2f}" for rank in _RANKS)])


def _cells(tag: str, words: list[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(word)}</{tag}>" for word in words) + "</tr>"
