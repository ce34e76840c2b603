"""The verb `bench`, through the program's own front door."""

from __future__ import annotations

import argparse
import json
import re
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.cli import bench
from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import open_model_folder
from tests.conftest import write_part

TINY = Path(__file__).parents[2] / "golden" / "models" / "tiny"
SPREAD = {"p50", "p95", "p99", "max"}


def told(*words: str) -> int:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(words))


def run(*words: str) -> int:
    return told("--model", str(TINY), "--size", "128x96", "--frames", "5", *words)


def test_json_holds_the_promised_keys(capsys):
    assert run("--json", "--runtime", "onnx", "--threads", "1") == 0
    report = json.loads(capsys.readouterr().out)
    assert {"frame_to_verdict_ms", "engine_ms", "everything_but_engine_ms", "stages_ms", "device"} <= set(report)
    assert set(report["frame_to_verdict_ms"]) == set(report["engine_ms"]) == set(report["stages_ms"]["warp"]) == SPREAD
    assert report["engine_sha256"] == open_model_folder(TINY).engine_sha256
    assert report["frame"] == {"width": 128, "height": 96, "channels": 3}
    assert (report["runtime"], report["threads"]) == ("onnx", 1)
    assert "memory" not in report
    assert "startup" not in report


def test_a_grey_camera_is_asked_for(capsys):
    assert run("--json", "--runtime", "onnx", "--channels", "1") == 0
    assert json.loads(capsys.readouterr().out)["frame"]["channels"] == 1


def test_people_get_a_table(capsys):
    assert run("--runtime", "reference") == 0
    shown = capsys.readouterr().out
    assert "in reference: 5 frames of 128 x 96 x 3 px to an image of 64 x 48 x 3" in shown
    for row in ("frame to verdict", "engine alone", "everything but engine", "  warp", "  find", "  decide"):
        assert [line for line in shown.splitlines() if line.startswith(row)], row


def test_soak_startup_and_wire_are_told_when_they_are_asked_for(capsys, monkeypatch):
    monkeypatch.setattr("edge_inspect.field.startup.REPEATS", 1)
    monkeypatch.setattr("edge_inspect.field.wire.PARTS", 5)
    assert run("--runtime", "onnx", "--soak", "2001", "--startup", "--plc") == 0
    shown = capsys.readouterr().out
    assert "visible to a PLC" in shown
    assert "MB after 2000 frames" in shown
    assert "start: import" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", "1024"], "got '1024', wanted WIDTHxHEIGHT"),
        (["--size", "0x5"], "got '0x5', wanted WIDTHxHEIGHT"),
        (["--size", "5x99999"], "wanted WIDTHxHEIGHT"),
        (["--size", "axb"], "wanted WIDTHxHEIGHT"),
        (["--rate", "0"], "got '0', wanted a number above 0"),
        (["--rate", "fast"], "got 'fast', wanted a number above 0"),
        (["--frames", "0"], "got '0', wanted a whole number from 1 on"),
        (["--threads", "many"], "got 'many', wanted a whole number from 1 on"),
        (["--soak", "2000"], "got '2000', wanted a whole number from 2001 on"),
    ],
)
def test_a_wrong_argument_is_one_sentence(capsys, words, sentence):
    with pytest.raises(SystemExit):
        run(*words)
    assert sentence in capsys.readouterr().err


def test_several_of_everything_are_rows_of_one_report(capsys):
    assert run("--json", "--runtime", "onnx", "reference", "--size", "128x96", "64x48") == 0
    report = json.loads(capsys.readouterr().out)
    measured = [(row["runtime"], row["frame"]["width"]) for row in report["rows"]]
    assert measured == [("onnx", 128), ("reference", 128), ("onnx", 64), ("reference", 64)]
    assert "device" in report


def test_several_rows_are_summed_up_in_a_table(capsys):
    assert run("--runtime", "onnx", "--threads", "1", "2") == 0
    shown = capsys.readouterr().out
    assert re.search(r"tiny +fp32 +onnx +1 +128x96x3", shown)
    assert "not told" in shown


def test_a_part_is_timed_by_its_recipe_at_the_pace_of_a_line(capsys, tmp_path):
    recipe = write_part(tmp_path / "cell", extra="frame: {width: 128, height: 96}\n")
    assert told("--recipe", str(recipe), "--runtime", "onnx", "--frames", "5", "--rate", "500", "--energy", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frame"]["width"] == 128
    assert report["line"]["deadline_ms"] == 2
    assert report["line"]["parts"] == 5
    assert report["energy"]["source"]
    with pytest.raises(ConfigError, match="made for frames of 128 x 96; leave --size out"):
        told("--recipe", str(recipe), "--size", "64x48")


def test_a_station_is_timed_with_its_loop(capsys, tmp_path):
    write_part(tmp_path / "cell", extra="frame: {width: 128, height: 96}\n")
    station = tmp_path / "station.yaml"
    station.write_text("name: s\nrecipe: cell/recipe.yaml\ncamera: {kind: folder, path: x}\nruntime: onnx\ndeadline_ms: 10000\n")
    assert told("--station", str(station), "--frames", "5") == 0
    shown = capsys.readouterr().out
    assert "line as fast as it goes: 0 of 5 parts missed their deadline of 10000 ms" in shown
    assert "exposure to PLC" in shown


def test_pictures_of_the_camera_are_shown(capsys, tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.full((50, 70, 3), 128, np.uint8))
    assert told("--model", str(TINY), "--runtime", "onnx", "--frames", "3", "--images", str(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["frame"] == {"width": 70, "height": 50, "channels": 3}


def test_a_report_is_written_compared_and_held_against(capsys, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert run("--runtime", "onnx", "--frames", "40", "--out", str(first)) == 0
    assert run("--runtime", "onnx", "--frames", "40", "--out", str(second), "--baseline", str(first), "--tolerance", "1000") == 0
    capsys.readouterr()
    assert told("--compare", str(first), str(second)) == 0
    assert "frame_to_verdict p50" in capsys.readouterr().out
    assert told("--compare", str(first), str(second), "--json") == 0
    [comparison] = json.loads(capsys.readouterr().out)
    assert [ratio["what"] for ratio in comparison["ratios"]] == [
        *("frame_to_verdict p50", "frame_to_verdict p99", "engine p50", "engine p99"),
    ]
    assert comparison["notes"] == []


def test_a_run_that_is_slower_than_its_baseline_fails(capsys, tmp_path):
    path = tmp_path / "baseline.json"
    assert run("--runtime", "onnx", "--frames", "40", "--out", str(path)) == 0
    baseline = json.loads(path.read_text())
    for key, rounds in baseline["rounds_ms"].items():
        baseline["rounds_ms"][key] = [[value / 1000 for value in values] for values in rounds]
    path.write_text(json.dumps(baseline))
    assert run("--runtime", "onnx", "--frames", "40", "--baseline", str(path)) == 1
    assert "edge-inspect: slower than" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ConfigError, match="the report cannot be written"):
        run("--runtime", "onnx", "--out", str(tmp_path / "nowhere" / "a.json"))


def test_a_plot_is_drawn_or_the_extra_named(tmp_path, monkeypatch):
    if find_spec("matplotlib") is not None:
        assert run("--runtime", "onnx", "--plot", str(tmp_path / "bench.png")) == 0
        assert (tmp_path / "bench.png").stat().st_size > 1000
    monkeypatch.setattr("edge_inspect.cli.onnx_needed.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"edge-inspect\[evaluate\]"):
        run("--runtime", "onnx", "--plot", str(tmp_path / "bench.png"))
