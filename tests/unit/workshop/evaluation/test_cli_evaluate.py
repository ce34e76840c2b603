"""The verb `evaluate`, through the program's own front door."""

import json

import pytest

from edge_inspect.cli import onnx_needed
from edge_inspect.cli.main import main
from edge_inspect.model_folder import open_model_folder
from tests.conftest import MODELS
from tests.unit.workshop.evaluation.conftest import write_set

pytestmark = pytest.mark.workshop
KEYS = {
    *("image_auroc", "image_ap", "pixel_auroc", "aupro_30", "aupro_05", "precision", "recall", "f1", "false_reject_rate", "ms_per_image"),
    *("family", "engine_sha256", "set", "seed", "counts", "intervals", "per_defect", "robustness", "promise", "shortcuts", "device"),
}


@pytest.fixture
def evaluate(recipe_file, data):
    def run(*words, category="cells"):
        return main(["evaluate", "--recipe", str(recipe_file), "--data", str(data), "--category", category, "--runtime", "onnx", *words])

    return run


def test_json_holds_the_promised_keys(evaluate, capsys):
    assert evaluate("--json", "--robustness") == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) >= KEYS
    assert (said["family"], said["set"]) == ("grey deviation", "cells")
    assert said["engine_sha256"] == open_model_folder(MODELS / "tiny").engine_sha256
    assert said["counts"] == {
        **{"good": 10, "defective": 6, "false_rejects": 1, "missed": 1, "faults": 0, "refused": 0},
        **{"pixel_images": 16, "pixel_regions": 6, "without_mask": 0},
    }
    assert said["per_defect"]["scratch"] == {"images": 4, "auroc": pytest.approx(0.975), "recall": 0.75}
    assert [row["strength"] for row in said["robustness"] if row["disturbance"] == "salt_and_pepper"] == [0, 5, 10, 15, 20, 25]
    assert said["promise"]["bound"] is None


def test_what_was_not_asked_for_or_cannot_be_measured_is_null(evaluate, data, capsys):
    write_set(data / "bare", good=[128], defects={"dent": [180]}, masks=False)
    assert evaluate("--json", category="bare") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pixel_auroc"], said["aupro_30"], said["aupro_05"], said["robustness"]) == (None, None, None, None)
    assert "has no mask" in said["without_mask"][0]


def test_people_get_lines(evaluate, capsys, cells):
    cells.images[0].picture.write_bytes(b"")
    assert evaluate("--robustness") == 0
    told = capsys.readouterr().out
    assert "left out     good/000.png" in told
    assert "set          cells: 9 good, 6 defective, 1 left out" in told
    assert "1 of 9 good parts rejected" in told
    assert "the thresholds promise no bound" in told
    for start in ("image        AUROC", "pixel        AUROC", "at threshold F1", "  scratch", "  salt_and_pepper      5", "time "):
        assert [line for line in told.splitlines() if line.startswith(start)], start


def test_people_are_told_what_is_missing(evaluate, data, capsys):
    write_set(data / "bare", good=[128, 128], defects={"dent": [130]}, masks=False)
    assert evaluate(category="bare") == 0
    told = capsys.readouterr().out
    assert "not measured: no usable mask (1 defective pictures without)" in told
    assert "nothing rejected" in told
    assert "beware       In this set good and defective pictures differ by plain contrast (AUROC 1.000)" in told


def test_the_report_is_written_where_it_is_asked_for(evaluate, tmp_path):
    assert evaluate("--report", str(tmp_path / "page.html")) == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("category", "code", "sentence"), [("nothing", 78, "no such folder"), ("bad", 78, "no folder of defective")])
def test_a_folder_of_another_layout_is_one_sentence_and_a_configuration_error(evaluate, data, capsys, category, code, sentence):
    write_set(data / "bad", good=[128], defects={})
    assert evaluate(category=category) == code
    assert sentence in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_a_failure(evaluate, tmp_path, capsys):
    assert evaluate("--report", str(tmp_path / "no" / "page.html")) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("module", "package"), [("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")])
def test_without_the_extra_it_is_named(evaluate, monkeypatch, capsys, module, package):
    real = onnx_needed.find_spec
    monkeypatch.setattr(onnx_needed, "find_spec", lambda name: None if name == module else real(name))
    assert evaluate() == 78
    assert f"evaluate needs the package {package}, which is not installed: pip install 'edge-inspect[evaluate]'" in capsys.readouterr().err


def test_a_pattern_that_is_none_is_refused_by_the_command_line(evaluate, capsys):
    with pytest.raises(SystemExit):
        evaluate("--part-of", "((")
    assert "is not a regular expression" in capsys.readouterr().err
