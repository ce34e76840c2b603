"""`edge-inspect demo` as a stranger runs it, on drawn parts in MVTec AD layout."""

from __future__ import annotations

import json

import cv2
import pytest

from edge_inspect.cameras.parts import draw_part
from edge_inspect.cli.main import main

pytestmark = pytest.mark.workshop
TRAINED, INSPECTED = 40, 8


@pytest.fixture(scope="module")
def flanges(tmp_path_factory):
    """40 good flanges to teach, 4 good and 4 scratched ones to inspect."""
    root = tmp_path_factory.mktemp("data")
    shown = {"train/good": range(TRAINED), "test/good": range(100, 104), "test/scratch": range(200, 204)}
    for folder, sequences in shown.items():
        (root / "flange" / folder).mkdir(parents=True)
        for sequence in sequences:
            label = "scratch" if "scratch" in folder else "good"
            part = draw_part(sequence, 3, width=160, height=120, channels=3, label=label)
            cv2.imwrite(str(root / "flange" / folder / f"{sequence:03d}.png"), cv2.cvtColor(part.pixels, cv2.COLOR_RGB2BGR))
    return root


def test_the_demo_tells_programs_what_came_out_and_leaves_everything_in_its_folder(flanges, tmp_path, capsys):
    words = ["demo", "--data", str(flanges), "--category", "flange", "--out", str(tmp_path / "demo"), "--interval-ms", "5", "--json"]
    assert main([*words, "--deadline-ms", "5000", "--parts", str(INSPECTED)]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert (summary["parts"], summary["good_parts"], summary["defective_parts"]) == (INSPECTED, 4, 4)
    assert summary["ok"] + summary["ng"] + summary["fault"] == INSPECTED
    assert summary["fault"] == 0
    assert summary["auroc"] == 1.0
    assert set(summary["latency_ms"]) >= {"p50", "p95", "p99"}
    assert set(summary["stages_ms"]) == {"wait", "place", "infer", "find", "decide", "emit"}
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert "false_reject_rate" in summary
    assert len([line for line in said.err.splitlines() if " score " in line]) == INSPECTED
    assert len(list((tmp_path / "demo" / "data" / "pictures").rglob("*_annotated.jpg"))) == INSPECTED
    assert (tmp_path / "demo" / "data" / "inspections.sqlite").exists()


def test_data_and_category_go_together(capsys):
    assert main(["demo", "--data", "somewhere"]) == 78
    assert "go together" in capsys.readouterr().err
