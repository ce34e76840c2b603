"""Records on a disk that really fills up, and in a process that is really killed.

Each output writes to a tmpfs of a few megabytes until it is full. What `emit` acknowledged must stand there exactly
once, what it refused must never turn up, and when space is back recording must go on without anybody's help.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.errors import OutputError
from edge_inspect.outputs.database import last_sequence, open_database, recent
from edge_inspect.outputs.images import find_raw, open_images
from edge_inspect.outputs.jsonl import open_jsonl
from edge_inspect.outputs.retention import BALLAST_FILE
from edge_inspect.protocols import Output
from edge_inspect.testing import sample_inspections

MOST = 20_000  # emits before a test gives up waiting for the disk to fill


def inspection(sequence: int, **fields: object) -> Inspection:
    defective = next(sample for sample in sample_inspections() if sample.verdict is Verdict.NG and sample.evidence)
    return dataclasses.replace(defective, sequence=sequence, **fields)


def emit_until_full(output: Output, first: int) -> int:
    """Emit until the output refuses; the refused sequence."""
    sequences = iter(range(first, first + MOST))

    def emit_all() -> None:
        for sequence in sequences:
            output.emit(inspection(sequence))

    with pytest.raises(OutputError, match="free space on this disk"):
        emit_all()
    return next(sequences) - 1


def logged(folder: Path) -> list[int]:
    text = "".join(file.read_text("ascii") for file in sorted(folder.glob("*.jsonl")))
    return [json.loads(line)["sequence"] for line in text.splitlines()]


def recorded(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return sorted(record["sequence"] for record in recent(path, 10**6))


Record = tuple[Callable[[Path], AbstractContextManager[Output]], Callable[[Path], list[int]]]
LOG: Record = (lambda disk: open_jsonl(station="a", path=disk / "log"), lambda disk: logged(disk / "log"))
DATABASE: Record = (lambda disk: open_database(station="a", path=disk / "a.db"), lambda disk: recorded(disk / "a.db"))


@pytest.mark.parametrize("record", [LOG, DATABASE], ids=["log", "database"])
def test_a_record_survives_a_full_disk_and_goes_on_when_there_is_space(small_disk, record):
    open_output, read_back = record
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 1_000_000)
    with open_output(small_disk) as output:
        refused = emit_until_full(output, 1)
        assert read_back(small_disk) == [*range(1, refused)]
        with pytest.raises(OutputError):
            output.emit(inspection(refused + 1))
        filler.unlink()
        later = range(refused + 2, refused + 22)
        for sequence in later:
            output.emit(inspection(sequence))
        assert read_back(small_disk) == [*range(1, refused), *later]
    assert read_back(small_disk) == [*range(1, refused), *later]


def test_a_log_that_was_opened_on_a_full_disk_records_when_there_is_space(small_disk):
    with contextlib.suppress(OSError):
        (small_disk / "filler").write_bytes(b"x" * 4_000_000)
    with open_jsonl(station="a", path=small_disk) as log:
        with pytest.raises(OutputError, match="inspection 1 was not logged: No space left on device; free space"):
            log.emit(inspection(1))
        (small_disk / "filler").unlink()
        log.emit(inspection(2))
    assert logged(small_disk) == [2]


def test_a_log_on_a_disk_that_turned_read_only_goes_on_when_it_is_writable_again(small_disk):
    with open_jsonl(station="a", path=small_disk) as log:
        log.emit(inspection(1))
        log.close()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        with pytest.raises(OutputError, match="Read-only file system; the disk is mounted read-only"):
            log.emit(inspection(2))
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        log.emit(inspection(3))
    assert logged(small_disk) == [1, 3]


def noisy(sequence: int) -> Inspection:
    """Its raw frame packs to about 75 kB."""
    evidence = inspection(sequence).evidence
    assert evidence is not None
    pixels = np.random.default_rng(sequence).integers(0, 256, (160, 160, 3), np.uint8)
    return inspection(sequence, evidence=dataclasses.replace(evidence, frame=dataclasses.replace(evidence.frame, pixels=pixels)))


def kept(folder: Path) -> list[int]:
    return sorted(int(file.name.split("_")[0]) for file in folder.rglob("*_raw.png"))


def test_pictures_go_before_the_disk_is_full_and_leave_room_to_the_other_records(small_disk):
    folder = small_disk / "pictures"
    with open_images(station="a", path=folder, annotated=False, reserve_mb=0.4) as archive:
        assert (folder / BALLAST_FILE).exists()
        for sequence in range(1, 61):
            archive.emit(noisy(sequence))
            assert shutil.disk_usage(small_disk).free >= 400_000
        assert kept(folder)[-1] == 60
        assert len(kept(folder)) >= 10
        assert kept(folder) == list(range(61 - len(kept(folder)), 61))


def test_on_a_disk_filled_by_others_the_pictures_and_then_the_ballast_give_way(small_disk):
    folder = small_disk / "pictures"
    filler = small_disk / "filler"
    with (
        open_images(station="a", path=folder, annotated=False, reserve_mb=0.4) as archive,
        open_jsonl(station="a", path=small_disk / "log") as log,
    ):
        for sequence in range(1, 6):
            archive.emit(noisy(sequence))
        with contextlib.suppress(OSError):
            filler.write_bytes(b"x" * 4_000_000)
        with pytest.raises(OutputError, match="No space left on device"):
            log.emit(inspection(6))
        with contextlib.suppress(OutputError):
            archive.emit(noisy(6))
        assert kept(folder) == []
        log.emit(inspection(7))
        with pytest.raises(OutputError, match="no picture is kept"):
            archive.emit(noisy(7))
        with contextlib.suppress(OSError), filler.open("ab") as more:
            more.write(b"x" * 4_000_000)
        archive.emit(inspection(8, verdict=Verdict.OK))
        assert not (folder / BALLAST_FILE).exists()
        log.emit(inspection(8))
        filler.unlink()
        archive.emit(noisy(9))
        assert (folder / BALLAST_FILE).exists()
        assert kept(folder) == [9]
        picture = find_raw(folder, 9)
        assert picture is not None
        assert picture.stat().st_size > 70_000
    assert logged(small_disk / "log") == [7, 8]


def test_pictures_without_a_reserve_fill_the_disk_and_replace_the_oldest(small_disk):
    folder = small_disk / "pictures"
    with open_images(station="a", path=folder, annotated=False, reserve_mb=0) as archive:
        for sequence in range(1, 61):
            archive.emit(noisy(sequence))
    assert kept(folder) == list(range(61 - len(kept(folder)), 61))
    assert len(kept(folder)) >= 20


CHILD = """
import dataclasses, os, sys
from pathlib import Path
from edge_inspect.outputs.database import last_sequence, open_database
from edge_inspect.outputs.jsonl import open_jsonl
from edge_inspect.testing import sample_inspections

folder = Path(sys.argv[1])
sample = sample_inspections()[1]
sequence = int(sys.argv[2])
with open_jsonl(station="a", path=folder, rotate_mb=0.02, keep=10_000) as log, open_database(station="a", path=folder / "a.db") as database:
    while True:
        sequence += 1
        inspection = dataclasses.replace(sample, sequence=sequence)
        log.emit(inspection)
        os.write(1, b"log %d\\n" % sequence)
        database.emit(inspection)
        os.write(1, b"database %d\\n" % sequence)
"""


def run_and_kill(folder: Path, first: int, seconds: float) -> list[str]:
    """Record in a child, kill it a while after its first acknowledgement, and return every acknowledgement."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(first)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        begun = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        told = child.stdout.read()
    return [line for line in (begun + told).splitlines(keepends=True) if line.endswith("\n")]


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path):
    chance = random.Random(20261121)
    acknowledged: list[str] = []
    for _round in range(5):
        last = max([last_sequence(tmp_path / "a.db"), *(logged_so_far(tmp_path))])
        told = run_and_kill(tmp_path, last, chance.uniform(0.01, 0.15))
        assert told
        acknowledged += told
    with open_jsonl(station="a", path=tmp_path):
        lines, rows = logged(tmp_path), recorded(tmp_path / "a.db")
    assert len(set(lines)) == len(lines)
    assert len(set(rows)) == len(rows)
    assert {int(line.split()[1]) for line in acknowledged if line.startswith("log")} <= set(lines)
    assert {int(line.split()[1]) for line in acknowledged if line.startswith("database")} <= set(rows)


def logged_so_far(folder: Path) -> list[int]:
    """Whole lines only: the child that was killed may have left half of one."""
    with open_jsonl(station="a", path=folder):
        return logged(folder)
