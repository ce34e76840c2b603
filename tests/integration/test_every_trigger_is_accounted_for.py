"""Camera faults, missed triggers and late verdicts at random: every trigger ends as one result, one line and one row.

The run of the results page: EDGE_INSPECT_TRIGGERS=100000 pytest -s tests/integration/test_every_trigger_is_accounted_for.py
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace

from edge_inspect.config import load_station
from edge_inspect.errors import DeadlineMissed
from edge_inspect.inspector import open_inspector
from edge_inspect.plc.handshake import Emitted, Handshake
from edge_inspect.plc.signals import Control
from edge_inspect.service.live import LiveStatus
from edge_inspect.service.sequence import Sequence
from edge_inspect.station import Station, prepare_station
from tests.conftest import write_part

TRIGGERS = int(os.environ.get("EDGE_INSPECT_TRIGGERS", "2000"))
DEADLINE_MS = 25.0
MISSED_SHARE = 0.02

STATION = """
name: drill
recipe: {recipe}
runtime: onnx
trigger: plc
plc: modbus
deadline_ms: {deadline}
camera:
  {{kind: simulated, width: 64, height: 64, defect_rate: 0.3, seed: 5, late: 0.01, late_ms: 30, lost: 0.02, corrupt: 0.03, dark: 0.02,
    disconnected: 0.002, disconnected_ms: 20}}
outputs:
  - {{kind: jsonl, path: log, rotate_mb: 1, keep: 1000}}
  - {{kind: database, path: inspections.sqlite}}
"""


class RandomPlc:
    """A PLC on the real handshake, in the station's own thread: triggers as soon as it may, sometimes before."""

    def __init__(self, triggers):
        self.handshake = Handshake(allowed_ns=int(DEADLINE_MS * 1e6), now_ns=time.monotonic_ns())
        self.left = triggers
        self.stop = threading.Event()
        self.results = []
        self._chance = random.Random(7)
        self._control = Control(trigger_enable=True, buffer_results_enable=True)

    def _write(self, **bits):
        self.handshake.write(replace(self._control, **bits), time.monotonic_ns())

    def _trigger(self):
        self._write(trigger=True)
        self._write(trigger=False)
        self.left -= 1

    def _read_results(self):
        while (status := self.handshake.status(time.monotonic_ns())).results_valid:
            self.results.append((status.result.acquisition, status.result.verdict.value))
            self._write(results_ack=True)
            self._write(results_ack=False)

    def ready(self, is_ready, reason=""):
        self.handshake.ready(is_ready)

    def poll(self, timeout_s):
        self._read_results()
        request = self.handshake.take(time.monotonic_ns())
        if request is None and timeout_s and self.left:
            self._trigger_at_random()
            request = self.handshake.take(time.monotonic_ns())
        if request is None and not self.left:
            self.stop.set()
        return request

    def _trigger_at_random(self):
        self._trigger()
        while self.left and self._chance.random() < MISSED_SHARE:
            self._trigger()

    def exposed(self, acquisition):
        self.handshake.exposed(acquisition)

    def emit(self, inspection):
        if self.handshake.emit(inspection, time.monotonic_ns()) is Emitted.LATE:
            raise DeadlineMissed("FAULT was said at the deadline")

    def answer(self, request, *, job, error=""):
        self.handshake.answer(job, failed=bool(error))


def test_every_trigger_of_a_bad_day_is_accounted_for(tmp_path):
    recipe_file = write_part(tmp_path / "cell", image_threshold=100.25, pixel_threshold=100.25)  # about half of the drawn parts
    station_file = tmp_path / "station.yaml"
    station_file.write_text(STATION.format(recipe=recipe_file, deadline=DEADLINE_MS))
    settings = load_station(station_file)
    openers = prepare_station(settings, base=tmp_path)
    plc = RandomPlc(TRIGGERS)
    names = [name for name, _ in openers.outputs]
    started = time.monotonic()
    with openers.camera() as camera, openers.outputs[0][1]() as log, openers.outputs[1][1]() as database:
        station = Station(
            settings=settings,
            camera=camera,
            inspector=open_inspector(recipe_file, settings.runtime, base=tmp_path),
            plc=plc,
            outputs=list(zip(names, (log, database), strict=True)),
            status=LiveStatus(tmp_path / "status.json", station="drill"),
            sequence=Sequence(tmp_path / "sequence"),
        )
        station.run(plc.stop)
        plc._read_results()
    lines = [json.loads(line) for path in (tmp_path / "log").glob("*.jsonl*") for line in path.read_text().splitlines()]
    with closing(sqlite3.connect(tmp_path / "inspections.sqlite")) as connection:
        rows = connection.execute("select sequence, acquisition, verdict from inspections order by sequence").fetchall()
    told = Counter(plc.results)
    assert sum(told.values()) == TRIGGERS
    assert Counter((line["acquisition"], line["verdict"]) for line in lines) == told
    assert Counter((acquisition, verdict) for _, acquisition, verdict in rows) == told
    assert [sequence for sequence, _, _ in rows] == list(range(1, TRIGGERS + 1))
    assert plc.handshake.counters.overrun == 0
    by_verdict = Counter(verdict for _, _, verdict in rows)
    reasons = Counter(line["reason"].split(":")[-1].strip()[:40] for line in lines if line["verdict"] == "FAULT")
    print(f"\n{TRIGGERS} triggers in {time.monotonic() - started:.0f} s: {dict(by_verdict)}; faults: {reasons.most_common(8)}")
    assert min(by_verdict.values()) > 0
    assert set(by_verdict) == {"OK", "NG", "FAULT"}
    assert all(line["score"] is not None and line["score"] <= line["threshold"] for line in lines if line["verdict"] == "OK")
