"""Calibrating beside a station that runs: the line keeps every part, and what is put in force is taken over."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest

from edge_inspect.cli.main import main
from edge_inspect.service.sampling import ASKED_FILE, SAMPLE_FOLDER
from tests.conftest import write_part

from .conftest import running
from .test_new_thresholds import moving, status_of  # noqa: F401 - a fixture
from .test_station_process import _wait_for, log_of


@pytest.mark.parametrize(
    "tiles", ["", "frame: {width: 64, height: 64}\ntiles: {across: 2, down: 2, overlap_px: 4}\n"], ids=["whole", "tiles"]
)
def test_fifty_parts_are_copied_from_a_running_line_that_loses_none(moving, monkeypatch, capsys, tiles):  # noqa: F811
    monkeypatch.chdir(moving)
    station = moving / "station.yaml"
    station.write_text(station.read_text() + "guard: true\n")
    if tiles:
        write_part(moving / "calibration" / "cell", extra=tiles)
    with running(moving) as process:
        assert main(["calibrate", "--live", "50", "--false-rejects", "0.1", "--apply", "--reason", "a test", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["good"] == 50
        assert "the station was running" in " ".join(found["told"])
        new = found["new"]["image_threshold"]
        _wait_for(lambda: status_of(moving)["last"]["threshold"] == new)
        _wait_for(lambda: not (moving / "data" / SAMPLE_FOLDER).exists())
        assert not (moving / "data" / ASKED_FILE).exists()
        assert "guard" not in status_of(moving)["alarms"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with closing(sqlite3.connect(moving / "data" / "inspections.sqlite")) as database:
        rows = database.execute("select sequence, verdict, threshold from inspections order by sequence").fetchall()
    assert [sequence for sequence, *_ in rows] == list(range(1, len(rows) + 1))
    assert {verdict for _, verdict, _ in rows} <= {"OK", "NG"}
    assert not [line for line in log_of(moving) if "lost" in line["reason"] or "late" in line["reason"]]
    assert rows[-1][2] == new
    assert main(["calibrate", "--transfer"]) == 0
