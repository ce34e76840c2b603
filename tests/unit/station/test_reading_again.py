"""SIGHUP: thresholds and recipe are read again between two parts, and systemd hears `reloading` until that is done."""

from __future__ import annotations

import json
import threading

import pytest

from edge_inspect.config import PluginBlock, load_station
from edge_inspect.inspector import open_inspector
from edge_inspect.plc.unwired import Unwired
from edge_inspect.service.live import LiveStatus
from edge_inspect.service.sequence import Sequence
from edge_inspect.service.systemd import Systemd
from edge_inspect.station import Station
from edge_inspect.station.promised import Promised
from edge_inspect.thresholds import read_thresholds, save_thresholds
from tests.conftest import write_part
from tests.unit.test_station import BAD, Kept, ScriptedCamera, ScriptedPlc, Until, frame

LOOSE = "decision: {image_score: false, regions: {min_area_px: 100000}}\n"


class Said(Systemd):
    """Keeps what systemd would hear."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def _send(self, message):
        self.heard.append(message.split("\n", 1)[0])
        return True


@pytest.fixture
def station(tmp_path, recipe_file):
    """Serve a script; `reread` is what SIGHUP sets. Gives inspections, alarms and what systemd heard."""
    reread = threading.Event()

    def run(camera, plc=None, *, jobs=""):
        file = tmp_path / "station.yaml"
        file.write_text(f"name: cell\nrecipe: {recipe_file}\ncamera: simulated\nruntime: reference\ndeadline_ms: 5000\n{jobs}")
        kept, systemd = Kept(), Said()
        status = LiveStatus(tmp_path / "status.json", station="cell", systemd=systemd)
        promised = Promised(tmp_path / "note", station="cell")
        promised.begin(wire_tells=True)
        station = Station(
            settings=load_station(file),
            camera=camera,
            inspector=open_inspector(recipe_file, PluginBlock(kind="reference"), base=tmp_path),
            plc=plc or Unwired(),
            outputs=[("kept", kept)],
            status=status,
            sequence=Sequence(tmp_path / "sequence"),
            promised=promised,
        )
        camera.status = status
        station.run(camera.stop, reread=reread)
        return kept.inspections, status.alarms, [line for line in systemd.heard if not line.startswith(("STATUS", "EXTEND"))]

    run.reread = reread
    return run


def hup(station, camera):
    """SIGHUP now; then wait until it is dealt with."""

    def send():
        station.reread.set()
        return frame(1, grey=BAD)

    return [send, Until(lambda: not station.reread.is_set() and camera.status.now == "ready")]


def serve(station, change, plc=None, **options):
    """A bad part, a change, SIGHUP, a bad part, another."""
    camera = ScriptedCamera()
    camera.script.extend([frame(0, grey=BAD), change, *hup(station, camera), frame(2, grey=BAD)])
    return station(camera, plc, **options)


def test_a_changed_recipe_serves_from_the_next_part_on_and_no_part_is_lost(station, tmp_path):
    def change():
        write_part(tmp_path / "cell", extra=LOOSE)

    inspections, alarms, heard = serve(station, change)
    assert [inspection.verdict.value for inspection in inspections] == ["NG", "NG", "OK"]
    assert [inspection.sequence for inspection in inspections] == [1, 2, 3]
    assert inspections[1].recipe_sha256 == inspections[0].recipe_sha256 != inspections[2].recipe_sha256
    assert alarms == {}
    assert heard == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_a_recipe_that_cannot_be_used_is_an_alarm_and_the_old_one_goes_on(station, tmp_path):
    inspections, alarms, heard = serve(station, lambda: (tmp_path / "cell" / "recipe.yaml").write_text("part: [cell\n") and None)
    assert [inspection.verdict.value for inspection in inspections] == ["NG", "NG", "NG"]
    assert "recipe.yaml" in alarms["recipe"]
    assert heard == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_an_alarm_of_the_recipe_is_over_when_the_old_one_is_back(station, tmp_path):
    file = tmp_path / "cell" / "recipe.yaml"
    whole = file.read_text()
    camera = ScriptedCamera()
    camera.script.extend(
        [
            lambda: file.write_text("part: [cell\n") and None,
            *hup(station, camera),
            Until(lambda: "recipe" in camera.status.alarms),
            lambda: file.write_text(whole) and None,
            *hup(station, camera),
        ]
    )
    _, alarms, _ = station(camera)
    assert alarms == {}


def test_a_part_taught_anew_is_taken_over_with_its_recipe_and_thresholds(station, tmp_path):
    def teach():
        write_part(tmp_path / "cell", extra="region_of_interest: {left: 0, top: 0, width: 32, height: 32}\n", image_threshold=200)

    inspections, alarms, _ = serve(station, teach)
    assert [inspection.threshold for inspection in inspections] == [20, 20, 200]
    assert alarms == {}


def test_thresholds_alone_open_no_engine(station, tmp_path, monkeypatch):
    monkeypatch.setattr("edge_inspect.station.recipes.open_inspector", lambda *_, **__: pytest.fail("an engine was opened"))

    def change():
        path = tmp_path / "cell" / "thresholds.json"
        save_thresholds(path, read_thresholds(path).model_copy(update={"image_threshold": 100.0}))

    inspections, alarms, heard = serve(station, change)
    assert inspections[-1].threshold == 100
    assert alarms == {}
    assert heard.count("READY=1") == 2


def test_while_a_job_is_being_opened_the_files_wait(station, tmp_path):
    other = write_part(tmp_path / "other", image_threshold=100)
    plc = ScriptedPlc()
    from tests.unit.test_station import job

    plc.script.append(job(1))

    def change():
        station.reread.set()

    inspections, alarms, _ = serve(station, change, plc, jobs=f"jobs: {{1: {other}}}\n")
    assert inspections[-1].recipe == "other"
    assert alarms == {}
    assert json.loads((tmp_path / "status.json").read_text())["recipe"] == "other"
