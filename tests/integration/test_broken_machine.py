"""The machine fails under a running station: the database is damaged, the disk turns read-only, descriptors run out, the clock jumps.

In all of them each trigger gets its verdict; what cannot be recorded is an alarm with a sentence.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from edge_inspect.cli.main import main
from edge_inspect.errors import EdgeInspectError
from edge_inspect.field.fake_plc import FakePlc
from edge_inspect.service.live import read_status

from .conftest import running


def port_of(cell):
    return int((cell / "port").read_text())


def verdicts(plc, parts=3):
    return [plc.inspect_one().verdict.value for _ in range(parts)]


def alarms(cell, wanted):
    """The alarms, once `wanted` says so of them; the file follows within half a second."""
    until = time.monotonic() + 20
    while not wanted(found := read_status(cell / "data" / "status.json")["alarms"]) and time.monotonic() < until:
        time.sleep(0.02)
    assert wanted(found), found
    return {source: alarm["text"] for source, alarm in found.items()}


def rows(path):
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return database.execute("SELECT sequence, verdict FROM inspections ORDER BY sequence").fetchall()


@pytest.fixture(autouse=True)
def parts_without_end(cell):
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("pace: trigger", "pace: trigger, loop: true"))


def test_a_damaged_database_is_put_aside_at_the_start_and_the_count_goes_on(cell):
    file = cell / "data" / "inspections.sqlite"
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        first = plc.inspect_one().sequence
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    file.write_bytes(b"\0" * file.stat().st_size)
    with running(cell), FakePlc(port=port_of(cell)) as plc:
        told = alarms(cell, bool)["database"]
        assert "inspections.sqlite was damaged and lies aside as inspections.sqlite.damaged-" in told
        assert "a new database was begun" in told
        again = plc.inspect_one()
        [aside] = file.parent.glob("*.damaged-*[0-9Z]")
        aside.unlink()
        plc.inspect_one()
        alarms(cell, lambda found: not found)
    assert again.sequence > first
    assert [sequence for sequence, _ in rows(file)] == [again.sequence, again.sequence + 1]


def test_a_status_file_that_somebody_has_spoiled_is_one_sentence_and_whole_again_half_a_second_later(cell, capsys, monkeypatch):
    monkeypatch.chdir(cell)
    (cell / "data").mkdir()
    (cell / "data" / "status.json").write_text('{"half of it')
    assert main(["status"]) == 1
    assert "not a status file" in capsys.readouterr().err
    with running(cell, wait=False) as process:
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            try:
                if read_status(cell / "data" / "status.json")["state"] == "ready":
                    break
            except EdgeInspectError:
                time.sleep(0.02)
        (cell / "data" / "status.json").write_bytes(b"\xff\xfe")
        time.sleep(1)
        assert main(["status"]) == 0


def test_without_a_free_descriptor_parts_still_get_their_verdicts_and_records(cell):
    station = cell / "station.yaml"
    drawn = "camera: {kind: simulated, width: 64, height: 64}"  # a camera that opens no file for each part
    station.write_text(station.read_text().replace("camera: {kind: folder, path: parts, pace: trigger, loop: true}", drawn))
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        given = verdicts(plc)
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        given += verdicts(plc)
        time.sleep(1)
        given += verdicts(plc)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
        until = time.monotonic() + 20
        while read_status(cell / "data" / "status.json")["counts"]["NG"] < 9 and time.monotonic() < until:
            time.sleep(0.05)
        given += verdicts(plc, 6)
        alarms(cell, lambda found: not found)
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        said = process.stderr.read()
    assert "alarm: status file: " in said
    assert "alarm: images: " in said
    assert "Too many open files" in said
    assert given == ["NG"] * 15
    assert [verdict for _, verdict in rows(cell / "data" / "inspections.sqlite")] == given


SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* the wall clock of one process, off by the seconds that stand in the file; no other clock is touched */
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    FILE *file = clock == CLOCK_REALTIME ? fopen(getenv("CLOCK_OFFSET_FILE"), "r") : NULL;
    long offset_s = 0;
    if (file && fscanf(file, "%ld", &offset_s) == 1) now->tv_sec += offset_s;
    if (file) fclose(file);
    return done;
}
"""


@pytest.fixture
def clock(cell, monkeypatch):
    """A file with seconds that the wall clock of processes started with `LD_PRELOAD` is off by; gives the file and the library."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here, which makes the clock of one process jump")
    source, library = cell / "clock.c", cell / "clock.so"
    source.write_text(SHIFTED_CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    (cell / "clock").write_text("0")
    monkeypatch.setenv("CLOCK_OFFSET_FILE", str(cell / "clock"))
    return cell / "clock", library


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_jumps_by_a_day_changes_no_verdict_count_or_deadline(cell, clock, monkeypatch, days):
    offset, library = clock
    monkeypatch.setenv("LD_PRELOAD", str(library))
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        before = verdicts(plc)
        offset.write_text(str(days * 86_400))
        after = verdicts(plc)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert before == after == ["OK", "OK", "NG"]
    lines = [json.loads(line) for line in (cell / "data" / "log" / "inspections.jsonl").read_text().splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, 7))
    taken = [datetime.fromisoformat(line["taken_at"]) for line in lines]
    assert abs((taken[3] - taken[2]).total_seconds() - days * 86_400) < 3600
    assert len(rows(cell / "data" / "inspections.sqlite")) == 6


@pytest.fixture
def failing_disk(cell):
    """The station's data folder on an ext4 of its own that turns read-only on an error, as a worn flash does; gives the trigger."""
    image = cell / "disk.img"
    with image.open("wb") as file:
        file.truncate(32_000_000)
    for words in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop,errors=remount-ro", str(image), str(cell / "data")]):
        (cell / "data").mkdir(exist_ok=True)
        done = subprocess.run(words, capture_output=True, text=True, check=False) if shutil.which(words[0]) else None
        if done is None or done.returncode:
            pytest.skip(
                f"a disk that fails is an ext4 on a loop device, which cannot be had here: {words[0]}: {done and done.stderr.strip()}"
            )
    source = subprocess.run(["findmnt", "-no", "SOURCE", str(cell / "data")], capture_output=True, text=True, check=False).stdout.strip()
    trigger = Path("/sys/fs/ext4") / Path(source).name / "trigger_fs_error"
    try:
        if not trigger.exists():
            pytest.skip("this kernel makes no ext4 error on demand")
        yield lambda: trigger.write_text("the disk is worn out")
    finally:
        subprocess.run(["umount", "-l", str(cell / "data")], check=False)


def test_a_disk_that_turns_read_only_stops_the_records_with_a_sentence_and_no_verdict(cell, failing_disk):
    with running(cell) as process, FakePlc(port=port_of(cell)) as plc:
        assert verdicts(plc) == ["OK", "OK", "NG"]
        failing_disk()
        assert verdicts(plc, 6) == ["OK", "OK", "NG"] * 2
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        said = process.stderr.read()
    assert "alarm: jsonl: " in said
    assert "alarm: database: " in said
    assert "alarm: status file: " in said
    assert "the disk is mounted read-only, often after an error of the disk: see dmesg" in said


def test_a_data_folder_that_cannot_be_written_is_one_sentence_at_the_start(cell):
    (cell / "data").mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(cell / "data")], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a read-only disk is a tmpfs, which only root may mount: {done.stderr.strip()}")
    try:
        command = [sys.executable, "-m", "edge_inspect", "run", "--station", "station.yaml"]
        ended = subprocess.run(command, cwd=cell, capture_output=True, text=True, timeout=60, check=False, env={**os.environ})
    finally:
        subprocess.run(["umount", str(cell / "data")], check=True)
    assert ended.returncode == 1
    assert "Read-only file system" in ended.stderr
    assert "Traceback" not in ended.stderr
