"""Kill -9 at random under load, and what became of each part: what the PLC read, what the database and the log hold.

Used by the test with a few kills and by `tools/measure-kills` with hundreds.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.errors import EdgeInspectError, PlcError
from edge_inspect.field.fake_plc import FakePlc, Misbehaviour
from edge_inspect.service.live import STATUS_FILE, read_status

READY_S = 60
LONGEST_LIFE_S = 0.4
"""A process is killed at a random instant within this time after its first trigger [s]."""


@dataclass(frozen=True, slots=True)
class Toll:
    """What came of it.

    Attributes:
        kills: processes killed.
        reported: results that the PLC read.
        recorded: parts in the database.
        lost: results that the PLC read and the database does not hold, or holds with another verdict.
        doubled: parts that the database holds twice.
        log_differs: parts that log and database do not agree on.
        left_open: triggers that were recorded as FAULT because the process ended before their verdict.
        recovered: parts recorded by the start after a kill.
        intact: whether SQLite found nothing wrong after each kill.
        ready_s: time from start to Ready, median and longest [s].
    """

    kills: int
    reported: int
    recorded: int
    lost: int
    doubled: int
    log_differs: int
    left_open: int
    recovered: int
    intact: bool
    ready_s: tuple[float, float]


class Killing:
    """A station's folder whose process is killed again and again."""

    def __init__(self, folder: Path, *, port: int, seed: int) -> None:
        self._folder, self._port, self._chance = folder, port, random.Random(seed)
        self._reported: list[tuple[int, str]] = []
        self._round: list[tuple[int, str]] = []
        self._seen = 0
        self._lost = self._doubled = 0
        self._recovered = 0
        self._intact = True
        self._ready_s: list[float] = []

    def go(self, kills: int) -> Toll:
        """Kill so many processes; one more start records what the last kill left."""
        for _ in range(kills):
            with self._process() as process:
                self._account()
                self._load_and_kill(process)
        with self._process():
            self._account()
        return self._toll(kills)

    @contextmanager
    def _process(self):
        command = [sys.executable, "-m", "edge_inspect", "run", "--station", "station.yaml"]
        started = time.monotonic()
        with (self._folder / "stderr").open("ab") as log, subprocess.Popen(command, cwd=self._folder, stderr=log) as process:
            try:
                self._wait_until_ready(process)
                self._ready_s.append(time.monotonic() - started)
                yield process
            finally:
                process.kill()
        self._recovered = (self._folder / "stderr").read_text(errors="replace").count("WARNING edge_inspect.station.recovery: database")

    def _wait_until_ready(self, process) -> None:
        until = time.monotonic() + READY_S
        while not self._is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"not ready: {(self._folder / 'stderr').read_text(errors='replace')[-2000:]}")
            time.sleep(0.005)

    def _is_ready(self, pid: int) -> bool:
        try:
            status = read_status(self._folder / "data" / STATUS_FILE)
        except EdgeInspectError:
            return False
        return status["state"] == "ready" and status["pid"] == pid

    def _load_and_kill(self, process) -> None:
        killer = threading.Timer(self._chance.uniform(0, LONGEST_LIFE_S), process.kill)
        misbehave = frozenset({Misbehaviour.DOUBLE_TRIGGER} if self._chance.random() < 0.5 else set())
        plc = FakePlc(port=self._port, misbehave=misbehave, answer_timeout_s=2)
        try:
            with plc:
                killer.start()
                while True:
                    plc.inspect_one()
        except PlcError:
            pass
        killer.cancel()
        process.kill()
        process.wait()
        self._round = [(answer.acquisition, answer.verdict.value) for answer in plc.answers]

    def _account(self) -> None:
        """All rows that are new belong to the process that was killed last: the one that runs now has seen no part yet."""
        with closing(sqlite3.connect(self._folder / "data" / "inspections.sqlite")) as database:
            self._intact = self._intact and database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = database.execute("SELECT acquisition, verdict FROM inspections ORDER BY rowid").fetchall()
        new = Counter(acquisition for acquisition, _ in rows[self._seen :]) if len(rows) > self._seen else Counter()
        held = set(rows[self._seen :])
        self._doubled += sum(count - 1 for count in new.values())
        self._lost += sum(result not in held for result in self._round)
        self._reported += self._round
        self._round, self._seen = [], len(rows)

    def _toll(self, kills: int) -> Toll:
        with closing(sqlite3.connect(self._folder / "data" / "inspections.sqlite")) as database:
            rows = database.execute("SELECT sequence, verdict, reason FROM inspections").fetchall()
        lines = [json.loads(line) for path in (self._folder / "data" / "log").glob("*.jsonl") for line in path.read_text().splitlines()]
        logged = Counter((line["sequence"], line["verdict"]) for line in lines)
        differs = logged - Counter((sequence, verdict) for sequence, verdict, _ in rows)
        missing = Counter((sequence, verdict) for sequence, verdict, _ in rows) - logged
        times = sorted(self._ready_s)
        return Toll(
            kills=kills,
            reported=len(self._reported),
            recorded=len(rows),
            lost=self._lost,
            doubled=self._doubled,
            log_differs=sum(differs.values()) + sum(missing.values()),
            left_open=sum("the station ended before" in reason for _, _, reason in rows),
            recovered=self._recovered,
            intact=self._intact,
            ready_s=(round(times[len(times) // 2], 2), round(times[-1], 2)),
        )
