"""A real systemd drives the installed service: start, crash, hang, stop, wrong files, a broken installation, an absent camera."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from edge_inspect.events import Event

from .conftest import UNIT
from .machine import ENVIRONMENT, ROOT
from .stations import EXAMPLE, another, drop_in

ACME = ROOT / "tests" / "acme_engines"

pytestmark = [pytest.mark.nspawn, pytest.mark.slow]


def live(machine):
    return json.loads((machine.root / "var/lib/edge-inspect/example/status.json").read_text())


def seen(machine):
    """Sequence of the last part."""
    until = time.monotonic() + 30
    while not (last := live(machine)["last"]) and time.monotonic() < until:
        time.sleep(0.1)
    return last["sequence"]


def rows(machine, name):
    """Sequence, part id, reason and recipe of each part that a station has recorded."""
    with closing(sqlite3.connect(machine.root / f"var/lib/edge-inspect/{name}/inspections.sqlite")) as database:
        return database.execute("select sequence, part_id, reason, recipe_sha256 from inspections order by sequence").fetchall()


def test_the_units_installed_are_what_systemd_reads_without_a_word(machine, installed):
    done = machine.run("systemd-analyze", "verify", UNIT)
    assert done.stderr == ""
    assert "exposure level" in machine.run("systemd-analyze", "security", "--no-pager", UNIT).stdout


def test_start_returns_when_the_station_is_ready_and_the_status_line_counts_parts(machine, installed):
    machine.run("systemctl", "start", UNIT)
    assert machine.show(UNIT, "SubState") == {"SubState": "running"}
    until = time.monotonic() + 30
    while "1 NG" not in (line := machine.show(UNIT, "StatusText")["StatusText"]) and time.monotonic() < until:
        time.sleep(0.1)
    assert line.startswith("ready; no alarms; ")
    assert " OK, 1 NG, 0 FAULT; last part " in line
    said = machine.run("edge-inspect", "status", "--station", f"/{EXAMPLE}/station.yaml", PYTHONPATH="/srv/site-packages")
    assert "no alarms" in said.stdout


def test_it_runs_as_its_own_user_and_may_write_nothing_but_its_own_folders(machine, station):
    pid = station["MainPID"]
    status = (machine.root / "proc" / pid / "status") if (machine.root / "proc" / pid).exists() else None
    said = machine.run("cat", f"/proc/{pid}/status").stdout if status is None else status.read_text()
    facts = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert facts["Uid"].split()[0] == machine.run("id", "-u", "edge-inspect").stdout.strip()
    assert int(facts["CapEff"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    inside = ["nsenter", "-t", pid, "-m", "--", "runuser", "-u", "edge-inspect", "--"]
    for folder in ("/etc/edge-inspect/example", "/opt/edge-inspect", "/var/lib/edge-inspect", "/usr", "/home"):
        assert machine.run(*inside, "touch", f"{folder}/x", check=False).returncode, folder
    assert machine.run(*inside, "touch", "/var/lib/edge-inspect/example/x").returncode == 0
    assert machine.run("stat", "-c", "%a", "/var/lib/edge-inspect/example/inspections.sqlite").stdout == "640\n"


def test_after_kill_9_it_is_ready_again_and_counts_on(machine, station):
    before = live(machine)
    machine.run("kill", "-9", station["MainPID"])
    after = machine.wait(UNIT, SubState="running", NRestarts=str(int(station["NRestarts"]) + 1))
    assert after["MainPID"] != station["MainPID"]
    until = time.monotonic() + 30
    while not (now := live(machine))["last"] and time.monotonic() < until:
        time.sleep(0.1)
    assert now["last"]["sequence"] > (before["last"] or {"sequence": 0})["sequence"]


@pytest.mark.parametrize("hang", ["a stopped process", "a picture that never comes"])
def test_a_hang_is_ended_by_the_watchdog_and_the_station_is_ready_again(machine, station, hang):
    picture = machine.root / EXAMPLE / "parts" / "part-7.png"
    content = picture.read_bytes()
    if hang == "a stopped process":
        machine.run("kill", "-STOP", station["MainPID"])
    else:  # reading a pipe that nobody writes to: the loop hangs, the threads of the PLC wire go on
        picture.unlink()
        os.mkfifo(picture)
    machine.wait(UNIT, Result="watchdog")
    picture.unlink()
    picture.write_bytes(content)
    machine.wait(UNIT, SubState="running", NRestarts=str(int(station["NRestarts"]) + 1))
    told = machine.journal(UNIT, "--since", "-30s")
    assert "Watchdog timeout" in told
    assert "Fatal Python error: Aborted" in told
    assert ("cameras/pictures.py" in told or "cameras/folder.py" in told) or hang == "a stopped process"


def test_an_inference_that_never_ends_feeds_no_watchdog_and_holds_no_stop(machine, installed):
    unit = "edge-inspect@hangs.service"
    hangs = machine.root / "var/lib/edge-inspect/hangs/hangs"
    shutil.copytree(ACME, machine.root / "srv/acme")
    another(machine, "hangs", runtime="{kind: acme, told: /var/lib/edge-inspect/hangs/hangs}")
    found = f"Environment=PYTHONPATH=/srv/acme:{ENVIRONMENT['PYTHONPATH']}\n"
    try:
        drop_in(machine, unit, f"{found}WatchdogSec=60\n")
        machine.run("systemctl", "start", unit)
        hangs.touch()
        time.sleep(1)  # four parts a second
        machine.run("systemctl", "stop", unit)
        assert machine.show(unit, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
        assert "1.5 s after the signal: the process ends beside what is still open: the main thread at " in machine.journal(unit)
        hangs.unlink()
        drop_in(machine, unit, f"{found}WatchdogSec=2\n")
        machine.run("systemctl", "start", unit)
        hangs.touch()
        machine.wait(unit, Result="watchdog")
        hangs.unlink()
        machine.wait(unit, SubState="running", NRestarts="1")
    finally:
        machine.run("systemctl", "stop", unit, check=False)
    told = machine.journal(unit)
    assert "Watchdog timeout" in told
    assert "acme_engines.py" in told.split("Fatal Python error: Aborted")[1]
    reasons = [reason for _, _, reason, _ in rows(machine, "hangs") if "the station ended before the verdict stood" in reason]
    assert len(reasons) == 2  # one of each end, recorded by the start after it


def test_a_reload_takes_thresholds_and_recipe_over_in_the_process_that_runs_and_loses_no_part(machine, station):
    thresholds, recipe = machine.root / EXAMPLE / "thresholds.json", machine.root / EXAMPLE / "recipe.yaml"
    before = thresholds.read_text(), recipe.read_text()
    first = seen(machine)
    thresholds.write_text(before[0].replace('_threshold": 20.0', '_threshold": 200.0'))
    recipe.write_text(before[1] + "decision: {image_score: true, regions: {min_area_px: 100000}}\n")
    try:
        machine.run("systemctl", "reload", UNIT)
        until = time.monotonic() + 30
        while "not above 200" not in (line := machine.show(UNIT, "StatusText")["StatusText"]) and time.monotonic() < until:
            time.sleep(0.1)
        assert "not above 200" in line
        assert machine.wait(UNIT, ActiveState="active", SubState="running")["MainPID"] == station["MainPID"]
        last = seen(machine)
        while seen(machine) < last + 5 and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        machine.run("systemctl", "stop", UNIT)
        thresholds.write_text(before[0])
        recipe.write_text(before[1])
    told = [row for row in rows(machine, "example") if row[0] >= first]
    assert [sequence for sequence, *_ in told] == list(range(first, first + len(told)))
    parts = [int(part_id[len("part-") : -len(".png")]) for _, part_id, _, _ in told]
    assert parts == [(parts[0] + n) % 10 for n in range(len(parts))]  # the camera's own count: ten pictures, again and again
    kinds = [recipe_sha256 for *_, recipe_sha256 in told]
    assert kinds == sorted(kinds, key=kinds.index)  # the old one, then the new one
    assert len(set(kinds)) == 2


def test_the_journal_can_be_asked_for_the_parts_that_were_not_inspected(machine, station):
    picture = machine.root / EXAMPLE / "parts" / "part-3.png"
    content = picture.read_bytes()
    picture.write_bytes(content[:40])
    asked = ("journalctl", "--no-pager", "-u", UNIT, f"MESSAGE_ID={Event.PART_FAULT.value}", "-n", "1")
    try:
        until = time.monotonic() + 30
        while not (said := machine.run(*asked, "-o", "json", check=False).stdout) and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        picture.write_bytes(content)
    told = json.loads(said)
    assert told["VERDICT"] == "FAULT"
    assert told["PRIORITY"] == "4"
    assert told["_SYSTEMD_UNIT"] == UNIT
    assert told["MESSAGE"].startswith(f"station.delivery: part {told['PART']} FAULT: not inspected: ")
    explained = machine.run(*asked, "-x", "-o", "short").stdout
    assert f"Subject: Part {told['PART']} was not inspected" in explained


def test_stop_ends_it_cleanly(machine, station):
    machine.run("systemctl", "stop", UNIT)
    told = machine.journal(UNIT, "--since", "-30s")
    assert told.rstrip().split("Stopping ")[-1].startswith("edge-inspect@example.service")
    assert "Deactivated successfully" in told.split("Stopping ")[-1]
    assert live(machine)["state"] == "stopped"


def test_a_stray_sigterm_is_answered_by_a_new_start(machine, station):
    machine.run("kill", f"-{signal.SIGTERM.name}", station["MainPID"])
    machine.wait(UNIT, SubState="running", NRestarts=str(int(station["NRestarts"]) + 1))


def test_wrong_files_are_told_by_line_and_not_tried_again(machine, station):
    file = machine.root / EXAMPLE / "station.yaml"
    content = file.read_text()
    file.write_text(content.replace("deadline_ms: 1000", "deadline_ms: soon"))
    try:
        assert machine.run("systemctl", "restart", UNIT, check=False).returncode
        assert machine.wait(UNIT, ActiveState="failed", ExecMainStatus="78")["NRestarts"] == "0"
        time.sleep(1.5)  # three times RestartSec
        assert machine.show(UNIT, "ActiveState", "NRestarts") == {"ActiveState": "failed", "NRestarts": "0"}
        assert "station.yaml:8: deadline_ms" in machine.journal(UNIT, "--since", "-20s")
    finally:
        file.write_text(content)


def test_a_broken_installation_is_given_up_after_a_few_starts(machine, station):
    machine.run("mv", "/opt/edge-inspect/current", "/opt/edge-inspect/elsewhere")
    try:
        machine.run("kill", "-9", station["MainPID"])
        failed = machine.wait(UNIT, ActiveState="failed")
        assert int(failed["NRestarts"]) < 30
    finally:
        machine.run("mv", "/opt/edge-inspect/elsewhere", "/opt/edge-inspect/current")


def test_a_camera_that_is_absent_at_boot_is_waited_for_in_so_many_words(machine, installed):
    unit = "edge-inspect@absent.service"
    another(machine, "absent", camera='{kind: opencv, source: "http://127.0.0.1:9/"}')
    drop_in(machine, unit, "TimeoutStartSec=4\n")
    try:
        machine.run("systemctl", "start", "--no-block", unit)
        until = time.monotonic() + 30
        while "ALARM camera" not in (line := machine.show(unit, "StatusText")["StatusText"]) and time.monotonic() < until:
            time.sleep(0.1)
        assert line.startswith("starting; ALARM camera: ")
        time.sleep(5)  # longer than systemd would wait for a start that does not ask for more time
        assert machine.show(unit, "ActiveState", "NRestarts") == {"ActiveState": "activating", "NRestarts": "0"}
    finally:
        machine.run("systemctl", "stop", unit)
