"""SIGTERM in every state: the station ends by itself, with 0, and what it had accepted is recorded, now or by the next start.

What hangs is left 1.5 s after the signal, by the clock (`service/ending.py`); here a log line says that it was, and no stopwatch.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import FakePlc, Misbehaviour
from edge_inspect.service.live import STATUS_FILE

from .conftest import running
from .test_station_process import _wait_for, port_of

STOP_S = 2.0
PATIENCE = float(os.environ.get("EDGE_INSPECT_PATIENCE", "5"))
"""A machine that others load is given so many times two seconds; docs/results/service.md holds the figure itself."""

ACME = Path(__file__).parents[1] / "acme_engines"
LEFT = "1.5 s after the signal: the process ends beside what is still open: "


def end(process):
    """SIGTERM; how long it took [s]."""
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_S * PATIENCE) == 0, process.stderr.read()[-2000:]
    took_s = time.monotonic() - started
    if told := os.environ.get("EDGE_INSPECT_TELL_STOPS"):  # `tools/soak --stops` makes docs/results/soak.md of it
        state = os.environ["PYTEST_CURRENT_TEST"].split("::")[1].split(" ")[0].removeprefix("test_").replace("_", " ")
        with Path(told).open("a") as file:
            file.write(json.dumps({"state": state, "stop_s": round(took_s, 3)}) + "\n")
    return took_s


def camera(cell, text):
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("camera: {kind: folder, path: parts, pace: trigger}", f"camera: {text}"))


def rows(cell):
    with closing(sqlite3.connect(cell / "data" / "inspections.sqlite")) as database:
        return database.execute("select acquisition, verdict from inspections order by sequence").fetchall()


def logged(cell):
    return [json.loads(line) for line in (cell / "data/log/inspections.jsonl").read_text().splitlines()]


def counted_in_background(plc, parts=1):
    """Parts of a PLC that the station may leave at any instant."""

    def drive():
        for _ in range(parts):
            try:
                plc.inspect_one()
            except PlcError:
                return

    thread = threading.Thread(target=drive)
    thread.start()
    return thread


@pytest.fixture
def acme(monkeypatch):
    """An engine and a record that hang when they are told to, installed for the station's process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ACME), *filter(None, [os.environ.get("PYTHONPATH")])]))


def test_idle(cell):
    with running(cell) as process:
        end(process)


def test_under_load_what_was_read_is_recorded(cell):
    camera(cell, "{kind: simulated, width: 64, height: 64}")
    with running(cell) as process, FakePlc(port=port_of(cell), answer_timeout_s=1) as plc:
        thread = counted_in_background(plc, 10_000)
        _wait_for(lambda: len(plc.answers) > 20)
        end(process)
        thread.join(30)
    with running(cell) as process:  # a trigger that came while the station was closing is a FAULT that stands in the crash note until now
        end(process)
    read = [(answer.acquisition, answer.verdict.value) for answer in plc.answers]
    assert set(read) <= set(rows(cell))
    assert [(line["acquisition"], line["verdict"]) for line in logged(cell)] == rows(cell)


def test_while_the_camera_is_away_and_a_part_waits_for_it(cell):
    camera(cell, "{kind: simulated, width: 64, height: 64, late: 1.0, late_ms: 60000}")
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("deadline_ms: 2000", "deadline_ms: 60000"))
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        plc.inspect_one()  # a simulated camera is never late with its first frame
        thread = counted_in_background(plc)
        _wait_for(lambda: plc._asked_at)
        end(process)
        thread.join(30)
    assert rows(cell)[1:] == [(2, "FAULT")]


def test_while_an_isolated_cameras_driver_hangs(cell):
    camera(cell, "{kind: simulated, width: 64, height: 64, isolated: {hang_ms: 60000}}")
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("deadline_ms: 2000", "deadline_ms: 60000"))
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        plc.inspect_one()
        for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGSTOP)
        thread = counted_in_background(plc)
        _wait_for(lambda: plc._asked_at)
        end(process)
        thread.join(30)
    assert [verdict for _, verdict in rows(cell)][1:] == ["FAULT"]


def test_while_the_plc_is_silent_and_results_wait(cell):
    with running(cell) as process, FakePlc(port=port_of(cell), misbehave=frozenset({Misbehaviour.NO_ACK})) as plc:
        plc.inspect_one()
        end(process)
    assert len(rows(cell)) == 1


def test_while_the_plc_was_never_there(cell):
    station = cell / "station.yaml"
    station.write_text(
        station.read_text().replace(f"{{kind: modbus, port: {port_of(cell)}}}", "{kind: modbus-client, host: 127.0.0.1, port: 9}")
    )
    with running(cell) as process:
        end(process)


def test_while_a_job_change_is_under_way(cell):
    station = cell / "station.yaml"
    station.write_text(station.read_text() + "jobs: {1: calibration/cell/recipe.yaml}\n")
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        plc.inspect_one()
        plc.ask_for_job(1)
        end(process)
    assert len(rows(cell)) == 1


def test_while_thresholds_are_read_again(cell):
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        plc.inspect_one()
        process.send_signal(signal.SIGHUP)
        end(process)
    assert len(rows(cell)) == 1


def test_on_a_full_disk_what_no_record_holds_is_recorded_by_the_next_start(cell, small_disk, monkeypatch):
    (cell / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(cell / "run"))
    station = cell / "station.yaml"
    station.write_text(
        "\n".join(line for line in station.read_text().splitlines() if "images" not in line).replace("data/", f"{small_disk}/")
        + f"\ndata: {small_disk}\n"
    )
    (cell / "data").symlink_to(small_disk)
    filler = small_disk / "filler"
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        read = [plc.inspect_one().sequence]
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        read += [plc.inspect_one().sequence for _ in range(5)]
        end(process)
        said = process.stderr.read()
    assert "the next start records them from the crash note" in said
    filler.unlink()
    (small_disk / "status.json").unlink()  # of the last moment before the disk was full: it says ready
    with running(cell) as process:
        end(process)
    assert len(rows(cell)) == 6
    assert [line["sequence"] for line in logged(cell)] == read


def test_while_an_engine_hangs_its_part_is_recorded_by_the_next_start(cell, acme):
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("runtime: onnx", "runtime: {kind: acme, told: hangs}"))
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        plc.inspect_one()
        (cell / "hangs").touch()
        assert plc.inspect_one().verdict.value == "FAULT"  # by the wire, at the deadline: the engine is still at it
        end(process)
        said = process.stderr.read()
    assert LEFT in said
    assert "acme_engines.py" in said
    assert len(rows(cell)) == 1
    (cell / "hangs").unlink()
    (cell / "data" / STATUS_FILE).unlink()  # it says ready still
    with running(cell) as process:
        end(process)
        assert LEFT not in process.stderr.read()
    assert rows(cell)[1:] == [(2, "FAULT")]


@pytest.mark.parametrize("background", [False, True])
def test_while_a_record_hangs_no_part_is_lost_but_what_a_background_was_to_write(cell, acme, background):
    station = cell / "station.yaml"
    behind = "background: {queue: 8}, " if background else ""
    station.write_text(station.read_text().replace("{kind: database, path: ", "{kind: acme_record, told: hangs, " + behind + "path: "))
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        read = [plc.inspect_one()]
        _wait_for(lambda: rows(cell))
        (cell / "hangs").touch()
        read += [plc.inspect_one()]
        end(process)
        said = process.stderr.read()
    assert len(rows(cell)) == 1
    assert LEFT in said or (background and "the process ends beside what still hangs: " in said)
    (cell / "hangs").unlink()
    (cell / "data" / STATUS_FILE).unlink()  # it says ready still
    with running(cell) as process:
        end(process)
    told = [(answer.acquisition, answer.verdict.value) for answer in read]
    assert rows(cell) == (told[:1] if background else told)
    assert ("acme_record: stopped; 1 inspections were not written" in said) == background
    assert [(line["acquisition"], line["verdict"]) for line in logged(cell)] == told
