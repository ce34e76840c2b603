"""The verb `bench`, through the program's own front door."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from edge_inspect.cli import bench
from edge_inspect.model_folder import open_model_folder

TINY = Path(__file__).parents[2] / "golden" / "models" / "tiny"
SPREAD = {"p50", "p95", "p99", "max"}


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(["--model", str(TINY), "--size", "128x96", "--frames", "5", *words]))


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
    told = capsys.readouterr().out
    assert "in reference: 5 frames of 128 x 96 x 3 px to an image of 64 x 48 x 3" in told
    for row in ("frame to verdict", "engine alone", "everything but engine", "  warp", "  find", "  decide"):
        assert [line for line in told.splitlines() if line.startswith(row)], row


def test_soak_startup_and_wire_are_told_when_they_are_asked_for(capsys, monkeypatch):
    monkeypatch.setattr("edge_inspect.field.startup.REPEATS", 1)
    monkeypatch.setattr("edge_inspect.field.wire.PARTS", 5)
    assert run("--runtime", "onnx", "--soak", "2001", "--startup", "--plc") == 0
    told = capsys.readouterr().out
    assert "visible to a PLC" in told
    assert "MB after 2000 frames" in told
    assert "start: import" in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", "1024"], "got '1024', wanted WIDTHxHEIGHT"),
        (["--size", "0x5"], "got '0x5', wanted WIDTHxHEIGHT"),
        (["--size", "5x99999"], "wanted WIDTHxHEIGHT"),
        (["--size", "axb"], "wanted WIDTHxHEIGHT"),
        (["--frames", "0"], "got '0', wanted a whole number from 1 on"),
        (["--threads", "many"], "got 'many', wanted a whole number from 1 on"),
        (["--soak", "2000"], "got '2000', wanted a whole number from 2001 on"),
    ],
)
def test_a_wrong_argument_is_one_sentence(capsys, words, sentence):
    with pytest.raises(SystemExit):
        run(*words)
    assert sentence in capsys.readouterr().err
