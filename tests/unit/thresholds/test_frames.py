"""Stored calibration frames: what was kept comes back, what was damaged is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.errors import ConfigError
from edge_inspect.thresholds import Sample, save_thresholds
from edge_inspect.thresholds.frames import (
    MOST,
    CalibrationFrames,
    are_stored,
    forget_frames,
    frames_path,
    kept,
    load_frames,
    load_looks,
    packed,
    save_frames,
)

from .test_record import MADE

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


@pytest.fixture
def path(tmp_path):
    """A `thresholds.json` without frames yet."""
    save_thresholds(tmp_path / "thresholds.json", MADE)
    return tmp_path / "thresholds.json"


def test_what_was_stored_comes_back_to_the_bit(path):
    save_frames(path, FRAMES)
    again = load_frames(path)
    for name in ("images", "searched", "scores", "peaks", "sample"):
        np.testing.assert_array_equal(getattr(again, name), getattr(FRAMES, name))
    assert (again.names, again.engine_sha256) == (FRAMES.names, FRAMES.engine_sha256)


def test_a_guard_gets_views_without_the_frames_being_unpacked_and_the_frames_where_nobody_made_views(path, monkeypatch):
    save_frames(path, FRAMES)
    looks = load_looks(path)
    np.testing.assert_array_equal(looks.pictures, FRAMES.images)
    assert not looks.are_views
    views = RANDOM.integers(0, 256, (4, 16, 16), dtype=np.uint8)
    save_frames(path, replace(FRAMES, views=views))
    monkeypatch.setattr("edge_inspect.thresholds.frames._unpacked", None)
    looks = load_looks(path)
    np.testing.assert_array_equal(looks.pictures[..., 0], views)
    np.testing.assert_array_equal(looks.sample, FRAMES.sample)
    assert (looks.are_views, looks.patches, looks.patch_at) == (True, None, None)


@pytest.mark.parametrize("place", [0, 100, -40, -1])
def test_a_damaged_file_is_told(path, place):
    save_frames(path, FRAMES)
    content = bytearray(frames_path(path).read_bytes())
    content[place] ^= 1
    frames_path(path).write_bytes(bytes(content))
    with pytest.raises(ConfigError, match="is damaged: its hash is not that of its content"):
        load_frames(path)


def test_no_file_says_how_to_get_one(path):
    assert not are_stored(path)
    with pytest.raises(ConfigError, match="calibrate with --apply once, which stores the frames"):
        load_frames(path)


def test_frames_are_those_of_the_thresholds_that_are_asked_for_and_of_no_others(path):
    save_frames(path, FRAMES)
    other = MADE.model_copy(update={"image_threshold": 6.0})
    save_thresholds(path, other)
    with pytest.raises(ConfigError, match=rf"calibration-frames-{other.calibration_id}\.npz: is not there, only frames of another calib"):
        load_frames(path)
    save_frames(path, replace(FRAMES, names=("e", "f", "g", "h")))
    assert load_frames(path).names == ("e", "f", "g", "h")
    assert load_frames(path, MADE).names == FRAMES.names


@pytest.mark.parametrize(("changes", "theirs"), [({}, True), ({"engine_sha256": "f" * 64}, False), ({"sample": RANDOM.random(9)}, False)])
def test_frames_as_an_older_version_named_them_are_whose_sample_they_have(path, changes, theirs):
    scores = FRAMES.sample
    told = Sample(images=9, fingerprint="f", minimum=scores.min(), median=float(np.median(scores)), maximum=scores.max())
    thresholds = MADE.model_copy(update={"engine_sha256": FRAMES.engine_sha256, "sample": told})
    path.with_name("calibration-frames.npz").write_bytes(packed(replace(FRAMES, **changes)))
    if theirs:
        assert load_frames(path, thresholds).names == FRAMES.names
    else:
        with pytest.raises(ConfigError, match="only frames of another calibration are"):
            load_frames(path, thresholds)


def test_frames_of_the_calibrations_to_keep_stay_and_all_others_go(path):
    save_frames(path, FRAMES)
    for name in ("0123456789ab.npz", "0123456789ab.npz.new", "ba9876543210.npz"):
        path.with_name(f"calibration-frames-{name}").write_bytes(b"of another")
    path.with_name("calibration-frames.npz").write_bytes(b"of an older version")
    forget_frames(path, keep=[MADE.calibration_id, "ba9876543210"])
    left = {file.name for file in path.parent.glob("*frames*")}
    assert left == {frames_path(path).name, "calibration-frames-ba9876543210.npz", "calibration-frames.npz"}


@settings(deadline=None)
@given(count=st.integers(1, 400))
def test_of_a_large_sample_the_highest_and_some_of_the_others_are_kept(count):
    scores = np.random.default_rng(count).random(count)
    chosen = kept(scores.tolist())
    assert len(chosen) == len(set(chosen)) == min(count, MOST)
    assert set(np.argsort(-scores)[: MOST // 2].tolist()) <= set(chosen)
    assert int(np.argmin(scores)) in chosen
