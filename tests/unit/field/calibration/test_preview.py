"""What is shown before new thresholds are put in force: which verdicts flip, and both thresholds in every plot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_inspect.cli.main import main
from edge_inspect.config import load_recipe
from edge_inspect.field.calibration.parts import Part
from edge_inspect.field.calibration.preview import preview
from edge_inspect.model_folder import open_model_folder
from edge_inspect.thresholds import read_thresholds

from .conftest import store, write_pictures

CHECKOUT = Path(__file__).parents[4]
PROMISED = ("--false-rejects", "0.05")


@pytest.fixture
def page(station):
    """The page of a calibration where the three parts of `edge` pass under the old threshold of 20, not under the new one of 12."""
    pytest.importorskip("matplotlib", reason="comes with the extra calibrate")
    write_pictures(station / "edge", [15, 15, 16])
    assert main(["--log", "warning", "calibrate", "--good", "good", "--bad", "edge", *PROMISED, "--report", "r.html"]) == 0
    return (station / "r.html").read_text()


def test_the_page_names_every_part_whose_verdict_flips_with_its_pictures(page):
    section = page.split("<h2>3 verdicts flip</h2>")[1].split("<h2>")[0]
    for name, score in (("000.png", 15), ("001.png", 15), ("002.png", 16)):
        assert f"<b>{name}</b>: OK becomes NG, score {score} (called defective)" in section
    assert section.count("data:image/jpeg") == 2 * 3
    assert page.count("data:image/jpeg") == 2 * (3 + 6)


def test_a_stored_part_that_flips_is_named_without_a_word_on_what_it_is(station):
    pytest.importorskip("matplotlib", reason="comes with the extra calibrate")
    engine = open_model_folder(load_recipe(station / "cell" / "recipe.yaml").engine).engine_sha256
    store(station, [5] * 9 + [16], calibration_id="old", engine_sha256=engine)
    assert main(["--log", "warning", "calibrate", "--good", "good", *PROMISED, "--report", "r.html"]) == 0
    section = (station / "r.html").read_text().split("<h2>1 verdict flips</h2>")[1].split("<h2>")[0]
    assert "<b>10</b>: OK becomes NG, score 16</div>" in section


def test_without_old_thresholds_the_page_has_no_flips_and_says_why(station):
    pytest.importorskip("matplotlib", reason="comes with the extra calibrate")
    recipe = station / "cell" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "masks: {border_px: 2}\n")
    assert main(["--log", "warning", "calibrate", "--good", "good", *PROMISED, "--report", "r.html"]) == 0
    assert "verdicts flip" not in (station / "r.html").read_text()
    assert "made for recipe" in (station / "r.html").read_text()


@pytest.mark.parametrize(
    ("old", "thresholds"), [(True, {"old threshold 20": 20.0, "new threshold 12": 12.0}), (False, {"new threshold 12": 12.0})]
)
def test_every_plot_shows_the_old_threshold_and_the_new_one(station, old, thresholds):
    pytest.importorskip("matplotlib", reason="comes with the extra calibrate")
    from edge_inspect.field.calibration.plots import figures

    stands, recipe = read_thresholds(station / "cell" / "thresholds.json"), load_recipe(station / "cell" / "recipe.yaml")
    good = [Part(name=str(score), sha256="", good=True, score=float(score)) for score in range(2, 13)]
    bad = [Part(name="bad", sha256="", good=False, score=30.0)]
    new = stands.model_copy(update={"image_threshold": 12.0, "pixel_threshold": 12.0})
    drawn = figures(preview([*good, *bad], good, old=stands if old else None, new=new, recipe=recipe))
    assert set(drawn) == {"scores", "rates", "stored"}
    for figure in drawn.values():
        (axes,) = figure.axes
        upright = {line.get_label(): line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1}
        assert upright == thresholds
        assert set(thresholds) <= {text.get_text() for text in axes.get_legend().get_texts()}
        assert all(axes.get_xlim()[0] <= x <= axes.get_xlim()[1] for x in upright.values())


def test_from_a_checkout_it_runs_in_the_checkouts_own_environment(station, tmp_path):
    """Nothing is activated and nothing of the checkout is on the path; the folder one stands in is the station's."""
    checkout = tmp_path / "checkout"
    (checkout / "tools").mkdir(parents=True)
    (checkout / "tools" / "recalibrate").write_bytes((CHECKOUT / "tools" / "recalibrate").read_bytes())
    (checkout / "edge_inspect").symlink_to(CHECKOUT / "edge_inspect")
    words = ["sh", str(checkout / "tools" / "recalibrate"), "--good", "good", *PROMISED, "--json"]
    bare = {"PATH": os.defpath}
    missing = subprocess.run(words, env=bare, cwd=station, capture_output=True, text=True, check=False)
    assert (missing.returncode, missing.stdout) == (78, "")
    assert "make test" in missing.stderr
    (checkout / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(words, env=bare, cwd=station, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["good"] == 60
