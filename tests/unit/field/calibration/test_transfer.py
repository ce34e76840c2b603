"""How far a threshold moves when the engine says something else of the same frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.field.calibration.transfer import move
from edge_inspect.scoring import Scorer
from edge_inspect.thresholds.frames import frames_path

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
    assert move(BEFORE, now, 18.0, NAMES).flips == ("17",)


def test_a_threshold_without_room_that_moves_does_not_hold():
    assert move(np.full(20, 3.0), np.full(20, 3.1), 3.0, NAMES).share == float("inf")


def test_the_engine_that_calibrated_and_another_runtime_agree_on_the_stored_frames(station, said):
    said("--good", "good", *PROMISED, "--apply", "--reason", "new lamp")
    for runtime in ("onnx", "reference"):
        code, found, _ = said("--transfer", "--runtime", runtime)
        assert (code, found["holds"], found["frames"]) == (0, True, 60)
        assert found["image"]["largest"] < 1e-3


def test_an_engine_that_scores_higher_here_is_told_with_how_far_the_threshold_moves(station, said, monkeypatch, capsys):
    from edge_inspect.cli.main import main

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
    from edge_inspect.thresholds.frames import CalibrationFrames, save_frames

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
