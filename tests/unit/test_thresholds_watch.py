"""The watch on thresholds.json, with the real tiny engine behind it."""

from __future__ import annotations

import os
from threading import Event

import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.inspector import open_inspector
from edge_inspect.station import thresholds_watch
from edge_inspect.station.thresholds_watch import ThresholdsWatch
from edge_inspect.thresholds import RegionLimits, read_thresholds, save_thresholds


@pytest.fixture
def inspector(recipe_file, tmp_path):
    with open_inspector(recipe_file, PluginBlock(kind="reference"), base=tmp_path) as inspector:
        yield inspector


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A watch that is always due."""
    monkeypatch.setattr(thresholds_watch, "LOOK_EVERY_S", 0.0)
    return ThresholdsWatch(required=False)


def change(inspector, **fields):
    path = inspector.recipe.thresholds
    save_thresholds(path, read_thresholds(path).model_copy(update=fields))


def test_what_changed_before_the_first_look_is_seen(watch, inspector):
    change(inspector, image_threshold=33.0)
    assert watch.look(inspector) == ""
    assert inspector.limits.image_threshold == 33.0
    assert inspector.binding.calibration_id == inspector.calibration_id == read_thresholds(inspector.recipe.thresholds).calibration_id


def test_a_file_that_stays_is_read_once_and_again_when_asked(watch, inspector, monkeypatch):
    reads = []
    load = thresholds_watch.load_thresholds
    monkeypatch.setattr(thresholds_watch, "load_thresholds", lambda path, **hashes: (reads.append(path), load(path, **hashes))[1])
    assert [watch.look(inspector) for _ in range(5)] == ["", None, None, None, None]
    assert len(reads) == 1
    watch.asked.set()
    assert [watch.look(inspector), watch.look(inspector)] == ["", None]
    assert len(reads) == 2


def test_it_looks_twice_a_second_at_most_unless_it_is_asked(tmp_path, inspector, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(thresholds_watch.time, "monotonic", lambda: now_s[0])
    asked = Event()
    watch = ThresholdsWatch(required=False, asked=asked)
    assert watch.look(inspector) == ""
    change(inspector, image_threshold=33.0)
    now_s[0] += 0.49
    assert watch.look(inspector) is None
    now_s[0] += 0.02
    assert watch.look(inspector) == ""
    change(inspector, image_threshold=34.0)
    asked.set()
    assert watch.look(inspector) == ""
    assert inspector.limits.image_threshold == 34.0


def test_another_file_of_the_same_size_and_time_is_seen(watch, inspector):
    watch.look(inspector)
    path = inspector.recipe.thresholds
    before = path.stat()
    change(inspector, image_threshold=29.0)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert watch.look(inspector) == ""
    assert inspector.limits.image_threshold == 29.0


def test_region_limits_are_taken_over_with_the_thresholds(tmp_path):
    from tests.conftest import write_part

    recipe_file = write_part(tmp_path / "cell", extra="decision: {regions: {min_area_px: 10, min_peak: 30}}\n")
    with open_inspector(recipe_file, PluginBlock(kind="reference"), base=tmp_path) as inspector:
        watch = ThresholdsWatch(required=False)
        change(inspector, region_limits=RegionLimits(min_area_px=64.5, min_peak=20.0))
        assert watch.look(inspector) == ""
        assert (inspector.limits.rule.regions.min_area_px, inspector.limits.rule.regions.min_peak) == (64.5, 30.0)
