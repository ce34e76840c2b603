"""The verbs `train` and `export`, one after the other, as a person runs them."""

import argparse
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.acceptance import accept
from edge_inspect.cli import export as export_verb
from edge_inspect.cli import train as train_verb
from edge_inspect.cli.main import main
from edge_inspect.cli.train import configuration, good_folder
from edge_inspect.config import load_recipe
from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.thresholds import load_thresholds
from edge_inspect.workshop.trained_folder import read_record

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _toy(toy: None) -> None:
    pass


def said(verb: object, *words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([*map(str, words)]))


def train(*words: str | Path) -> int:
    return said(train_verb, "--model", "toy", *words)


def export(*words: str | Path) -> int:
    return said(export_verb, *words)


def test_a_part_is_trained_and_exported_as_the_report_says(
    good_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train("--images", good_folder, "--out", "trained/plate", "--threads", "1", "--set", "patience=3") == 0
    told = capsys.readouterr().out
    assert "13 learnt from, 1 to stop by, 6 held out" in told
    assert re.search(r"epochs +3: all 3 epochs done", told)
    following = re.search(r"next +edge-inspect (export .*)", told)
    assert following is not None
    assert main(following[1].split()) == 0
    told = capsys.readouterr().out
    assert re.search(r"cost +0\.\d{3} GMAC, \d+ operators", told)
    assert re.search(r"agreement +torch [\d.e-]+, onnx [\d.e-]+, openvino [\d.e-]+ of the score range", told)
    assert "With 95 % confidence at most" in told
    recipe = load_recipe(tmp_path / "calibration" / "plate" / "recipe.yaml")
    model = open_model_folder(tmp_path / "engines" / "plate")
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    with open_onnx(model=model) as runtime:
        accept(runtime, model, image_threshold=thresholds.image_threshold)


def test_both_reports_are_one_json_object(good_folder: Path, tmp_path: Path, recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--images", good_folder, "--out", tmp_path / "t", "--json", "--set", "epochs=2", "--set", "learning_rate=0.01", "--seed", "3")
    trained = json.loads(capsys.readouterr().out)
    assert (trained["epochs"], trained["config"]["learning_rate"], trained["seed"]) == (2, 0.01, 3)
    assert trained["losses"]["error"] > 0
    assert trained["stop_loss"] > 0
    export("--trained", tmp_path / "t", "--recipe", recipe_file, "--json", "--dynamic-batch")
    exported = json.loads(capsys.readouterr().out)
    assert exported["weights_sha256"] == trained["weights_sha256"]
    assert exported["gmacs"] > 0
    assert set(exported["agreement"]) == {"torch", "onnx", "openvino", "model.dynamic.onnx"}
    assert exported["thresholds"]["engine_sha256"] == exported["engine_sha256"]


def test_a_folder_in_mvtec_layout_is_trained_on_its_good_images(good_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "screw" / "train").mkdir(parents=True)
    shutil.copytree(good_folder, tmp_path / "screw" / "train" / "good")
    (tmp_path / "screw" / "test" / "scratch").mkdir(parents=True)
    train("--images", tmp_path / "screw", "--out", tmp_path / "t", "--part-of", r"(\d+)_")
    assert len(json.loads((tmp_path / "t" / "training.json").read_text())["held_out"]) == 6


def test_the_network_s_image_takes_the_parts_own_shape_when_asked(tmp_path: Path, plate: Callable[..., np.ndarray]) -> None:
    (tmp_path / "long").mkdir()
    for seed in range(20):
        cv2.imwrite(str(tmp_path / "long" / f"{seed}.png"), plate(seed, width=192, height=64))
    for words, wanted in ((["--fit-size"], (224, 64)), ([], (128, 128))):
        train("--images", tmp_path / "long", "--out", tmp_path / "trained", "--fresh", "--set", "width=128", "--set", "height=128", *words)
        size = read_record(tmp_path / "trained").size
        assert (size.width, size.height) == wanted


def test_a_plain_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert good_folder(tmp_path) == tmp_path


def test_every_system_is_listed_with_its_paper_and_its_own_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspect.workshop.models.catalogue.CATALOGUE", {"toy": only_toy()})
    with pytest.raises(SystemExit) as left:
        main(["train", "--list"])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "toy: nobody 2026"
    assert {"epochs=3", "smoothing_cells=0.5", "levels=[1,2]"} <= set(lines[1].split())


def only_toy() -> object:
    from edge_inspect.workshop.models.catalogue import CATALOGUE

    return CATALOGUE["toy"]


def test_words_go_before_the_file_and_the_file_before_defaults_and_presets(tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text("epochs: 7\nbatch: 2\nlevels: [3]\n")
    config = configuration("toy", file, ["batch=8", "illumination=both"])
    assert (config.epochs, config.batch, config.illumination, config.levels) == (7, 8, "both", (3,))
    assert config.smoothing_cells == 0.5
    assert configuration("toy", None, ["levels=[5, 6]", "smoothing_cells=2.0"]).levels == (5, 6)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("epochs='3'", "epochs: got '3'; should be a whole number"),
        ("epochs=many", "epochs: got 'many'"),
        ("epochs=-1", "epochs: got -1; should be greater than or equal to 0"),
        ("epoch=3", "known keys: batch, epochs"),
        ("epochs", "expected KEY=VALUE"),
        ("epochs=", "expected KEY=VALUE"),
        ("levels=[1", "not YAML"),
        ("levels=2020-01-01", "not YAML"),
    ],
)
def test_a_wrong_word_is_named_with_what_to_write(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configuration("toy", None, [word])
    assert said in str(refused.value)


def test_a_wrong_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text("batch: 2\nepochs: '7'\n")
    with pytest.raises(ConfigError, match=r"toy.yaml:2: epochs: got '7'"):
        configuration("toy", file, [])


def test_no_such_system_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no system 'resnet'; known are .*mdaae_sagan"):
        configuration("resnet", None, [])


@pytest.mark.parametrize("verb", ["train", "export"])
def test_without_torch_the_extra_is_named(verb: str, monkeypatch: pytest.MonkeyPatch, good_folder: Path, tmp_path: Path) -> None:
    monkeypatch.setattr("edge_inspect.cli.onnx_needed.find_spec", lambda name: None if name == "torch" else object())
    words = {"train": ["--images", good_folder, "--model", "toy", "--out", tmp_path], "export": ["--trained", tmp_path, "--new", "plate"]}
    with pytest.raises(ConfigError, match=rf"{verb} needs the package torch.*edge-inspect\[train\]"):
        said({"train": train_verb, "export": export_verb}[verb], *words[verb])


def test_a_new_part_is_not_written_for_a_model_that_saw_a_region_of_interest(
    good_folder: Path, tmp_path: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_file.write_text(recipe_file.read_text() + "region_of_interest: {left: 8, top: 8, width: 32, height: 32}\n")
    train("--images", good_folder, "--out", tmp_path / "t", "--recipe", recipe_file)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="give that one by --recipe"):
        export("--trained", "t", "--new", "other")
    assert not (tmp_path / "calibration" / "other").exists()
    assert export("--trained", "t", "--recipe", recipe_file) == 0


def test_a_broken_picture_is_named_in_the_report(good_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(good_folder, tmp_path / "images")
    (tmp_path / "images" / "broken.png").write_bytes(b"")
    train("--images", tmp_path / "images", "--out", tmp_path / "t")
    assert "left out     " in capsys.readouterr().out.split("broken.png: is empty")[0]


def test_a_system_that_is_only_fitted_is_reported_without_losses(
    good_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("--images", good_folder, "--out", tmp_path / "t", "--set", "epochs=0")
    told = capsys.readouterr().out
    assert "nothing to train: only fitted" in told
    assert "losses" not in told
    train("--images", good_folder, "--out", tmp_path / "u", "--set", "epochs=0", "--json")
    assert json.loads(capsys.readouterr().out)["stop_loss"] is None
