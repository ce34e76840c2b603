"""How far a threshold moves when the engine says something else of the same frames."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.acceptance import accept
from edge_inspect.cli.main import main
from edge_inspect.config import PluginBlock
from edge_inspect.errors import EngineError
from edge_inspect.inspector import open_inspector
from edge_inspect.scoring import Scorer, open_scorer
from edge_inspect.thresholds import read_thresholds, save_thresholds
from edge_inspect.thresholds.frames import frames_path, load_frames, save_frames
from edge_inspect.transfer import AT_START, LARGEST_SHARE, accepted_with_calibration, move, silent, transfer

from .test_calibrate import PROMISED

BEFORE = np.arange(1.0, 21.0)
NAMES = tuple(map(str, range(20)))


@given(shift=st.floats(-5, 5), threshold=st.floats(1, 30))
def test_a_threshold_moves_with_the_scores(shift, threshold):
    found = move(BEFORE, BEFORE + shift, threshold, NAMES)
    assert found.moved == pytest.approx(threshold + shift)
    assert found.largest == pytest.approx(abs(shift))


def test_the_same_scores_move_nothing():
    found = move(BEFORE, BEFORE, 18.0, NAMES)
    assert (found.moved, found.share, found.flips) == (18.0, 0.0, ())


def test_only_what_happens_at_the_threshold_moves_it():
    now = BEFORE.copy()
    now[:5] += 0.5
    found = move(BEFORE, now, 18.0, NAMES)
    assert found.moved == 18.0
    assert found.largest == 0.5


def test_a_frame_that_crosses_the_threshold_is_named():
    now = BEFORE.copy()
    now[17] = 18.5
    found = move(BEFORE, now, 18.0, NAMES)
    assert (found.flips, found.astray, found.holds) == (("17",), (), True)


def test_the_frame_that_set_the_threshold_flips_with_the_last_bit_and_the_threshold_holds():
    now = BEFORE.copy()
    now[19] = np.nextafter(20.0, 21.0)
    found = move(BEFORE, now, 20.0, NAMES)
    assert (found.flips, found.astray, found.holds) == (("19",), (), True)


def test_a_frame_that_is_far_above_the_threshold_now_does_not_hold_though_it_need_not_move():
    now = BEFORE.copy()
    now[[0, 19]] = now[[19, 0]]
    found = move(BEFORE, now, 17.5, NAMES)
    assert (found.share, found.astray, found.holds, found.rejects_more) == (0.0, ("0",), False, True)


@pytest.mark.parametrize(("shift", "rejects_more"), [(1.0, True), (-1.0, False)])
def test_a_threshold_that_would_have_to_fall_does_not_hold_and_keeps_its_promise(shift, rejects_more):
    found = move(BEFORE, BEFORE + shift, 18.0, NAMES)
    assert (found.holds, found.rejects_more) == (False, rejects_more)


def test_a_threshold_without_room_that_moves_does_not_hold():
    assert move(np.full(20, 3.0), np.full(20, 3.1), 3.0, NAMES).share == float("inf")


def test_the_engine_that_calibrated_and_another_runtime_agree_on_the_stored_frames(station, said):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    for runtime in ("onnx", "reference"):
        code, found, _ = said("--transfer", "--runtime", runtime)
        assert (code, found["holds"], found["frames"]) == (0, True, 60)
        assert found["image"]["largest"] < 1e-3


def test_an_engine_that_scores_higher_here_is_told_with_how_far_the_threshold_moves(station, said, monkeypatch, capsys):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    score = Scorer.image_score
    monkeypatch.setattr(Scorer, "image_score", lambda self, scores, searched: 1.3 * score(self, scores, searched))
    code, found, _ = said("--transfer")
    assert code == 1
    assert not found["holds"]
    assert found["image"]["moved"] == pytest.approx(1.3 * found["image"]["threshold"], rel=1e-5)
    assert main(["calibrate", "--transfer"]) == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_without_stored_frames_it_says_how_to_get_them(station, said):
    code, _, err = said("--transfer")
    assert code == 78
    assert "calibrate with --apply once, which stores the frames" in err


def test_frames_of_another_size_are_refused_with_both_sizes(station, said):
    from edge_inspect.thresholds.frames import CalibrationFrames

    frames = CalibrationFrames(
        images=np.zeros((2, 16, 16, 1), np.uint8),
        searched=np.ones((2, 4, 4), np.bool_),
        scores=np.zeros(2),
        peaks=np.zeros(2),
        names=("a", "b"),
        sample=np.zeros(2),
        engine_sha256="e" * 64,
    )
    save_frames(station / "cell" / "thresholds.json", frames)
    assert frames_path(station / "cell" / "thresholds.json").exists()
    code, _, err = said("--transfer")
    assert code == 78
    assert "((16, 16, 1), (4, 4)), this engine has" in err


def higher_here(monkeypatch, factor=1.3):
    """An engine that scores higher as it is opened here, and agrees with its golden frames all the same."""
    score = Scorer.image_score
    monkeypatch.setattr(Scorer, "image_score", lambda self, scores, searched: factor * score(self, scores, searched))


def test_an_engine_is_accepted_where_its_thresholds_hold_on_the_calibration_frames(station, said, capsys):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    assert main(["build", "--recipe", "cell/recipe.yaml", "--accept", "--runtime", "onnx"]) == 0
    assert "thresholds   on the calibration frames move by so much of their room: image 0.00%, pixel 0.00%" in capsys.readouterr().out
    records = json.loads((station / "cell" / "acceptance.json").read_text())["records"]
    assert [record["result"]["calibration"] for record in records] == [{"image": 0.0, "pixel": 0.0}]


def test_an_engine_that_moves_a_threshold_is_refused_by_build_and_at_the_start_of_a_station(station, said, monkeypatch, capsys):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    higher_here(monkeypatch)
    assert main(["build", "--recipe", "cell/recipe.yaml", "--accept", "--runtime", "onnx"]) == 1
    said_why = capsys.readouterr().out
    assert "REFUSED" in said_why
    assert "on the calibration frames the image threshold" in said_why
    assert "calibrate the part again on this device" in said_why
    with pytest.raises(EngineError, match="no agreement, no service: on the calibration frames the image threshold"):
        open_inspector(station / "cell" / "recipe.yaml", PluginBlock(kind="onnx"), base=station).__enter__()


def test_a_station_looks_at_the_highest_frames_only_and_measures_their_room_from_the_middle_of_all(station, said):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    with open_scorer(station / "cell" / "recipe.yaml", PluginBlock(kind="onnx"), base=station) as scorer:
        some, whole = (transfer(scorer, silent, most=most) for most in (AT_START, None))
    assert (some.frames, whole.frames) == (AT_START, 60)
    assert (some.image, some.pixel) == (whole.image, whole.pixel)


def test_frames_of_another_model_or_damaged_ones_neither_accept_nor_refuse(station, said, caplog):
    def accepted():
        with open_inspector(station / "cell" / "recipe.yaml", PluginBlock(kind="onnx"), base=station) as inspector:
            return inspector.acceptance.calibration

    assert accepted() is None
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    assert accepted() == {"image": 0.0, "pixel": 0.0}
    path = station / "cell" / "thresholds.json"
    save_frames(path, replace(load_frames(path), engine_sha256="e" * 64))
    assert accepted() is None
    assert not caplog.records
    frames_path(path).write_bytes(b"damaged, and longer than a hash of sha256 is")
    assert accepted() is None
    assert "were not held against the calibration frames" in caplog.text


def test_a_move_without_any_room_is_written_as_a_number(station, said, monkeypatch):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    path = station / "cell" / "thresholds.json"
    frames = load_frames(path)
    save_thresholds(path, read_thresholds(path).model_copy(update={"image_threshold": 3.0, "pixel_threshold": 3.0}))
    save_frames(path, replace(frames, scores=np.full(60, 3.0), peaks=np.full(60, 3.0)))
    with open_scorer(station / "cell" / "recipe.yaml", PluginBlock(kind="onnx"), base=station) as scorer:
        found = accepted_with_calibration(scorer, accept(scorer._engine, scorer.model, image_threshold=None))
    assert found.calibration == {"image": LARGEST_SHARE, "pixel": LARGEST_SHARE}
