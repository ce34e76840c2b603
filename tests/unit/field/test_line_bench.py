"""A whole station, timed without touching the real one."""

from __future__ import annotations

import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.field.bench_frames import make_frames
from edge_inspect.field.line_bench import STAGES, measure_line
from edge_inspect.model_folder import open_model_folder
from tests.conftest import MODELS, write_part

FRAMES = make_frames(open_model_folder(MODELS / "tiny"), 128, 96, 3)


@pytest.fixture
def station_file(tmp_path):
    write_part(tmp_path / "cell")
    path = tmp_path / "station.yaml"
    path.write_text(
        "name: cell-1\nrecipe: cell/recipe.yaml\ncamera: {kind: folder, path: nowhere}\nruntime: onnx\ndeadline_ms: 60000\ntrigger: plc\n"
        "plc: {kind: modbus, port: 1502}\noutputs:\n  - {kind: jsonl, path: log}\n"
        "  - {kind: images, path: pictures, background: {queue: 8}}\n"
        "  - {kind: mqtt, path: elsewhere}\n"
    )
    return path


def test_every_part_gets_a_verdict_and_every_stage_its_time(station_file):
    line = measure_line(station_file, FRAMES, 30)
    assert (line.parts, line.missed, line.faults) == (30, 0, 0)
    assert tuple(line.stages_ms) == STAGES
    assert line.throughput_per_s > 0
    assert line.exposure_to_plc_ms["max"] >= line.stages_ms["infer"]["max"]


def test_nothing_of_the_real_station_is_touched(station_file):
    before = sorted(station_file.parent.rglob("*"))
    line = measure_line(station_file, FRAMES, 5)
    assert sorted(station_file.parent.rglob("*")) == before
    assert line.left_out == ("mqtt",)


def test_at_a_pace_parts_wait_for_their_turn_and_late_ones_are_missed(station_file):
    station_file.write_text(station_file.read_text().replace("60000", "0.001"))
    line = measure_line(station_file, FRAMES, 10, rate_per_s=500, runtime=PluginBlock(kind="reference"))
    assert line.missed == line.parts == 10
    assert line.rate_per_s == 500
