"""Every file that a station keeps for itself, spoiled in every way: it starts, counts on, and records each part once."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from edge_inspect.service.live import read_status
from edge_inspect.station import open_station
from tests.conftest import write_part

from .conftest import picture

PARTS = 6
STATE = ("sequence", "status.json", "promised.jsonl", "station.lock", "audit/audit-000001.jsonl", "acceptance.json")
RECORDS = ("log/inspections.jsonl", "inspections.sqlite", "inspections.sqlite-wal", "inspections.sqlite-shm", "pictures/.ballast")
SPOILT = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "binary": lambda content: bytes(range(256)) * 8,
    "zeroes": lambda content: b"\0" * max(len(content), 512),
    "another file": lambda content: b"[1, 2]\n{}\nnull\n",
}


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """The folder of a station that has been killed: all its files are there."""
    folder = tmp_path_factory.mktemp("used")
    write_part(folder / "cell")
    for number in range(PARTS):
        picture(folder / "parts" / f"{number}.png", spot=(16, 8, 8, 250) if number % 3 == 2 else None)
    (folder / "station.yaml").write_text(
        """name: cell-3
recipe: cell/recipe.yaml
camera: {kind: folder, path: parts}
runtime: onnx
deadline_ms: 5000
outputs:
  - {kind: jsonl, path: data/log}
  - {kind: database, path: data/inspections.sqlite}
  - {kind: images, path: data/pictures, reserve_mb: 1}
"""
    )
    serve(folder)
    for name in STATE:
        (folder / "data" / name).touch()
    (folder / "data" / "sequence").write_text("1000\n")  # as a kill leaves it
    return folder


def serve(folder):
    """All pictures, once, by a station in this process."""
    stop = threading.Event()
    with open_station(folder / "station.yaml") as station:
        thread = threading.Thread(target=station.run, args=(stop,))
        thread.start()
        until = time.monotonic() + 30
        while sum(station._status.counts.values()) < PARTS and time.monotonic() < until:
            time.sleep(0.005)
        stop.set()
        thread.join(30)
        return station._status.counts, station._status.alarms


def sequences(folder):
    with closing(sqlite3.connect(folder / "data" / "inspections.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [sequence for (sequence,) in database.execute("SELECT sequence FROM inspections ORDER BY rowid")]


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", STATE + RECORDS)
def test_a_station_starts_with_a_spoiled_file_and_its_count_never_goes_back(used, tmp_path, monkeypatch, name, how):
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    folder = shutil.copytree(used, tmp_path / "station")
    file = folder / "data" / name
    before = file.read_bytes() if file.exists() else b""
    file.write_bytes(SPOILT[how](before))
    highest = max(sequences(used))
    counts, alarms = serve(folder)
    assert sum(counts.values()) == PARTS
    assert counts["FAULT"] == 0
    new = [sequence for sequence in sequences(folder) if sequence > highest]
    assert len(new) == PARTS
    assert read_status(folder / "data" / "status.json")["last"]["sequence"] == new[-1]
    spoilt_count = name == "sequence" and how != "cut short"  # half of a number is a number
    assert ("count" in alarms) is spoilt_count
    assert set(alarms) <= {"count", "database", "acceptance", "audit record"}


def test_with_count_database_and_log_all_spoiled_the_status_still_tells_how_far_it_had_come(used, tmp_path, monkeypatch):
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    folder = shutil.copytree(used, tmp_path / "station")
    for name in ("sequence", "inspections.sqlite", "log/inspections.jsonl"):
        (folder / "data" / name).write_bytes(b"\0" * 4096)
    serve(folder)
    assert min(sequences(folder)) > max(sequences(used)) + 1000
