"""`thresholds.json`: written in one step, bound to its engine and recipe."""

import errno
import json
import os
import stat
from datetime import datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from edge_inspect.errors import ConfigError
from edge_inspect.thresholds import RegionLimits, Sample, Thresholds, load_thresholds, save_thresholds

ENGINE, RECIPE = "e" * 64, "a" * 64
MADE = Thresholds(
    image_threshold=5.2,
    pixel_threshold=4.0,
    engine_sha256=ENGINE,
    recipe_sha256=RECIPE,
    rule="quantile",
    promise="at most 1 good part in 100 is rejected",
    false_reject_bound=0.01,
    sample=Sample(images=40, fingerprint="f", minimum=1.0, median=2.0, maximum=3.5),
    made_at=datetime(2026, 11, 21, 12, 30, tzinfo=timezone(timedelta(hours=1))),
    software="edge-inspect 0.1.0",
)


@pytest.fixture
def saved(tmp_path):
    """The path, and what stands there."""
    path = tmp_path / "calibration" / "cell" / "thresholds.json"
    save_thresholds(path, MADE)
    return path


def load(path, engine=ENGINE, recipe=RECIPE):
    return load_thresholds(path, engine_sha256=engine, recipe_sha256=recipe)


def rewrite(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "nothing"}))


def test_what_was_saved_is_loaded_with_the_same_id(saved):
    assert load(saved) == MADE
    assert load(saved).calibration_id == MADE.calibration_id
    assert len(MADE.calibration_id) == 12


@pytest.mark.parametrize("changes", [{"image_threshold": 5.3}, {"pixel_threshold": 4.1}, {"software": "other"}, {"rule": "other"}])
def test_other_thresholds_have_another_id(changes):
    assert MADE.model_copy(update=changes).calibration_id != MADE.calibration_id


def test_thresholds_of_another_engine_are_refused_with_both_hashes(saved):
    with pytest.raises(ConfigError, match=r"made for engine eeeeeeeeeeee, but bbbbbbbbbbbb is running; calibrate the part again"):
        load(saved, engine="b" * 64)


def test_thresholds_of_another_recipe_are_refused_with_both_hashes(saved):
    with pytest.raises(ConfigError, match=r"made for recipe aaaaaaaaaaaa, but bbbbbbbbbbbb is running; .* with this recipe"):
        load(saved, recipe="b" * 64)


def test_missing_thresholds_say_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"thresholds\.json: cannot be read: No such file or directory; teach the part, or calibrate it"):
        load(tmp_path / "thresholds.json")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"format": 2}, "format: got 2; should be 1"),
        ({"image_threshold": "5.2"}, "image_threshold: got '5.2'; should be a number"),
        ({"image_threshold": True}, "image_threshold: got True; should be a number"),
        ({"image_threshold": float("nan")}, "image_threshold: got nan; should be a finite number"),
        ({"pixel_threshold": float("inf")}, "pixel_threshold: got inf; should be a finite number"),
        ({"pixel_threshold": None}, "pixel_threshold: got None; should be a number"),
        ({"false_reject_bound": 1.5}, "false_reject_bound: got 1.5; should be less than or equal to 1"),
        ({"promise": "nothing"}, "promise: Field required"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"made_at": "2026-11-21T12:00:00"}, "made_at: got '2026-11-21T12:00:00'; should have timezone info"),
        (
            {"sample": {"images": 4, "fingerprint": "", "minimum": 1.0, "median": float("nan"), "maximum": 2.0}},
            "sample.median: got nan; should be a finite number",
        ),
    ],
)
def test_a_wrong_value_is_told(saved, changes, what):
    rewrite(saved, **changes)
    with pytest.raises(ConfigError) as caught:
        load(saved)
    assert str(caught.value) == f"{saved}: not thresholds of this version: {what}; calibrate the part"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff\xfe", b"null"])
def test_a_damaged_file_is_refused_in_one_sentence(saved, content):
    saved.write_bytes(content)
    with pytest.raises(ConfigError, match=r"not thresholds of this version: .*; calibrate the part") as caught:
        load(saved)
    assert "\n" not in str(caught.value)


def test_a_bound_need_not_be_known(saved):
    rewrite(saved, false_reject_bound=None)
    assert load(saved).false_reject_bound is None


def test_thresholds_that_are_no_numbers_are_never_made():
    with pytest.raises(ValidationError, match="finite number"):
        Thresholds(**(MADE.model_dump() | {"image_threshold": float("nan")}))


def test_thresholds_without_region_limits_have_the_id_and_the_text_they_had_before_there_were_any(saved):
    assert MADE.calibration_id == "75d4113d2b88"
    assert "region_limits" not in saved.read_text()
    limited = MADE.model_copy(update={"region_limits": RegionLimits(min_area_px=12.5)})
    save_thresholds(saved, limited)
    assert load(saved) == limited
    assert limited.calibration_id != MADE.calibration_id


def test_saving_replaces_the_old_file_and_leaves_nothing_beside_it(saved):
    save_thresholds(saved, MADE.model_copy(update={"image_threshold": 6.0}))
    assert load(saved).image_threshold == 6.0
    assert [path.name for path in saved.parent.iterdir()] == ["thresholds.json"]


def test_a_disk_that_fills_up_while_saving_leaves_the_old_file(saved, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot be written: No space left on device; check space and permissions"):
        save_thresholds(saved, MADE.model_copy(update={"image_threshold": 6.0}))
    assert load(saved) == MADE


def test_the_file_and_then_its_folder_are_on_the_disk_when_saving_returns(saved, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(stat.S_IFMT(os.fstat(descriptor).st_mode)), fsync(descriptor)))
    save_thresholds(saved, MADE)
    assert synced == [stat.S_IFREG, stat.S_IFDIR]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "calibration").write_text("a file where a folder should be")
    with pytest.raises(ConfigError, match=r"cannot be written: (File exists|Not a directory)"):
        save_thresholds(tmp_path / "calibration" / "thresholds.json", MADE)


def test_thresholds_from_before_the_confidence_was_written_keep_their_id():
    assert b"confidence" not in MADE.written()
    sure = MADE.model_copy(update={"confidence": 0.95})
    assert b'"confidence":0.95' in sure.written()
    assert sure.calibration_id != MADE.calibration_id
