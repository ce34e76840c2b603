"""The live status file, as its readers see it."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from edge_inspect.config import Recipe
from edge_inspect.datatypes import Inspection, Latency, Verdict
from edge_inspect.errors import EdgeInspectError, OutputError
from edge_inspect.service.alone import hold_alone
from edge_inspect.service.live import LiveStatus, open_status, read_status


def inspection(sequence, verdict=Verdict.OK, infer_ms=10):
    return Inspection(
        sequence=sequence,
        acquisition=0,
        part_id=f"p{sequence}",
        taken_at=datetime.now(timezone.utc),
        verdict=verdict,
        reason="because",
        score=1.0 if verdict is not Verdict.FAULT else None,
        threshold=2.0,
        regions=(),
        recipe="cell",
        engine_sha256="e" * 64,
        calibration_id="c",
        latency=Latency(infer=infer_ms * 1_000_000),
    )


def test_it_counts_and_shows_the_last_part_and_the_percentiles(tmp_path):
    status = open_status(tmp_path / "data", station="cell-3")
    status.serving(Recipe(part="cell", engine="x"), engine_sha256="e" * 64, calibration_id="c")
    for sequence in range(1, 101):
        status.note(inspection(sequence, infer_ms=sequence))
    status.note(inspection(101, Verdict.FAULT))
    status.state("ready")
    seen = read_status(tmp_path / "data" / "status.json")
    assert seen["counts"] == {"OK": 100, "NG": 0, "FAULT": 1}
    assert seen["last"]["sequence"] == 101
    assert seen["latency_ms"]["infer"]["p50"] == pytest.approx(50.5)
    assert seen["latency_ms"]["infer"]["max"] == pytest.approx(100)
    assert seen["recipe"] == "cell"
    assert seen["state"] == "ready"
    assert status.counts == seen["counts"]


def test_an_alarm_keeps_since_when_it_stands_and_goes_when_cleared(tmp_path):
    status = open_status(tmp_path, station="cell-3")
    assert status.alarm("camera", "away") is True
    since = status._alarms["camera"]["since"]
    assert status.alarm("camera", "away") is False
    assert status.alarm("camera", "still away") is True
    assert status._alarms["camera"]["since"] == since
    assert status.alarms == {"camera": "still away"}
    assert status.alarm("camera", "") is True
    assert status.alarms == {}


def test_it_is_written_at_most_twice_a_second(tmp_path):
    status = open_status(tmp_path, station="cell-3")
    status.state("ready")
    before = (tmp_path / "status.json").read_text()
    status.note(inspection(1))
    status.beat()
    assert (tmp_path / "status.json").read_text() == before
    status._written_s -= 1
    status.beat()
    assert json.loads((tmp_path / "status.json").read_text())["counts"]["OK"] == 1


def test_a_status_nobody_writes_any_more_says_so(tmp_path):
    status = open_status(tmp_path, station="cell-3")
    status.state("ready")
    path = tmp_path / "status.json"
    old = json.loads(path.read_text()) | {"updated_at": (datetime.now(timezone.utc) - timedelta(minutes=2)).isoformat()}
    path.write_text(json.dumps(old))
    assert read_status(path)["state"] == "not running"
    path.write_text(json.dumps(old | {"state": "stopped"}))
    assert read_status(path)["state"] == "stopped"


@pytest.mark.parametrize("content", [None, "", "[1]", "{}"])
def test_what_is_no_status_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    with pytest.raises(EdgeInspectError, match=r"status\.json"):
        read_status(tmp_path / "status.json")


def test_a_status_file_that_cannot_be_written_is_an_alarm_until_it_can(tmp_path):
    status = LiveStatus(tmp_path / "gone" / "status.json", station="cell-3")
    status.state("ready")
    assert "cannot be written" in status.alarms["status file"]
    (tmp_path / "gone").mkdir()
    status.state("ready")
    assert status.alarms == {}


def test_a_data_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        open_status(tmp_path / "file" / "data", station="cell-3")


def test_two_stations_cannot_use_one_data_folder(tmp_path):
    with hold_alone(tmp_path), pytest.raises(OutputError, match="another running station"), hold_alone(tmp_path):
        pass
    with hold_alone(tmp_path):
        pass


def test_a_lock_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"), hold_alone(tmp_path / "gone"):
        pass
