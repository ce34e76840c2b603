"""Plots of a report: that they are pictures of it, not how they look."""

from __future__ import annotations

import pytest

from edge_inspect.errors import ConfigError
from tests.unit.field.test_comparison import report, row

pytest.importorskip("matplotlib", reason="comes with the extra evaluate")
from edge_inspect.field.bench_plots import draw_report

SPREAD = {"p50": 10.0, "p95": 11.0, "p99": 12.0, "max": 13.0}
STAGES = dict.fromkeys(("place", "warp", "infer", "find", "decide"), SPREAD)


def drawn(name, **said):
    return row(10, model=name, frame_to_verdict_ms=SPREAD, stages_ms=STAGES, **said)


@pytest.mark.parametrize("count", [1, 12])
def test_a_png_is_drawn_for_one_row_and_for_many(tmp_path, count):
    path = tmp_path / "bench.png"
    draw_report(report(*[drawn(f"cell{number}") for number in range(count)]), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_page_holds_picture_figures_and_machine(tmp_path):
    path = tmp_path / "bench.html"
    draw_report(report(drawn("<cell>"), drawn("other")), path)
    page = path.read_text()
    assert "data:image/png;base64," in page
    assert "&lt;cell&gt;" in page
    assert "<td>12.00</td>" in page
    assert "Xeon" in page


def test_another_ending_is_refused_and_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"drawn as \.png or \.html"):
        draw_report(report(drawn("cell")), tmp_path / "bench.pdf")
    with pytest.raises(ConfigError, match="cannot be written"):
        draw_report(report(drawn("cell")), tmp_path / "nowhere" / "bench.png")
