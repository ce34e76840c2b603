"""Thresholds of zones learnt from good parts: one bound for all places, and a label that is on every good part rejects none."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from edge_inspect.cli.main import main
from edge_inspect.config import load_recipe
from edge_inspect.datatypes import Placement, Scores
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.parts import Part, Parts
from edge_inspect.field.calibration.zones import parts_for_zones, usual_places
from edge_inspect.scoring import Scored
from edge_inspect.thresholds.order_statistics import parts_needed
from edge_inspect.thresholds.proposing import RULES, Wanted
from tests.conftest import write_part

ZONES = """decision: {regions: {}}
zones:
  - {name: label, rectangle: {left: 16, top: 16, width: 16, height: 16}}
  - {name: rim, rectangle: {left: 0, top: 0, width: 64, height: 8}}
"""


@pytest.fixture
def zoned(tmp_path, monkeypatch):
    """Good parts whose label scores 60 to 79 and whose face scores 2 to 12; defects on the face are fainter than a label."""
    monkeypatch.chdir(tmp_path)
    write_part(tmp_path / "cell", extra=ZONES)
    (tmp_path / "station.yaml").write_text("name: cell-3\nrecipe: cell/recipe.yaml\ncamera: simulated\nruntime: onnx\ndeadline_ms: 2000\n")
    write(tmp_path / "good", [(60 + n % 20, 2 + n % 11) for n in range(120)])
    write(tmp_path / "bad", [(60 + n % 20, 30 + n) for n in range(8)] + [(110 + n, 5) for n in range(4)])
    return tmp_path


def write(folder, scores):
    """Parts with a label of one score and a spot on their face of another, each a frame of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (label, face) in enumerate(scores):
        pixels = np.full((48, 64, 3), 128, np.uint8)
        pixels[16:32, 16:32] = 128 + label
        pixels[32:40, 40:48] = 128 + face
        pixels[40 + number // 56 % 8, number % 56] = 127
        cv2.imwrite(str(folder / f"{number:03}.png"), pixels)


def test_a_label_no_longer_sets_the_threshold_of_the_face(zoned, said):
    code, found, _ = said("--good", "good", "--bad", "bad", "--false-rejects", "0.05", "--apply", "--reason", "label")
    assert code == 0
    new = found["new"]
    assert 12 <= new["image_threshold"] == new["pixel_threshold"] < 30
    [label, rim] = new["zones"]
    assert (label["name"], rim["name"]) == ("label", "rim")
    assert 79 <= label["pixel_threshold"] < 110
    assert found["false_rejects"]["new"]["seen"] == 0
    assert found["escapes"]["new"]["seen"] == 0
    assert "over 3 places at once, scaled by 24 other good parts" in new["rule"]
    assert found["promise"].startswith("With 95 % confidence at most")
    assert "of 96 good scores" in found["promise"]


def test_without_its_zones_the_label_hides_every_defect_of_the_face(zoned, said):
    write_part(zoned / "cell")
    _, found, _ = said("--good", "good", "--bad", "bad", "--false-rejects", "0.05")
    assert found["new"]["image_threshold"] >= 79
    assert found["escapes"]["new"]["seen"] >= 8


@pytest.mark.parametrize("rule", ["f1", "youden", "recall90"])
def test_rules_that_weigh_defects_work_over_all_places(zoned, said, rule):
    _, found, _ = said("--good", "good", "--bad", "bad", "--rule", rule)
    assert found["false_rejects"]["new"]["seen"] == 0
    assert found["escapes"]["new"]["seen"] <= 1
    assert {name for name, one in found["others"].items() if not isinstance(one, str)} >= {"quantile", "mean"}


def test_a_terminal_shows_the_threshold_of_each_zone(zoned, capsys):
    assert main(["calibrate", "--good", "good", "--false-rejects", "0.05", "--apply", "--reason", "label"]) == 0
    out = capsys.readouterr().out
    assert "zone label" in out
    assert "zone rim" in out
    assert main(["calibrate", "--transfer"]) == 0
    assert "zone label   threshold" in capsys.readouterr().out


def test_regions_of_each_zone_get_a_least_area_of_their_own(zoned, said):
    code, found, _ = said("--good", "good", "--bad", "bad", "--regions", "--false-rejects", "0.12", "--apply", "--reason", "label")
    assert code == 0
    areas = {zone["name"]: zone["min_area_px"] for zone in found["new"]["zones"]}
    assert areas["label"] >= 256 > found["new"]["region_limits"]["min_area_px"] >= 64 > areas["rim"] - 64
    assert ", in zones " in found["promise"]
    assert found["false_rejects"]["new"]["seen"] <= 8


def test_the_terminal_shows_the_least_area_of_each_zone_as_the_page_does(zoned, capsys):
    assert main(["calibrate", "--good", "good", "--regions", "--false-rejects", "0.12"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"zone label least area +none +2\d\d(\.\d)? px\n", out)
    assert "zone rim least area" in out


def test_too_few_parts_for_zones_and_parts_without_frames_are_refused(zoned, said):
    for path in sorted((zoned / "good").iterdir())[15:]:
        path.unlink()
    code, _, err = said("--good", "good")
    assert code == 78
    assert "10 say what is usual in each zone" in err


def test_it_says_how_many_parts_the_promise_needs_with_zones(zoned, said):
    code, found, _ = said("--good", "good", "--apply", "--reason", "label")
    assert code == 1
    assert f"bring {parts_for_zones(parts_needed(0.01, 0.95))} or more" in found["refusal"]
    assert "120 good parts carry" in found["refusal"]


def scored(heights):
    """A part with an image score, a highest cell and one highest cell for each zone."""
    score, peak, *zones = heights
    return Scored(
        score=score,
        peak=peak,
        mean=0.0,
        scores=Scores(map=np.zeros((2, 2), np.float32), image=None),
        placement=Placement(affine=np.eye(2, 3), width=2, height=2, channels=1),
        searched=np.ones((2, 2), bool),
        zone_peaks=tuple(zones),
        zones=np.zeros((2, 2), np.uint8),
    )


def parts(table, random):
    return Parts(
        parts=tuple(
            Part(name=str(n), sha256=random.bytes(16).hex(), good=True, score=row[0], scored=scored(row)) for n, row in enumerate(table)
        )
    )


@pytest.mark.parametrize("own", [False, True])
def test_the_bound_holds_for_all_places_together(tmp_path, own):
    """Drawn parts: how often is the true rate above the promise? Scores of a part hang together, one place has a heavy tail."""
    recipe = load_recipe(write_part(tmp_path / "cell", extra=ZONES))
    random = np.random.default_rng(5)

    def drawn(count):
        shared = random.normal(size=(count, 1))
        places = shared + random.normal(size=(count, 4)) * [1, 1, 3, 0.5] + [10, 10, 80, 0]
        places[:, 3] += random.pareto(2.5, count)
        return places

    exceeded, rates, splits = 0, [], 150
    future = drawn(20_000)
    for _ in range(splits):
        sample = parts(drawn(100), random)
        places = usual_places(sample, recipe, own=own)
        scores = places.scores(sample)
        proposal = RULES["quantile"].propose(scores, Wanted(rate=0.1, decision=recipe.decision))
        laid, zones = places.in_engine_units(proposal)
        limits = np.array([laid.image_threshold, laid.pixel_threshold, *(zone.pixel_threshold for zone in zones)])
        heights = future if own else future[:, [1, 1, 2, 3]]
        rates.append((heights > limits).any(axis=1).mean())
        exceeded += rates[-1] > proposal.bound
    assert exceeded <= 0.05 * splits + 3 * (0.05 * 0.95 * splits) ** 0.5
    assert np.mean(rates) > 0.02  # a bound that rejects nothing would hold, too


def test_a_zone_that_is_hidden_on_most_parts_is_refused(tmp_path):
    recipe = load_recipe(write_part(tmp_path / "cell", extra=ZONES))
    table = np.full((30, 4), 5.0)
    table[:, 3] = -np.inf
    with pytest.raises(ConfigError, match="rim: hidden or out of the frame"):
        usual_places(parts(table, np.random.default_rng(1)), recipe, own=False)


def test_parts_of_which_only_the_record_is_left_say_nothing_of_zones(tmp_path):
    recipe = load_recipe(write_part(tmp_path / "cell", extra=ZONES))
    only = Parts(parts=tuple(Part(name=str(n), sha256="", good=True, score=1.0) for n in range(30)))
    with pytest.raises(ConfigError, match="need every part's frame"):
        usual_places(only, recipe, own=False)


def test_a_place_that_never_varies_has_a_scale_all_the_same(tmp_path):
    recipe = load_recipe(write_part(tmp_path / "cell", extra=ZONES))
    places = usual_places(parts(np.full((30, 4), 5.0), np.random.default_rng(1)), recipe, own=False)
    assert places.rooms == pytest.approx((0.005, 0.005, 0.005))
    assert places.laid(0.0) == (5.0, 5.0, 5.0)
