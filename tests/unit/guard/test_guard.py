"""The guard: a thousand good parts without an alarm, and each change of the line told by its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.cameras.parts import draw_part
from edge_inspect.config import load_recipe
from edge_inspect.datatypes import Evidence, Frame, Inspection, Latency, Placement, Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.guard import open_guard, small_view
from edge_inspect.guard.drift import Drift, stability_index
from edge_inspect.guard.light import Light
from edge_inspect.thresholds.frames import CalibrationFrames, save_frames

RANDOM = np.random.default_rng(0)
SIDE = 96


def part(number):
    """A good part of the simulated camera (96, 96, 1)."""
    pixels = draw_part(number, 1, width=SIDE, height=SIDE, channels=1, label="good").pixels
    return np.array(pixels)


CALIBRATED = [part(number) for number in range(60)]
"""What the guard holds the line against."""


def told(light, pictures):
    """Everything that was said, without repeats."""
    return list(dict.fromkeys(said for said in map(light.note, pictures) if said))


def light():
    return Light(CALIBRATED, still=True)


def test_a_thousand_good_parts_raise_no_alarm_by_their_pictures():
    assert told(light(), map(part, range(100, 1100))) == []


@pytest.mark.parametrize("parts", [40, 300])
@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_good_parts_raise_no_alarm_by_their_scores(parts, seed):
    random = np.random.default_rng(seed)
    drift = Drift(random.gamma(4, size=parts).tolist())
    assert not any(drift.note(score) for score in random.gamma(4, size=1000))


def test_light_that_dims_slowly_is_told_before_a_fifth_of_it_is_gone():
    watched = light()
    for number in range(300):
        left = 1 - number / 1000
        said = watched.note((part(100 + number) * left).astype(np.uint8))
        if said:
            break
    assert said.startswith("check the light: brightness of the picture is ")
    assert left > 0.8


def test_a_dirty_lens_is_told():
    [*_, said] = told(light(), (cv2.GaussianBlur(part(100 + n), (0, 0), 2.0)[..., None] for n in range(30)))
    assert said.startswith("check lens and focus: sharpness of the picture is ")


def test_a_shifted_camera_is_told():
    [*_, said] = told(light(), (np.roll(part(100 + n), 14, axis=1) for n in range(30)))
    assert "check the camera's place" in said
    assert "% of its side away" in said


def test_the_alarm_ends_when_the_light_is_back():
    watched = light()
    assert told(watched, ((part(100 + n) * 0.6).astype(np.uint8) for n in range(20)))
    assert [watched.note(part(200 + n)) for n in range(20)][-1] == ""


@pytest.mark.parametrize(("shift", "word"), [(1.0, "higher"), (-1.0, "lower")])
def test_scores_that_move_by_a_standard_deviation_are_told_within_a_hundred_parts_and_then_not_any_more(shift, word):
    random = np.random.default_rng(1)
    drift = Drift(random.normal(10, 2, 200).tolist())
    said = [drift.note(score) for score in random.normal(10 + 2 * shift, 2, 100)]
    assert f"scores of accepted parts are {word} than at the calibration" in said[-1]
    assert [drift.note(score) for score in random.normal(10, 2, 200)][-1] == ""


def test_scores_that_keep_their_middle_but_not_their_spread_are_told_by_the_stability_index():
    random = np.random.default_rng(2)
    drift = Drift(random.normal(10, 2, 400).tolist())
    said = [drift.note(score) for score in 10 + 2 * random.choice([-1.6, 1.6], 400)]
    assert any("population stability index" in one for one in said)


@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5), st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
def test_the_stability_index_is_nought_for_equal_shares_never_negative_and_the_same_both_ways(one, other):
    before, now = np.array(one) / sum(one), np.array(other) / sum(other)
    assert stability_index(before, before) == 0
    assert stability_index(before, now) >= 0
    assert stability_index(before, now) == pytest.approx(stability_index(now, before))


def test_the_stability_index_by_hand():
    assert stability_index(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5))


def inspection(pixels, score, verdict=Verdict.OK):
    now = datetime.now(timezone.utc)
    frame = Frame(pixels=pixels, sequence=1, exposed_ns=0, taken_at=now, camera="test")
    placement = Placement(affine=np.eye(2, 3), width=SIDE, height=SIDE, channels=1)
    return Inspection(
        sequence=1,
        acquisition=0,
        part_id="",
        taken_at=now,
        verdict=verdict,
        reason="",
        score=score,
        threshold=20.0,
        regions=(),
        recipe="cell",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
        evidence=Evidence(frame=frame, score_map=np.zeros((4, 4), np.float32), placement=placement),
    )


@pytest.fixture(params=["views", "frames alone"])
def recipe(request, recipe_file):
    """A recipe with calibration frames beside it."""
    recipe = load_recipe(recipe_file)
    count = len(CALIBRATED)
    frames = CalibrationFrames(
        images=np.stack(CALIBRATED),
        searched=np.ones((count, 4, 4), np.bool_),
        scores=RANDOM.normal(10, 2, count),
        peaks=np.zeros(count),
        names=tuple(map(str, range(count))),
        sample=RANDOM.normal(10, 2, 200),
        engine_sha256="e" * 64,
        views=np.stack([small_view(image) for image in CALIBRATED]) if request.param == "views" else None,
    )
    save_frames(recipe.thresholds, frames)
    return recipe


def test_a_station_is_told_of_light_and_scores_together_and_rejects_count_for_no_drift(recipe):
    guard = open_guard(recipe, look_every_s=0)
    random = np.random.default_rng(3)
    assert {guard.note(inspection(part(100 + n), score)) for n, score in enumerate(random.normal(10, 2, 50))} == {""}
    assert {guard.note(inspection(part(100 + n), 90.0, Verdict.NG)) for n in range(50)} == {""}
    for n, score in enumerate(random.normal(14, 2, 50)):
        said = guard.note(inspection((part(200 + n) * 0.6).astype(np.uint8), score))
    assert "check the light" in said
    assert "scores of accepted parts are higher" in said


def test_a_part_without_a_frame_is_no_picture(recipe):
    assert open_guard(recipe, look_every_s=0).note(replace(inspection(CALIBRATED[0], 10.0), evidence=None)) == ""


def test_without_calibration_frames_there_is_no_guard_and_it_says_what_to_do(recipe_file):
    with pytest.raises(ConfigError, match="calibrate with --apply once, which stores the frames"):
        open_guard(load_recipe(recipe_file))
