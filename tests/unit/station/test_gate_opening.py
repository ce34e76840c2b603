"""A station with a gate as it is opened: with a wire that cannot tell, without any wire, and with a camera that loses parts."""

from __future__ import annotations

import json
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from edge_inspect.config import load_station
from edge_inspect.errors import ConfigError
from edge_inspect.plc.several import SeveralWires
from edge_inspect.plc.unwired import Unwired
from edge_inspect.station import opening
from edge_inspect.station.opening import open_station
from tests.conftest import write_part

PATIENCE_S = 60.0
STATION = """name: drill
recipe: {recipe}
runtime: onnx
deadline_ms: 5000
camera: {{kind: simulated, width: 64, height: 64, fps: 20, seed: 5, lost: {lost}}}
gate: {{distance: 300, pulse: 30, pitch: 25, lead: 10}}
"""


def station_file(folder: Path, *, lost: float) -> Path:
    recipe = write_part(folder / "cell", image_threshold=1e6, pixel_threshold=1e6)
    (folder / "station.yaml").write_text(STATION.format(recipe=recipe, lost=lost))
    return folder / "station.yaml"


def gate_after(file: Path, enough: str) -> dict[str, int]:
    """Run until the gate has counted this at least once; its counts."""
    stop = threading.Event()
    status = file.parent / "data" / "status.json"
    with open_station(file) as station:
        thread = threading.Thread(target=station.run, args=(stop,))
        thread.start()
        until = time.monotonic() + PATIENCE_S
        counts: dict[str, int] = {}
        while counts.get(enough, 0) < 3 and time.monotonic() < until:
            time.sleep(0.1)
            counts = json.loads(status.read_text()).get("gate", {}) if status.exists() else {}
        stop.set()
        thread.join()
    return counts


def test_a_station_without_a_plc_follows_what_its_camera_sees(tmp_path: Path):
    assert gate_after(station_file(tmp_path, lost=0.0), "passed")["passed"] >= 3


def test_an_exposure_that_the_camera_lost_clears_the_belt(tmp_path: Path):
    assert gate_after(station_file(tmp_path, lost=0.3), "cleared")["cleared"] >= 3
    record = (tmp_path / "data" / "gate.jsonl").read_text()
    assert "a part passed the camera at an unknown time" in record


def test_a_wire_that_cannot_say_when_a_part_is_triggered_is_refused(tmp_path: Path):
    file = station_file(tmp_path, lost=0.0)
    file.write_text(file.read_text() + "plc: {kind: modbus, port: 1502}\n")
    settings = load_station(file)
    with (
        pytest.raises(ConfigError, match="the wire 'modbus' does not say when a part is triggered"),
        opening._opened_gate(settings, SeveralWires(Unwired())),
    ):
        pass


def test_a_station_without_a_gate_opens_none(tmp_path: Path):
    settings = load_station(station_file(tmp_path, lost=0.0)).model_copy(update={"gate": None})
    with opening._opened_gate(settings, SeveralWires(Unwired())) as gate, nullcontext():
        assert gate is None
