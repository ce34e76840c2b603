"""The application as it is started on the line: a process, a PLC on its wire, a signal to stop."""

from __future__ import annotations

import inspect
import json
import signal
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from edge_inspect.cli.main import main
from edge_inspect.field.fake_plc import FakePlc
from edge_inspect.service.live import read_status

from .conftest import picture, running


def port_of(cell):
    return int((cell / "port").read_text())


def log_of(cell):
    return [json.loads(line) for line in (cell / "data" / "log" / "inspections.jsonl").read_text().splitlines()]


def _wait_for(is_so):
    """The status file follows within half a second; give it thirty."""
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until, f"{inspect.getsource(is_so).strip()}: not so within thirty seconds"
        time.sleep(0.01)


def test_parts_triggered_over_modbus_stand_in_log_database_and_pictures(cell, capsys, monkeypatch):
    monkeypatch.chdir(cell)
    with running(cell) as process:
        with FakePlc(port=port_of(cell)) as plc:
            answers = [plc.inspect_one() for _ in range(6)]
        assert [answer.verdict.value for answer in answers] == ["OK", "OK", "NG", "OK", "OK", "NG"]
        assert answers[2].score == pytest.approx(122)
        assert answers[2].box == (16, 8, 24, 16)
        _wait_for(lambda: read_status(cell / "data" / "status.json")["counts"]["NG"] == 2)
        assert main(["status"]) == 0
        said = capsys.readouterr().out
        assert "6: 4 OK, 2 NG, 0 FAULT" in said
        assert "no alarms" in said
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert [(line["acquisition"], line["verdict"]) for line in log_of(cell)] == [
        (answer.acquisition, answer.verdict.value) for answer in answers
    ]
    assert [line["part_id"] for line in log_of(cell)] == [f"{number}.png" for number in range(6)]
    with closing(sqlite3.connect(cell / "data" / "inspections.sqlite")) as database:
        assert database.execute("select sequence, verdict from inspections order by sequence").fetchall() == [
            (line["sequence"], line["verdict"]) for line in log_of(cell)
        ]
    assert len(list((cell / "data" / "pictures").rglob("*_raw.png"))) == 6
    assert main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["state"] == "stopped"


def test_a_stored_frame_gets_the_same_verdict_again_and_a_changed_threshold_is_told(cell, capsys, monkeypatch):
    monkeypatch.chdir(cell)
    with running(cell) as process:
        with FakePlc(port=port_of(cell)) as plc:
            for _ in range(3):
                plc.inspect_one()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert main(["replay", "3"]) == 0
    assert "the same" in capsys.readouterr().out
    thresholds = cell / "calibration" / "cell" / "thresholds.json"
    thresholds.write_text(json.dumps(json.loads(thresholds.read_text()) | {"image_threshold": 200.0, "pixel_threshold": 200.0}))
    assert main(["replay", "3", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["same"], found["then"]["verdict"], found["now"]["verdict"]) == (False, "NG", "OK")
    assert found["changed"][0].startswith("calibration_id was")
    assert main(["replay", "3"]) == 1
    assert "NOT the same" in capsys.readouterr().out
    assert main(["replay", "999"]) == 1
    assert "holds no inspection 999" in capsys.readouterr().err


def test_sigterm_delivers_the_part_that_is_in_flight(cell):
    station = cell / "station.yaml"
    slow = "camera: {kind: simulated, width: 64, height: 64, late: 1.0, late_ms: 500}"
    station.write_text(station.read_text().replace("camera: {kind: folder, path: parts, pace: trigger}", slow))
    answers = []
    with running(cell) as process:
        with FakePlc(port=port_of(cell)) as plc:
            thread = threading.Thread(target=lambda: answers.append(plc._try_one()))
            thread.start()
            _wait_for(lambda: plc._asked_at)
            process.send_signal(signal.SIGTERM)
            code = process.wait(10)
            thread.join(10)
        assert code == 0
    [line] = log_of(cell)
    assert line["verdict"] in {"OK", "NG"}
    assert line["acquisition"] == 1


def test_a_damaged_picture_costs_its_own_part_only(cell):
    whole = (cell / "parts" / "1.png").read_bytes()
    (cell / "parts" / "1.png").write_bytes(whole[: len(whole) // 2])
    (cell / "parts" / "3.png").write_bytes(b"")
    picture(cell / "parts" / "4.png", grey=129)
    with running(cell), FakePlc(port=port_of(cell)) as plc:
        verdicts = [plc.inspect_one().verdict.value for _ in range(6)]
    assert verdicts == ["OK", "FAULT", "NG", "FAULT", "OK", "NG"]
    assert "1.png" in log_of(cell)[1]["reason"]


@pytest.mark.parametrize("count_file", ["kept", "deleted"])
def test_after_a_kill_the_count_goes_on_and_no_record_is_lost(cell, count_file):
    sequences = []
    for _ in range(2):
        with running(cell) as process:
            with FakePlc(port=port_of(cell)) as plc:
                sequences += [plc.inspect_one().sequence for _ in range(3)]
            process.kill()
            process.wait(10)
        (cell / "data" / "status.json").unlink()
        if count_file == "deleted":
            (cell / "data" / "sequence").unlink()
    assert sequences == sorted(set(sequences))
    assert [line["sequence"] for line in log_of(cell)] == sequences


def test_a_second_station_on_the_same_folder_is_refused(cell, capfd):
    with running(cell), running(cell, wait=False) as second:
        assert second.wait(20) == 1
        assert "another running station" in second.stderr.read()
