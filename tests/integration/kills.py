"""Kill -9 at random under load and while starting, and what became of each part: what the PLC saw, what the database and the log hold.

Used by the test with a few kills and by `tools/measure-service kills N` with hundreds.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_inspect import __version__
from edge_inspect.config import load_recipe, load_station
from edge_inspect.errors import EdgeInspectError, PlcError
from edge_inspect.field.fake_plc import FakePlc, Misbehaviour
from edge_inspect.model_folder import MODEL_FILE
from edge_inspect.service.live import STATUS_FILE, read_status
from edge_inspect.thresholds import load_thresholds

READY_S = 60
LONGEST_LIFE_S = 0.4
"""A process is killed at a random instant within this time after its first trigger [s]."""
ONE_WHILE_STARTING = 3
"""One of so many lives ends before Ready: at a random instant of the time that the start before took."""


class Row(NamedTuple):
    """One part as a record has it."""

    sequence: int
    acquisition: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Life:
    """One process that got Ready: what the PLC saw of it, and the rows that stand in the database since.

    Attributes:
        counted: acquisitions that the PLC saw counted.
        reported: acquisition and verdict of the results that the PLC read.
        rows: parts in the database, as they were written.
    """

    counted: Sequence[int]
    reported: Sequence[tuple[int, str]]
    rows: Sequence[Row]

    @property
    def lost(self) -> int:
        """Results that the PLC read and the database does not hold, or holds with another verdict."""
        held = {(row.acquisition, row.verdict) for row in self.rows}
        return sum(result not in held for result in self.reported)

    @property
    def doubled(self) -> int:
        """Parts that the database holds twice."""
        return len(self.rows) - len({row.acquisition for row in self.rows})

    def missing(self, logged: Counter[Row]) -> int:
        """Acquisitions that the PLC saw counted, without exactly one row in the database that stands exactly once in the log."""
        rows = Counter(row.acquisition for row in self.rows)
        whole = {row.acquisition for row in self.rows if rows[row.acquisition] == 1 and logged[row] == 1}
        return len(set(self.counted) - whole)


@dataclass(frozen=True, slots=True)
class Toll:
    """What came of it.

    Attributes:
        kills: processes killed.
        while_starting: of these before they were Ready.
        counted: acquisitions that the PLC saw counted.
        missing: of these without exactly one row in database and log.
        reported: results that the PLC read.
        recorded: parts in the database.
        lost: results that the PLC read and the database does not hold, or holds with another verdict.
        doubled: parts that the database holds twice.
        log_differs: parts that log and database do not agree on.
        left_open: triggers that were recorded as FAULT because the process ended before their verdict.
        recovered: records written by the start after a kill for the database.
        unnamed: parts whose record names not exactly this software, engine, thresholds and recipe.
        intact: whether SQLite found nothing wrong at each start.
        ready_s: time from start to Ready, median and longest [s].
    """

    kills: int
    while_starting: int
    counted: int
    missing: int
    reported: int
    recorded: int
    lost: int
    doubled: int
    log_differs: int
    left_open: int
    recovered: int
    unnamed: int
    intact: bool
    ready_s: tuple[float, float]


class Killing:
    """A station's folder whose process is killed again and again."""

    def __init__(self, folder: Path, *, port: int, seed: int) -> None:
        self._folder, self._port, self._chance = folder, port, random.Random(seed)
        self._counted: list[int] = []
        self._reported: list[tuple[int, str]] = []
        self._lives: list[Life] = []
        self._seen = 0
        self._intact = True
        self._ready_s: list[float] = []

    def go(self, kills: int) -> Toll:
        """Kill so many processes; one more start records what the last kill left."""
        while_starting = set(self._chance.sample(range(1, kills), kills // ONE_WHILE_STARTING))
        for number in range(kills):
            if number in while_starting:
                self._kill_while_starting()
            else:
                with self._ready_process() as process:
                    self._account()
                    self._load_and_kill(process)
        with self._ready_process():
            self._account()
        return self._toll(kills, while_starting=len(while_starting))

    @contextmanager
    def _process(self):
        command = [sys.executable, "-m", "edge_inspect", "run", "--station", "station.yaml"]
        with (self._folder / "stderr").open("ab") as log, subprocess.Popen(command, cwd=self._folder, stderr=log) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def _ready_process(self):
        started = time.monotonic()
        with self._process() as process:
            self._wait_until_ready(process)
            self._ready_s.append(time.monotonic() - started)
            yield process

    def _kill_while_starting(self) -> None:
        """In an import, in the recovery, while the engine opens: nobody knows."""
        until = time.monotonic() + self._chance.uniform(0, self._ready_s[-1])
        with self._process() as process:
            while time.monotonic() < until and not self._is_ready(process.pid):
                assert process.poll() is None, f"ended by itself: {self._said()[-2000:]}"
                time.sleep(0.002)

    def _said(self) -> str:
        return (self._folder / "stderr").read_text(errors="replace")

    def _wait_until_ready(self, process) -> None:
        until = time.monotonic() + READY_S
        while not self._is_ready(process.pid):
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"not ready: {self._said()[-2000:]}")
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
        self._counted = list(plc.counted)
        self._reported = [(answer.acquisition, answer.verdict.value) for answer in plc.answers]

    def _account(self) -> None:
        """All rows that are new belong to the process that was loaded last: those after it were killed before they saw a part."""
        with closing(sqlite3.connect(self._folder / "data" / "inspections.sqlite")) as database:
            self._intact = self._intact and database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = database.execute("SELECT sequence, acquisition, verdict FROM inspections ORDER BY rowid").fetchall()
        new = [Row(*row) for row in rows[self._seen :]]
        self._lives.append(Life(self._counted, self._reported, new))
        self._counted, self._reported, self._seen = [], [], len(rows)

    def _toll(self, kills: int, *, while_starting: int) -> Toll:
        with closing(sqlite3.connect(self._folder / "data" / "inspections.sqlite")) as database:
            reasons = [reason for (reason,) in database.execute("SELECT reason FROM inspections")]
            named = database.execute("SELECT software, engine_sha256, calibration_id, recipe_sha256 FROM inspections").fetchall()
        recorded = Counter(row for life in self._lives for row in life.rows)
        logged = logged_rows(self._folder / "data" / "log")
        serving = identity_of(self._folder / "station.yaml")
        times = sorted(self._ready_s)
        return Toll(
            kills=kills,
            while_starting=while_starting,
            counted=sum(len(life.counted) for life in self._lives),
            missing=sum(life.missing(logged) for life in self._lives),
            reported=sum(len(life.reported) for life in self._lives),
            recorded=len(reasons),
            lost=sum(life.lost for life in self._lives),
            doubled=sum(life.doubled for life in self._lives),
            log_differs=sum((logged - recorded).values()) + sum((recorded - logged).values()),
            left_open=sum("the station ended before" in reason for reason in reasons),
            recovered=self._said().count("WARNING edge_inspect.station.recovery: database"),
            unnamed=sum(names != serving for names in named),
            intact=self._intact,
            ready_s=(round(times[len(times) // 2], 2), round(times[-1], 2)),
        )


def logged_rows(folder: Path) -> Counter[Row]:
    """Every part in a folder of logs, and how often it stands there."""
    lines = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return Counter(Row(line["sequence"], line["acquisition"], line["verdict"]) for line in lines)


def identity_of(station: Path) -> tuple[str, str, str, str]:
    """What every record of a station must name: software, and the hashes of its engine's file, thresholds and recipe."""
    recipe = load_recipe(load_station(station).recipe)
    engine = hashlib.sha256((recipe.engine / MODEL_FILE).read_bytes()).hexdigest()
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=engine, recipe_sha256=recipe.sha256)
    return __version__, engine, thresholds.calibration_id, recipe.whole_sha256
