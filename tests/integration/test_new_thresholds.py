"""New thresholds for a station that runs: no part is lost, none is held against a mixture, and a wrong file changes nothing."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

import pytest

from edge_inspect.audit import last_entries
from edge_inspect.cli.main import main
from edge_inspect.config import load_recipe
from edge_inspect.field.accepting import accept_engines
from edge_inspect.field.fake_plc import FakePlc
from edge_inspect.service.live import read_status
from edge_inspect.thresholds import read_thresholds
from edge_inspect.thresholds.history import Change, put_in_force

from .conftest import running
from .test_station_process import _wait_for, log_of, port_of

CHANGE = Change(action="calibrated", by="a test", reason="a test")


def wait_for(is_so):
    _wait_for(is_so)
    assert is_so()


def thresholds_file(folder):
    return folder / "calibration" / "cell" / "thresholds.json"


def status_of(folder):
    return read_status(folder / "data" / "status.json")


def serves(folder, thresholds):
    return lambda: status_of(folder)["calibration_id"] == thresholds.calibration_id


@pytest.fixture
def moving(cell):
    """The station with a simulated camera that exposes a hundred parts a second by itself."""
    station = cell / "station.yaml"
    text = station.read_text()
    text = text.replace("camera: {kind: folder, path: parts, pace: trigger}", "camera: {kind: simulated, width: 64, height: 64, fps: 100}")
    text = text.replace("trigger: plc\n", "trigger: camera\n")
    station.write_text("\n".join(line for line in text.splitlines() if not line.startswith("plc:") and "images" not in line) + "\n")
    return cell


def test_a_line_that_runs_takes_over_six_times_and_loses_no_part(moving):
    path = thresholds_file(moving)
    made = [read_thresholds(path).model_copy(update={"image_threshold": 20.0 + n, "pixel_threshold": 10.0 + n}) for n in range(1, 7)]
    with running(moving) as process:
        for thresholds in made:
            put_in_force(path, thresholds, CHANGE)
            wait_for(serves(moving, thresholds))
        wait_for(lambda: status_of(moving)["last"]["threshold"] == made[-1].image_threshold)  # the last ones need a part, too
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    with closing(sqlite3.connect(moving / "data" / "inspections.sqlite")) as database:
        rows = database.execute("select sequence, verdict, calibration_id, threshold from inspections order by sequence").fetchall()
    assert [sequence for sequence, *_ in rows] == list(range(1, len(rows) + 1))
    assert {verdict for _, verdict, *_ in rows} <= {"OK", "NG"}
    assert not [line for line in log_of(moving) if "lost" in line["reason"]]
    seen = list(dict.fromkeys((calibration, threshold) for _, _, calibration, threshold in rows))
    assert [pair for pair in seen if pair[0] in {one.calibration_id for one in made}] == [
        (one.calibration_id, one.image_threshold) for one in made
    ]
    taken = [entry for entry in last_entries(moving / "data" / "audit", 1000) if entry.deed == "thresholds"]
    assert [(entry.outcome, entry.subject) for entry in taken] == [("done", f"cell: {one.calibration_id}") for one in made]
    assert {entry.user for entry in taken} == {CHANGE.by}
    assert f"before {made[0].calibration_id}" in taken[1].reason


def test_thresholds_of_another_recipe_are_an_alarm_and_the_old_ones_stay(cell):
    path = thresholds_file(cell)
    old = read_thresholds(path)
    with running(cell), FakePlc(port=port_of(cell)) as plc:
        put_in_force(path, old.model_copy(update={"recipe_sha256": "b" * 64, "image_threshold": 500.0}), CHANGE)
        wait_for(lambda: "thresholds" in status_of(cell)["alarms"])
        said = status_of(cell)["alarms"]["thresholds"]["text"]
        assert "made for recipe bbbbbbbbbbbb, but" in said
        assert f"the old thresholds ({old.calibration_id}) stay in force" in said
        assert [plc.inspect_one().verdict.value for _ in range(3)] == ["OK", "OK", "NG"]
        put_in_force(path, old.model_copy(update={"image_threshold": 500.0, "pixel_threshold": 500.0}), CHANGE)
        wait_for(lambda: not status_of(cell)["alarms"])
        assert [plc.inspect_one().verdict.value for _ in range(3)] == ["OK", "OK", "OK"]
    assert {line["calibration_id"] for line in log_of(cell)[:3]} == {old.calibration_id}


def test_the_alarms_of_thresholds_of_another_engine_end_with_the_rollback_and_need_no_second_sighup(cell, monkeypatch):
    monkeypatch.chdir(cell)
    path = thresholds_file(cell)
    old = read_thresholds(path)
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        put_in_force(path, old.model_copy(update={"engine_sha256": "b" * 64}), CHANGE)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: {"thresholds", "recipe"} <= status_of(cell)["alarms"].keys())
        assert "made for engine bbbbbbbbbbbb, but" in status_of(cell)["alarms"]["recipe"]["text"]
        assert main(["calibrate", "--rollback", "1", "--reason", "of another engine"]) == 0
        wait_for(lambda: not status_of(cell)["alarms"])
        assert status_of(cell)["calibration_id"] == old.calibration_id
        assert [plc.inspect_one().verdict.value for _ in range(3)] == ["OK", "OK", "NG"]


def test_the_alarm_of_a_refused_recipe_stays_while_its_file_is_wrong_and_ends_when_it_is_mended(cell):
    file = cell / "calibration" / "cell" / "recipe.yaml"
    good, before = file.read_text(), read_thresholds(thresholds_file(cell)).calibration_id
    with running(cell) as process:
        file.write_text(good + "masks: {border_px: 2}\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "recipe" in status_of(cell)["alarms"])
        put_in_force(thresholds_file(cell), read_thresholds(thresholds_file(cell)).model_copy(update={"image_threshold": 30.0}), CHANGE)
        wait_for(lambda: status_of(cell)["calibration_id"] != before)
        assert "recipe" in status_of(cell)["alarms"]
        file.write_text(good)
        wait_for(lambda: not status_of(cell)["alarms"])


@pytest.mark.parametrize("content", [b"", b"{", None])
def test_a_damaged_or_missing_file_is_an_alarm_and_the_old_thresholds_stay(cell, content):
    path = thresholds_file(cell)
    whole = path.read_bytes()
    with running(cell), FakePlc(port=port_of(cell)) as plc:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        wait_for(lambda: "thresholds" in status_of(cell)["alarms"])
        assert [plc.inspect_one().verdict.value for _ in range(3)] == ["OK", "OK", "NG"]
        path.write_bytes(whole)
        wait_for(lambda: not status_of(cell)["alarms"])
        assert not status_of(cell)["alarms"]


def test_sighup_has_the_station_look_and_does_not_end_it(cell):
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            assert plc.inspect_one().verdict.value in {"OK", "NG"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_station_that_demands_acceptance_takes_over_only_what_was_accepted_with_its_engine(cell, monkeypatch):
    monkeypatch.chdir(cell)
    recipe = load_recipe(cell / "calibration" / "cell" / "recipe.yaml")
    station = cell / "station.yaml"
    station.write_text(station.read_text() + "acceptance: required\n")
    accept_engines(recipe, ["fp32"], kind="onnx", options={}, base=cell)
    path = thresholds_file(cell)
    with running(cell):
        put_in_force(path, read_thresholds(path).model_copy(update={"image_threshold": 30.0}), CHANGE)
        wait_for(lambda: "thresholds" in status_of(cell)["alarms"])
        assert "the engine was accepted for something else" in status_of(cell)["alarms"]["thresholds"]["text"]
        assert main(["calibrate", "--rollback", "1", "--reason", "not accepted"]) == 0
        wait_for(lambda: not status_of(cell)["alarms"])
        assert status_of(cell)["state"] == "ready"


def test_a_change_that_cannot_be_written_down_is_in_force_and_an_alarm(cell):
    path = thresholds_file(cell)
    (cell / "data").mkdir()
    (cell / "data" / "audit").write_text("a file where the record's folder should be")
    new = read_thresholds(path).model_copy(update={"image_threshold": 30.0})
    with running(cell):
        put_in_force(path, new, CHANGE)
        wait_for(lambda: status_of(cell)["calibration_id"] == new.calibration_id)
        said = status_of(cell)["alarms"]["audit record"]["text"]
        assert "control actions cannot be recorded: File exists; a file stands where a folder is wanted" in said
        (cell / "data" / "audit").unlink()
        wait_for(lambda: not status_of(cell)["alarms"])
    assert [entry.deed for entry in last_entries(cell / "data" / "audit", 9)] == ["station", "serving", "thresholds"]
