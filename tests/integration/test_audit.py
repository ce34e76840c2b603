"""The audit record of a real station: what stands in it after a shift, after kill -9, on a full disk, and after somebody has edited it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from edge_inspect.audit import last_entries, verify
from edge_inspect.cli.main import main
from edge_inspect.field.fake_plc import FakePlc
from edge_inspect.login import who
from edge_inspect.service.live import STATUS_FILE
from tests.integration.conftest import running

WITHIN_S = 60.0


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.02)


def port_of(cell):
    return int((cell / "port").read_text())


def a_shift(cell) -> None:
    """Started, a job changed, a job refused, parts inspected, told to read its thresholds again, stopped."""
    station = cell / "station.yaml"
    station.write_text(station.read_text() + "jobs: {1: calibration/cell/recipe.yaml}\n")
    with running(cell) as process:
        with FakePlc(port=port_of(cell), answer_timeout_s=WITHIN_S) as plc:
            assert plc.inspect_one()
            assert plc.change_job(1)
            assert not plc.change_job(7)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "reload" in (entry.deed for entry in last_entries(cell / "data" / "audit", 100)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0


def test_a_shift_stands_in_it_with_who_and_what_and_both_verbs_show_it(cell, monkeypatch, capsys):
    a_shift(cell)
    entries = last_entries(cell / "data" / "audit", 100)
    serving = [entry for entry in entries if entry.deed == "serving"]  # by the loop, the rest of a job change by the wire
    assert [(entry.outcome, entry.subject) for entry in serving] == [("done", "job 1: cell")] * 2
    assert [(entry.deed, entry.outcome, entry.subject) for entry in entries if entry not in serving] == [
        ("station", "wanted", "start"),
        ("trigger enable", "done", "on"),
        ("results buffer", "done", "on"),
        ("job change", "wanted", "job 1"),
        ("job change", "done", "job 1"),
        ("job change", "wanted", "job 7"),
        ("job change", "refused", "job 7"),
        ("reload", "wanted", "thresholds"),
        ("station", "done", "stop"),
    ]
    assert entries[0].user == who()
    assert {(entry.wire, entry.peer) for entry in entries if entry.wire} == {("modbus", "127.0.0.1")}
    assert [entry.reason for entry in entries if entry.outcome == "refused"] == [
        "job 7 is not in the station file, which has 1; add it to `jobs`"
    ]
    assert serving[0].reason.startswith("recipe sha256 ")
    assert "engine " in serving[0].reason
    assert "calibration " in serving[0].reason

    monkeypatch.chdir(cell)
    main(["status", "--audit", "3", "--json"])
    status = json.loads(capsys.readouterr().out)
    assert [action["deed"] for action in status["actions"]] == ["job change", "reload", "station"]
    assert status["audit"]["entries"] >= 10
    main(["status", "--audit", "3"])
    assert "modbus 127.0.0.1: job change job 7: refused: job 7 is not in the station file" in capsys.readouterr().out
    assert main(["verify", "--station", "station.yaml"]) == 0
    assert "11 entries, the last is #11 with hash" in capsys.readouterr().out


@pytest.mark.parametrize("crime", ["edited", "cut", "history"])
def test_verify_says_what_is_not_as_it_was_written(cell, monkeypatch, capsys, crime):
    a_shift(cell)
    monkeypatch.chdir(cell)
    path = cell / "data" / "audit" / "audit-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if crime == "edited":
        path.write_bytes(b"".join(lines).replace(b'"subject":"job 7"', b'"subject":"job 2"'))
    elif crime == "cut":
        path.write_bytes(b"".join(lines[:5]))
    else:
        history = cell / "calibration" / "cell" / "thresholds-history.jsonl"
        history.write_text("no entry\n")
    assert main(["verify", "--station", "station.yaml", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    told = {
        "edited": "its hash is not that of its text",
        "cut": "was written and is not there",
        "history": "the history is not as it was written",
    }
    assert told[crime] in found["problems"][0]


def test_verify_tells_all_that_it_cannot_read(cell, monkeypatch, capsys):
    monkeypatch.chdir(cell)
    engine = next(path for path in (cell / "calibration").rglob("recipe.yaml"))
    engine.unlink()
    assert main(["verify", "--station", "station.yaml"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.startswith("NOT SOUND ") for line in said] == [True, True]
    assert "recipe.yaml" in said[0]
    assert "audit: the audit record cannot be read: No such file or directory" in said[1]
    assert main(["verify", "--model", "engines/cell"]) == 78
    assert "--model needs --public-key" in capsys.readouterr().err


def test_status_says_how_many_actions_it_shall_show(cell, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["status", "--audit", "some"])
    assert stopped.value.code == 2
    assert "write a whole number from 1 on" in capsys.readouterr().err


def test_a_station_that_could_not_go_on_says_why(cell):
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("host: 127.0.0.1", "").replace("kind: modbus", "kind: modbus, host: 192.0.2.1"))
    with running(cell, wait=False) as process:
        assert process.wait(WITHIN_S) == 1
    last = last_entries(cell / "data" / "audit", 1)[0]
    assert (last.deed, last.outcome) == ("station", "failed")
    assert "this machine does not have that address" in last.reason


WRITER = """
import sys
from pathlib import Path
from edge_inspect.audit.chain import Chain
from edge_inspect.audit.entry import draft_of
from edge_inspect.datatypes import Action, Deed, Outcome

chain = Chain(Path(sys.argv[1]), rotate_bytes=20_000, keep=10**5)
number = 0
while True:
    number += 1
    chain.append([draft_of(Action(deed=Deed.JOB, outcome=Outcome.DONE, subject=f"job {number}"))] * 3)
    print(chain.last.entry.number, flush=True)
"""


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_on_the_disk_and_the_chain_verifies(tmp_path):
    folder = tmp_path / "audit"
    told = 0
    for round_ in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(20 + 7 * round_):
                told = int(process.stdout.readline())
            process.kill()
            told = max([told, *map(int, process.stdout.read().split())])
        found = verify(folder)
        assert found.problems == ()
        assert found.last is not None
        assert found.last.entry.number >= told
    assert found.entries == found.last.entry.number


def test_on_a_full_disk_the_station_goes_on_with_an_alarm_and_records_when_there_is_room(cell):
    disk = cell / "data"
    disk.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("a disk that fills up is a tmpfs, and there is no mount command here")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a disk that fills up is a tmpfs, which only root may mount: {mounted.stderr.strip()}")
    try:
        station = cell / "station.yaml"
        station.write_text(station.read_text().split("outputs:")[0] + "jobs: {1: calibration/cell/recipe.yaml}\n")
        with running(cell) as process, FakePlc(port=port_of(cell), answer_timeout_s=WITHIN_S) as plc:
            eventually(lambda: len(last_entries(disk / "audit", 100)) >= 4)
            before = json.loads((disk / STATUS_FILE).read_text())["audit"]["entries"]
            fill(disk / "filler")
            for _ in range(60):
                plc.change_job(1)
            assert plc.inspect_one()
            assert len(last_entries(disk / "audit", 1000)) < before + 60
            (disk / "filler").unlink()
            eventually(lambda: len([1 for entry in last_entries(disk / "audit", 1000) if entry.outcome == "wanted"]) == 61)
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0
        assert verify(disk / "audit").problems == ()
        assert len([1 for entry in last_entries(disk / "audit", 1000) if (entry.deed, entry.outcome) == ("job change", "done")]) == 60
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path) -> None:
    """To the last byte."""
    with path.open("ab", buffering=0) as file:
        for size in (65_536, 1024, 1):
            try:
                while True:
                    if not file.write(b"x" * size):
                        break
            except OSError:
                continue
