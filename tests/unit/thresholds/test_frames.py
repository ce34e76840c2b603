"""Stored calibration frames: what was kept comes back, what was damaged is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.errors import ConfigError
from edge_inspect.thresholds.frames import MOST, CalibrationFrames, frames_path, kept, load_frames, save_frames

RANDOM = np.random.default_rng(0)
FRAMES = CalibrationFrames(
    images=RANDOM.integers(0, 256, (4, 24, 32, 3), dtype=np.uint8),
    searched=RANDOM.random((4, 6, 11)) > 0.5,
    scores=RANDOM.random(4),
    peaks=RANDOM.random(4),
    names=("a.png", "b.png", "17", "ü.png"),
    sample=RANDOM.random(9),
    engine_sha256="e" * 64,
)


def test_what_was_stored_comes_back_to_the_bit(tmp_path):
    save_frames(tmp_path / "thresholds.json", FRAMES)
    again = load_frames(tmp_path / "thresholds.json")
    for name in ("images", "searched", "scores", "peaks", "sample"):
        np.testing.assert_array_equal(getattr(again, name), getattr(FRAMES, name))
    assert (again.names, again.engine_sha256) == (FRAMES.names, FRAMES.engine_sha256)


@pytest.mark.parametrize("place", [0, 100, -40, -1])
def test_a_damaged_file_is_told(tmp_path, place):
    save_frames(tmp_path / "thresholds.json", FRAMES)
    content = bytearray(frames_path(tmp_path / "thresholds.json").read_bytes())
    content[place] ^= 1
    frames_path(tmp_path / "thresholds.json").write_bytes(bytes(content))
    with pytest.raises(ConfigError, match="is damaged: its hash is not that of its content"):
        load_frames(tmp_path / "thresholds.json")


def test_no_file_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match="calibrate with --apply once, which stores the frames"):
        load_frames(tmp_path / "thresholds.json")


@given(count=st.integers(1, 400))
def test_of_a_large_sample_the_highest_and_some_of_the_others_are_kept(count):
    scores = np.random.default_rng(count).random(count)
    chosen = kept(scores.tolist())
    assert len(chosen) == len(set(chosen)) == min(count, MOST)
    assert set(np.argsort(-scores)[: MOST // 2].tolist()) <= set(chosen)
    assert int(np.argmin(scores)) in chosen
