"""Least areas learnt from good parts: good parts' specks do not count, a larger region does."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from edge_inspect.cli.main import main
from edge_inspect.scoring import limits_from
from edge_inspect.thresholds import read_thresholds
from tests.conftest import write_part

from .conftest import write_pictures


def write_specks(folder, count, *, size, scores):
    """Parts with a square of this size [px] and one of these scores, each at a place and with a grey of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((48, 64, 3), 128, np.uint8)
        left, top = 8 * (number % 5), 8 * (number // 5 % 3)
        pixels[top : top + size, left : left + size] = 128 + scores[number % len(scores)]
        pixels[44:, 60:] = 128 - number % 11
        pixels[44:, 50:54] = 128 - number // 11
        cv2.imwrite(str(folder / f"{number:03}.png"), pixels)


@pytest.fixture
def by_regions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_part(tmp_path / "cell", extra="decision: {image_score: false, regions: {max_count: 0}}\n")
    (tmp_path / "station.yaml").write_text("name: cell-3\nrecipe: cell/recipe.yaml\ncamera: simulated\nruntime: onnx\ndeadline_ms: 2000\n")
    write_specks(tmp_path / "good", 120, size=8, scores=range(20, 80))
    write_specks(tmp_path / "bad", 12, size=16, scores=range(85, 105))
    return tmp_path


def test_good_parts_specks_pass_and_larger_regions_of_the_same_score_do_not(by_regions, said):
    code, found, _ = said("--good", "good", "--bad", "bad", "--regions", "--false-rejects", "0.05", "--apply", "--reason", "dust")
    assert code == 0
    assert 70 <= found["new"]["pixel_threshold"] <= 77
    assert found["new"]["region_limits"]["min_area_px"] == pytest.approx(64, abs=1)
    assert found["false_rejects"]["new"]["seen"] <= 3
    assert found["escapes"]["new"]["seen"] == 0
    assert "region of 60 good parts, each counted by its largest" in found["promise"]
    assert main(["check"]) == 0
    from edge_inspect.config import load_recipe

    limits = limits_from(read_thresholds(by_regions / "cell" / "thresholds.json"), load_recipe(by_regions / "cell" / "recipe.yaml"))
    assert limits.rule.regions.min_area_px == found["new"]["region_limits"]["min_area_px"]


def test_with_the_image_score_both_must_keep_the_promise_together(by_regions, said):
    recipe = by_regions / "cell" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("image_score: false", "image_score: true"))
    _, found, _ = said("--good", "good", "--regions", "--false-rejects", "0.1")
    assert found["new"]["false_reject_bound"] > 0.05
    assert found["new"]["image_threshold"] > found["new"]["pixel_threshold"]


def test_the_table_shows_the_least_area(by_regions, capsys):
    assert main(["calibrate", "--good", "good", "--regions", "--false-rejects", "0.1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"least region area +none +6[45](\.\d+)? px\n", out)
    assert "mm2" not in out


def test_areas_are_told_in_mm2_too_where_the_recipe_knows_the_scale(by_regions, said, capsys):
    recipe = by_regions / "cell" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "mm_per_px: 0.5\n")
    words = ("--good", "good", "--regions", "--false-rejects", "0.1")
    assert main(["calibrate", *words]) == 0
    assert re.search(r"least region area +none +6[45](\.\d+)? px \(16(\.\d)? mm2\)\n", capsys.readouterr().out)
    _, found, _ = said(*words)
    assert found["mm_per_px"] == 0.5
    assert re.search(
        r"Regions count above 6[45](\.\d+)? px \(16(\.\d)? mm2\): the \d+(st|nd|rd|th) largest region of 60 good parts", found["promise"]
    )


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--good", "good", "--regions"), "--regions: the recipe does not decide by regions; add decision.regions"),
        (("--good", "good", "--regions", "--rule", "mean"), "--regions: the recipe does not decide by regions"),
    ],
)
def test_a_recipe_that_does_not_decide_by_regions_has_no_use_for_them(station, said, words, what):
    code, _, err = said(*words)
    assert code == 78
    assert what in err


def test_regions_go_with_the_rule_that_looks_at_good_parts_only(by_regions, said):
    write_pictures(by_regions / "plain", range(30))
    code, _, err = said("--good", "plain", "--regions", "--rule", "mean")
    assert code == 78
    assert "--regions: goes with --rule quantile" in err
