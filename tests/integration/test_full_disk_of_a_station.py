"""A station whose disk is full to the last byte gives things up in the order that it declares, and gets over it by itself."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import sys
import time
from contextlib import closing

import pytest

from edge_inspect.field.fake_plc import FakePlc
from edge_inspect.service.live import STATUS_FILE, read_status

from .conftest import picture, running
from .test_broken_machine import alarms
from .test_station_process import port_of

REGIONS, MOST = 3, 8
FEWEST_PATIENT = f"""
import sys
import edge_inspect.outputs.catching_up as patience
patience.REGIONS_KEPT = {REGIONS}
patience.open_catching_up.__wrapped__.__kwdefaults__["most"] = {MOST}
from edge_inspect.cli.main import main
sys.exit(main(["run", "--station", "station.yaml"]))
"""
"""The station as `running` starts it, but only so many may wait."""


@pytest.fixture
def crowded(cell, small_disk):
    """Every part is defective; database and pictures lie on the small disk, count, status and log do not."""
    for number in range(6):
        picture(cell / "parts" / f"{number}.png", spot=(16, 8, 8, 250))
    station = cell / "station.yaml"
    text = station.read_text().replace("pace: trigger", "pace: trigger, loop: true")
    text = text.replace("data/inspections.sqlite", f"{small_disk}/inspections.sqlite").replace("data/pictures", f"{small_disk}/pictures")
    station.write_text(text.replace("keep: [OK, NG]", "keep: [NG], annotated: false, reserve_mb: 0.2"))
    return cell


def fill(disk):
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)


def rows_with_regions(path):
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = database.execute("SELECT sequence, (SELECT count(*) FROM regions r WHERE r.sequence = i.sequence) FROM inspections i")
        return dict(found.fetchall())


def is_waiting(found):
    return "full; free space on this disk; recording goes on by itself" in found.get("database", {}).get("text", "")


def pictured(disk):
    return {int(path.name.split("_")[0]) for path in (disk / "pictures").rglob("*_raw.png")}


def test_pictures_go_first_then_regions_then_records_and_no_verdict_or_count(crowded, small_disk):
    with running(crowded, command=(sys.executable, "-c", FEWEST_PATIENT)) as process, FakePlc(port=port_of(crowded)) as plc:
        told = [plc.inspect_one() for _ in range(4)]
        for _ in range(50):  # what the file has grown to already is used up first
            fill(small_disk)
            told.append(plc.inspect_one())
            time.sleep(0.05)  # the file follows within half a second
            if is_waiting(read_status(crowded / "data" / STATUS_FILE)["alarms"]):
                break
        said = alarms(crowded, is_waiting)
        assert "free space, and pictures are kept again by themselves" in said["images"]
        assert pictured(small_disk) == set()
        for _ in range(2 * MOST):
            fill(small_disk)
            told.append(plc.inspect_one())
        (small_disk / "filler").unlink()
        for _ in range(3):  # what a queue in the background could not write is told with the next part
            told.append(plc.inspect_one())
            time.sleep(0.2)
        assert alarms(crowded, lambda found: not found) == {}
        counts = read_status(crowded / "data" / STATUS_FILE)["counts"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        log = process.stderr.read()
    sequences = [answer.sequence for answer in told]
    assert {answer.verdict.value for answer in told} == {"NG"}
    assert sequences == list(range(1, len(told) + 1))
    found = rows_with_regions(small_disk / "inspections.sqlite")
    lost = sorted(set(sequences) - set(found))
    assert lost
    bare = [sequence for sequence, regions in found.items() if not regions]
    bare_before = [sequence for sequence in bare if sequence < lost[0]]
    assert len(bare_before) == MOST - REGIONS
    # A part that comes while the first of those that wait are being written finds a place again, without its regions.
    assert [*bare_before, *lost, *bare[len(bare_before) :]] == list(range(bare[0], max(bare[-1], lost[-1]) + 1))
    assert f"no record stands of {len(lost)} NG" in log
    assert sequences[-1] in found
    assert max(pictured(small_disk)) == sequences[-1]
    assert counts["NG"] >= len(told) - 1
