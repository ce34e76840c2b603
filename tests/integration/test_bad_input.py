"""What a person gets wrong: one clear sentence that says what, where and what to do, and the right exit code."""

from __future__ import annotations

import json
import os
import shutil
import socket
from contextlib import contextmanager

import pytest

from edge_inspect.cli.main import main

from .conftest import running


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def station_says(cell, capsys, *, verb="check"):
    """Exit code and what stands on standard error."""
    code = main([verb, "--station", str(cell / "station.yaml")])
    return code, capsys.readouterr().err.removeprefix("edge-inspect: ").strip()


def test_a_station_that_is_right_would_start(cell, capsys):
    assert main(["check", "--station", str(cell / "station.yaml")]) == 0
    assert "would start" in capsys.readouterr().out
    assert main(["check", "--station", str(cell / "station.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"][0]["recipe"] == "cell"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "deadline_ms: 2000",
            "deadline: 2000",
            ["station.yaml:6: deadline: unknown key; did you mean deadline_ms?", "deadline_ms: is missing"],
        ),
        ("deadline_ms: 2000", "deadline_ms: -5", ["station.yaml:6: deadline_ms: got -5", "greater than 0"]),
        ("trigger: plc", "trigger: [plc", ["station.yaml: not YAML"]),
        ("kind: folder", "kind: foldr", ["no kind 'foldr' is installed", "folder", "simulated"]),
        ("pace: trigger", "pase: trigger", ["station.yaml:3: camera.pase: unknown option", "pace"]),
        ("queue: 32", "queue: 0", ["station.yaml:11: outputs.2.background.queue: got 0"]),
        ("recipe: calibration/cell/recipe.yaml", "recipe: nowhere/recipe.yaml", ["nowhere/recipe.yaml: cannot be read: No such file"]),
    ],
)
def test_a_wrong_station_file_is_told_with_file_line_key_and_what_to_write(cell, capsys, old, new, words):
    change(cell / "station.yaml", old, new)
    code, said = station_says(cell, capsys)
    assert code == 78
    for word in words:
        assert word in said


def test_several_wrong_options_are_told_at_once(cell, capsys):
    change(cell / "station.yaml", "pace: trigger", "pase: trigger")
    change(cell / "station.yaml", "path: data/log", "pfad: data/log")
    code, said = station_says(cell, capsys)
    assert code == 78
    assert "station.yaml:3: camera.pase" in said
    assert "station.yaml:9: outputs.0.pfad" in said


def test_a_missing_station_file_is_a_matter_of_configuration(tmp_path, capsys):
    assert main(["check", "--station", str(tmp_path / "station.yaml")]) == 78
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_a_threshold_for_another_engine_is_refused_with_both_hashes(cell, capsys):
    change(cell / "calibration" / "cell" / "recipe.yaml", "models/tiny", "models/tiny_mono")
    code, said = station_says(cell, capsys)
    assert code == 78
    assert "made for engine" in said
    assert "is running; calibrate the part again" in said


def test_a_threshold_for_another_recipe_is_refused(cell, capsys):
    recipe = cell / "calibration" / "cell" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "region_of_interest: {left: 0, top: 0, width: 32, height: 24}\n")
    code, said = station_says(cell, capsys)
    assert code == 78
    assert "made for recipe" in said


def test_a_mask_that_the_engines_score_cannot_obey_is_refused(cell, capsys):
    recipe = cell / "calibration" / "cell" / "recipe.yaml"
    change(recipe, "models/tiny", "models/tiny_own")
    recipe.write_text(recipe.read_text() + "masks: {border_px: 4}\n")
    code, said = station_says(cell, capsys)
    assert code == 78
    assert "decide by regions" in said


def own_engine(cell):
    """A copy of the engine that a test may damage."""
    from tests.conftest import MODELS

    shutil.copytree(MODELS / "tiny", cell / "engine")
    change(cell / "calibration" / "cell" / "recipe.yaml", str(MODELS / "tiny"), str(cell / "engine"))
    return cell / "engine"


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_a_damaged_engine_file_is_refused_by_its_hash(cell, capsys, name):
    path = own_engine(cell) / name
    path.write_bytes(path.read_bytes() + b"x")
    code, said = station_says(cell, capsys)
    assert code == 1
    assert name in said
    assert "copy the whole model folder again" in said


def test_an_engine_whose_graph_has_another_input_size_is_refused(cell, capsys):
    folder = own_engine(cell)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["width"] = 128
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code, said = station_says(cell, capsys)
    assert code == 1
    assert "128" in said
    assert "64" in said


def test_a_missing_engine_is_one_sentence(cell, capsys):
    shutil.rmtree(own_engine(cell))
    code, said = station_says(cell, capsys)
    assert code == 1
    assert "manifest.json: cannot be read" in said


@pytest.mark.parametrize(("folder", "words"), [("nowhere", "nowhere"), ("empty", "no picture")])
def test_a_camera_folder_that_gives_no_pictures_is_one_sentence(cell, folder, words):
    (cell / "empty").mkdir()
    change(cell / "station.yaml", "path: parts", f"path: {folder}")
    with running(cell, wait=False) as process:
        assert process.wait(60) == 1
        said = process.stderr.read()
    assert words in said
    assert "Traceback" not in said


def test_a_port_in_use_is_one_sentence(cell):
    port = int((cell / "port").read_text())
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with running(cell, wait=False) as process:
            assert process.wait(60) == 1
            said = process.stderr.read()
    assert str(port) in said
    assert "another program uses it" in said
    assert "Traceback" not in said


@contextmanager
def without_permission(path):
    """As a user who may not read `path`; root becomes nobody for a while, since root may read everything."""
    mode = path.stat().st_mode
    path.chmod(0o000)
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(mode)


@pytest.mark.parametrize("name", ["station.yaml", "calibration/cell/recipe.yaml", "calibration/cell/thresholds.json"])
def test_a_file_without_permission_is_one_sentence(cell, capsys, name):
    assert station_says(cell, capsys) == (0, "")  # and everything is imported while that is allowed
    with without_permission(cell / name):
        code, said = station_says(cell, capsys)
    assert code == 78
    assert "cannot be read: Permission denied" in said


def test_a_file_where_the_data_folder_should_be_is_one_sentence(cell):
    (cell / "data").touch()
    with running(cell, wait=False) as process:
        assert process.wait(60) == 1
        said = process.stderr.read()
    assert "data: cannot be made" in said
    assert "Traceback" not in said


def test_a_verb_that_does_not_exist_is_a_matter_of_usage(capsys):
    with pytest.raises(SystemExit) as left:
        main(["inspect"])
    assert left.value.code == 2
    assert "run" in capsys.readouterr().err


def test_replay_without_the_records_it_needs_says_which(cell, capsys):
    change(cell / "station.yaml", "  - {kind: database, path: data/inspections.sqlite}\n", "")
    assert main(["replay", "1", "--station", str(cell / "station.yaml")]) == 1
    assert "has no output of kind database" in capsys.readouterr().err
