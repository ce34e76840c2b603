"""The station runs out of memory on a part (RLIMIT_AS, which the kernel enforces everywhere): that part is a FAULT, the line goes on."""

from __future__ import annotations

import resource
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.field.fake_plc import FakePlc

from .conftest import running
from .test_broken_machine import alarms, port_of

SIDE = 5000


@pytest.fixture
def large(cell):
    """Every second picture is 5000 x 5000 pixels, and packs to next to nothing."""
    for number in range(1, 6, 2):
        cv2.imwrite(str(cell / "parts" / f"{number}.png"), np.full((SIDE, SIDE, 3), 128, np.uint8))
    station = cell / "station.yaml"
    station.write_text(
        station.read_text()
        .replace("pace: trigger", "pace: trigger, loop: true")
        .replace("keep: [OK, NG]", "keep: [FAULT]")
        .replace("deadline_ms: 2000", "deadline_ms: 30000")
    )
    return cell


def test_a_part_that_memory_does_not_suffice_for_is_a_fault_with_its_sentence_and_the_next_one_is_not(large):
    with running(large) as process, FakePlc(port=port_of(large), answer_timeout_s=60) as plc:
        before = resource.prlimit(process.pid, resource.RLIMIT_AS)
        assert plc.inspect_one().verdict.value == "OK"
        used = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(process.pid, resource.RLIMIT_AS, (used + 60_000_000, before[1]))
        starved = [plc.inspect_one().verdict.value for _ in range(3)]
        resource.prlimit(process.pid, resource.RLIMIT_AS, before)
        fed = [plc.inspect_one().verdict.value for _ in range(6)]
        alarms(large, lambda found: not set(found) & {"memory", "camera", "database", "jsonl"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, process.stderr.read()
    assert starved == ["FAULT", "NG", "FAULT"]
    assert "FAULT" not in fed
    with closing(sqlite3.connect(large / "data" / "inspections.sqlite")) as database:
        rows = database.execute("select verdict, reason from inspections order by sequence").fetchall()
    assert [verdict for verdict, _ in rows] == ["OK", *starved, *fed]
    assert "memory" in rows[1][1].lower(), rows[1]
