"""The numbers of the bench: what they are made of, not how large they are."""

from __future__ import annotations

import mmap
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.config import PluginBlock, load_recipe
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError, EngineError, PluginError
from edge_inspect.field.benchmark import STAGES, WARM_UP_FRAMES, make_frames, measure, measure_together, open_bench, soak
from edge_inspect.field.device import PACKAGES, device_facts, resident_bytes
from edge_inspect.field.startup import measure_startup
from edge_inspect.model_folder import open_model_folder
from tests.conftest import write_part

MODELS = Path(__file__).parents[2] / "golden" / "models"
TINY = open_model_folder(MODELS / "tiny")


@pytest.fixture
def bench():
    with open_bench(TINY, PluginBlock(kind="onnx")) as opened:
        yield opened


def test_every_spread_rises_and_every_stage_is_there(bench):
    timings = measure(bench, make_frames(TINY, 128, 96, 3), 20)
    assert timings.frames == 20
    assert tuple(timings.stages_ms) == STAGES
    for spread in (timings.frame_to_verdict_ms, timings.engine_ms, timings.everything_but_engine_ms, *timings.stages_ms.values()):
        assert list(spread) == ["p50", "p95", "p99", "max"]
        assert list(spread.values()) == sorted(spread.values())
    assert timings.engine_ms == timings.stages_ms["infer"]


def test_only_frames_after_the_warm_up_are_counted(bench, monkeypatch):
    """A clock that ticks 1 ms at each reading: every duration is known."""
    readings = iter(range(1_000_000))
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(readings) * 1_000_000)
    calls = []
    infer = bench.runtime.infer
    monkeypatch.setattr(type(bench.runtime), "infer", lambda self, *arguments: calls.append(arguments) or infer(*arguments))
    timings = measure(bench, make_frames(TINY, 64, 48, 3), 5)
    assert len(calls) == 2 * (WARM_UP_FRAMES + 5)
    assert set(timings.engine_ms.values()) == {1.0}
    assert set(timings.frame_to_verdict_ms.values()) == {1.0}
    assert set(timings.everything_but_engine_ms.values()) == {0.0}


def test_at_line_pace_it_waits_before_each_frame(bench, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    measure(bench, make_frames(TINY, 64, 48, 3), 5, interval_s=0.09)
    assert waits == [0.09] * (WARM_UP_FRAMES + 5)


def test_the_frames_are_the_golden_frames_at_the_cameras_size(bench):
    frames = make_frames(TINY, 192, 144, 3)
    assert [frame.pixels.shape for frame in frames] == [(144, 192, 3)] * 7
    assert not frames[0].pixels.flags.writeable
    verdicts = [bench.inspector.inspect(frame).verdict for frame in frames]
    # Threshold is the golden median: the three parts with a defect are above it, and what was good stays near it.
    assert verdicts[4:] == [Verdict.NG] * 3
    assert any(bench.inspector.inspect(frame).regions for frame in frames)


@pytest.mark.parametrize("name", ["tiny", "tiny_mono"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_frames_go_to_either_kind_of_model(name, channels):
    model = open_model_folder(MODELS / name)
    frames = make_frames(model, 100, 60, channels)
    assert frames[0].pixels.shape == (60, 100, channels)
    with open_bench(model, PluginBlock(kind="reference")) as bench:
        assert measure(bench, frames, 2).frames == 2


def test_memory_is_read_at_both_ends(bench):
    memory = soak(bench, make_frames(TINY, 64, 48, 3), 60, settled=20)
    assert (memory.settled_frames, memory.frames) == (20, 60)
    assert memory.settled_mb > 10
    assert memory.growth_percent == pytest.approx(100 * (memory.final_mb / memory.settled_mb - 1), abs=0.01)


def test_memory_that_is_kept_is_seen(bench, monkeypatch):
    kept = []
    inspect = bench.inspector.inspect
    monkeypatch.setattr(bench.inspector, "inspect", lambda frame: kept.append(np.ones(1_000_000)) or inspect(frame))
    memory = soak(bench, make_frames(TINY, 64, 48, 3), 30, settled=10)
    assert memory.final_mb - memory.settled_mb > 100


def test_a_soak_that_ends_before_memory_has_settled_is_refused(bench):
    with pytest.raises(ValueError, match="take more than 2000"):
        soak(bench, make_frames(TINY, 64, 48, 3), 2_000)


def test_an_unknown_runtime_and_an_unknown_option_are_refused():
    with pytest.raises(PluginError, match="no kind 'magic'"), open_bench(TINY, PluginBlock(kind="magic")):
        pass
    with pytest.raises(ConfigError, match="threads: unknown option"), open_bench(TINY, PluginBlock(kind="reference", threads=2)):
        pass


def test_a_start_takes_time_and_the_line_takes_longer_than_the_package(monkeypatch):
    monkeypatch.setattr("edge_inspect.field.startup.REPEATS", 1)
    startup = measure_startup(TINY.path, PluginBlock(kind="onnx"))
    assert 0 < startup.import_ms < startup.import_line_ms
    assert 0 < startup.ready_ms < startup.first_verdict_ms
    assert startup.first_verdict_cached_ms is None
    assert startup.peak_mb > 10


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO has no build for this machine")
def test_a_start_with_a_filled_cache_is_timed_where_the_runtime_has_one(monkeypatch):
    monkeypatch.setattr("edge_inspect.field.startup.REPEATS", 1)
    assert measure_startup(TINY.path, PluginBlock(kind="openvino")).first_verdict_cached_ms > 0


def test_a_start_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_inspect.field.startup.REPEATS", 1)
    with pytest.raises(EngineError, match=r"did not become ready: .*manifest\.json.*; run the bench without --startup"):
        measure_startup(tmp_path, PluginBlock(kind="onnx"))


def test_the_device_is_told():
    facts = device_facts()
    assert facts["cores"] >= facts["usable_cores"] >= 1
    assert set(facts["packages"]) == set(PACKAGES)
    assert facts["packages"]["edge-inspect"]


def test_what_a_machine_does_not_tell_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_inspect.field.device.PACKAGES", ("no-such-package",))
    facts = device_facts(proc=tmp_path, cpus=tmp_path)
    assert facts["cpu"] is facts["governor"] is facts["memory"] is None
    assert facts["packages"] == {"no-such-package": None}


@pytest.mark.parametrize(
    ("file", "text", "key", "told"),
    [
        ("cpuinfo", "processor\t: 0\nmodel name\t: Xeon\nmodel name\t: Xeon\n", "cpu", "Xeon"),
        ("cpuinfo", "processor\t: 0\n\nModel\t\t: Raspberry Pi 5\n", "cpu", "Raspberry Pi 5"),
        ("device-tree/model", "NVIDIA Jetson Orin Nano\0", "cpu", "NVIDIA Jetson Orin Nano"),
        ("cpu0/cpufreq/scaling_governor", "powersave\n", "governor", "powersave"),
        ("meminfo", "MemTotal:       8 kB\nMemFree: 1 kB\n", "memory", "8 kB"),
    ],
)
def test_every_kind_of_machine_is_read(tmp_path, file, text, key, told):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert device_facts(proc=tmp_path, cpus=tmp_path)[key] == told


def test_resident_memory_rises_with_what_is_used():
    before = resident_bytes()
    with mmap.mmap(-1, 40_000_000) as used:  # pages of its own: an array may get memory that is resident already
        used.write(b"x" * len(used))
        assert resident_bytes() - before > len(used) / 2


def test_a_report_can_be_written_as_numbers(bench):
    assert asdict(measure(bench, make_frames(TINY, 64, 48, 3), 2))["stages_ms"]["warp"]["p50"] >= 0


def test_benches_are_timed_in_turns(bench, monkeypatch):
    frames = make_frames(TINY, 64, 48, 3)
    with open_bench(TINY, PluginBlock(kind="reference")) as other:
        served = []
        for name, opened in (("a", bench), ("b", other)):
            inspect = opened.inspector.inspect
            monkeypatch.setattr(opened.inspector, "inspect", lambda frame, n=name, i=inspect: served.append(n) or i(frame))
        timings = measure_together([(bench, frames), (other, frames)], 6, rounds=3)
    turns = [name for name, before in zip(served, ["", *served], strict=False) if name != before]
    assert turns == ["a", "b"] * 4  # warm-up, then three rounds
    assert [len(part) for part in timings[0].rounds_ms["engine"]] == [2, 2, 2]
    assert len(timings[1].yardstick_ms) == 3
    assert timings[0].frames == 6


def test_every_frame_is_kept_in_its_round(bench):
    timings = measure(bench, make_frames(TINY, 64, 48, 3), 7, rounds=3)
    assert [len(part) for part in timings.rounds_ms["frame_to_verdict"]] == [3, 2, 2]
    longest = max(max(part) for part in timings.rounds_ms["frame_to_verdict"])
    assert timings.frame_to_verdict_ms["max"] == longest


def test_a_recipe_is_honoured_with_its_locator_masks_and_thresholds(tmp_path):
    extra = "locator: {kind: principal_axis, background: dark, width: 240, height: 120, ends: alike}\nmasks: {border_px: 8}\n"
    recipe = load_recipe(write_part(tmp_path / "cell", extra=extra))
    with open_bench(TINY, PluginBlock(kind="onnx"), recipe) as bench:
        assert bench.inspector.limits.image_threshold == 20
        pixels = np.full((240, 320, 3), 119, np.uint8)
        pixels[100:140, 80:240] = 137
        pixels[110:130, 240:260] = 137
        frame = replace(make_frames(TINY, 320, 240, 3, recipe=recipe)[0], pixels=pixels)
        view = bench.inspector.view(frame)
        assert view.placement.affine[0, 2] > 30
        assert not view.searched[0].any()
        assert measure(bench, [frame], 3).stages_ms["place"]["p50"] > 0


def test_thresholds_of_another_engine_are_refused(tmp_path):
    recipe = load_recipe(write_part(tmp_path / "cell"))
    own = open_model_folder(MODELS / "tiny_own")
    with pytest.raises(ConfigError), open_bench(own, PluginBlock(kind="onnx"), recipe):
        pass
