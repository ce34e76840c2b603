"""Every record names what decided, also that of a part of which only the crash note knew: software, engine, thresholds, recipe."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge_inspect import __version__
from edge_inspect.datatypes import Verdict
from edge_inspect.outputs.records import record_from_inspection
from edge_inspect.station.promised import Identity, Promised
from edge_inspect.thresholds import read_thresholds, save_thresholds
from tests.conftest import write_part
from tests.unit.test_station import BAD, ScriptedCamera, ScriptedPlc, frame, job

from .test_promised import note as note  # noqa: PLC0414 - a fixture
from .test_promised import part, recovered_inspections
from .test_reading_again import serve
from .test_reading_again import station as station  # noqa: PLC0414 - a fixture


def identity(name):
    hashes = {"engine_sha256": f"{name}-engine", "calibration_id": f"{name}-thresholds", "recipe_sha256": f"{name}-hash"}
    return Identity(recipe=name, software="0.9", **hashes)


def of(inspection):
    """What its record says decided."""
    record = record_from_inspection(inspection, station="a")
    return Identity(**{key: record[key] for key in ("recipe", "engine_sha256", "calibration_id", "recipe_sha256", "software")})


def test_a_part_that_only_the_wire_knew_of_is_recorded_with_what_was_in_force_then(tmp_path, note):
    note.told(1, Verdict.FAULT, "a trigger came while Trigger Ready was off")
    note.decides(identity("lid"))
    note.told(2, None, "")
    note.told(3, Verdict.FAULT, "a trigger came while Trigger Ready was off")
    note.decides(identity("base"))
    note.told(4, None, "")
    found = {inspection.acquisition: of(inspection) for inspection in recovered_inspections(tmp_path)}
    assert found == {1: Identity(software=__version__), 2: identity("lid"), 3: identity("lid"), 4: identity("base")}
    again = {inspection.acquisition: of(inspection) for inspection in recovered_inspections(tmp_path)}
    assert again == found  # killed in the middle of it


def test_what_is_in_force_outlasts_the_notes_emptying_and_another_start(tmp_path, note):
    note.decides(identity("lid"))
    for sequence in (1, 2):
        note.expect(part(sequence, sequence))
        note.recorded(part(sequence, sequence))
    note.told(3, None, "")
    assert [of(inspection) for inspection in recovered_inspections(tmp_path)] == [identity("lid")]
    again = Promised(tmp_path / "note", station="cell-3")
    again.begin(wire_tells=True, owed=True)
    again.decides(identity("base"))
    again.told(5, None, "")
    again.close()
    assert [of(inspection) for inspection in recovered_inspections(tmp_path)] == [identity("lid"), identity("base")]


def test_a_recovered_part_keeps_the_version_that_had_decided(tmp_path, note):
    note.expect(replace(part(), software="0.8"))
    note.told(1, Verdict.NG, "none")
    assert [of(inspection).software for inspection in recovered_inspections(tmp_path)] == ["0.8"]


def new_thresholds(folder):
    path = folder / "thresholds.json"
    save_thresholds(path, read_thresholds(path).model_copy(update={"image_threshold": 100.0}))


def new_recipe(folder):
    write_part(folder, extra="region_of_interest: {left: 0, top: 0, width: 32, height: 32}\n", image_threshold=200)


def in_force(path):
    """What the last line of a note that says it says."""
    heads = [line["decides"] for line in map(json.loads, path.read_text().splitlines()) if "decides" in line]
    return Identity(**heads[-1])


@pytest.mark.parametrize("change", [new_thresholds, new_recipe])
def test_the_note_follows_what_serves(station, tmp_path, change):
    inspections, _, _ = serve(station, lambda: change(tmp_path / "cell"))
    assert of(inspections[0]) != of(inspections[-1]) == in_force(tmp_path / "note")


def test_the_note_names_the_next_job_before_ready_rises_for_it(station, tmp_path):
    other = write_part(tmp_path / "other", image_threshold=100)
    noted = []

    class Watched(ScriptedPlc):
        def ready(self, is_ready, reason=""):
            super().ready(is_ready, reason)
            if is_ready:
                noted.append(in_force(tmp_path / "note"))

    plc = Watched(job(1))
    camera = ScriptedCamera(frame(1, grey=BAD), plc.answered(2), frame(2, grey=BAD))
    inspections, _, _ = station(camera, plc, jobs=f"jobs: {{1: {other}}}\n")
    assert [each.recipe for each in noted] == ["cell", "other"]
    assert noted == [of(inspection) for inspection in inspections]
