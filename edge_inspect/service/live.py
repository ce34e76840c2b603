"""The live status file: what `edge-inspect status` shows of a running station.

The station tells it of every inspection and every alarm; it is written in one step at most every half second, so that a
reader sees a whole file and the line pays next to nothing. systemd hears the same in one line.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge_inspect import __version__
from edge_inspect.config import Recipe
from edge_inspect.datatypes import Inspection, Latency, Verdict
from edge_inspect.durable import make_folder, open_for_group
from edge_inspect.errors import EdgeInspectError, OutputError
from edge_inspect.service.systemd import Systemd, systemd_from_environment

log = logging.getLogger(__name__)

STATUS_FILE = "status.json"
WRITE_EVERY_S = 0.5
STALE_AFTER_S = 5.0
LATENCIES_KEPT = 1000
STAGES = ("wait", "place", "infer", "find", "decide", "emit", "verdict")


class Watcher(Protocol):
    """Hears what the status hears, in the loop's thread."""

    def note(self, inspection: Inspection) -> None:
        """One inspection."""

    def alarm(self, source: str, stands: bool) -> None:
        """An alarm was raised or changed, or is over."""


class LiveStatus:
    """What the station is doing, told by the station itself."""

    def __init__(self, path: Path, *, station: str, systemd: Systemd | None = None) -> None:
        self._path = path
        self._systemd = systemd or Systemd()
        self._station = station
        self._started_at = _now()
        self._state = "starting"
        self._serving: dict[str, str] = {}
        self._counts = {verdict.value: 0 for verdict in Verdict}
        self._last: dict[str, Any] | None = None
        self._latencies: deque[Latency] = deque(maxlen=LATENCIES_KEPT)
        self._alarms: dict[str, dict[str, str]] = {}
        self._challenge: dict[str, str | None] | None = None
        self._written_s = 0.0
        self._watchers: list[Watcher] = []
        self._beside: dict[str, Callable[[], dict[str, Any]]] = {}

    @property
    def now(self) -> str:
        """The state last said."""
        return self._state

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` too, from here on; it hears first which alarms stand."""
        self._watchers.append(watcher)
        for source in self._alarms:
            watcher.alarm(source, stands=True)

    def beside(self, name: str, summary: Callable[[], dict[str, Any]]) -> None:
        """Show what `summary` gives under `name` in the status file, from here on."""
        self._beside[name] = summary

    @property
    def counts(self) -> dict[str, int]:
        """Verdicts since start, by name."""
        return dict(self._counts)

    @property
    def alarms(self) -> dict[str, str]:
        """What stands now, by source."""
        return {source: alarm["text"] for source, alarm in self._alarms.items()}

    def state(self, state: str) -> None:
        """Say `starting`, `ready`, `challenge due`, `challenge`, `reloading`, `stopping` or `stopped`; written at once.

        systemd is told. For it a station that waits for golden parts has started: it must not be restarted for that.
        """
        self._state = state
        self._write()
        started = dict.fromkeys(("ready", "challenge due", "challenge"), self._systemd.ready)
        tell = {**started, "reloading": self._systemd.reloading, "stopping": self._systemd.stopping}
        tell.get(state, self._systemd.say)(self.line())

    def serving(self, recipe: Recipe, *, engine_sha256: str, calibration_id: str) -> None:
        """Say what the station inspects with."""
        self._serving = {"recipe": recipe.part, "engine_sha256": engine_sha256, "calibration_id": calibration_id}

    def challenged(self, *, due: str, until: datetime | None) -> None:
        """Say why golden parts are due ("" where they are not), and until when those that have passed count."""
        self._challenge = {"due": due, "until": None if until is None else until.isoformat(timespec="seconds")}

    def note(self, inspection: Inspection) -> None:
        """Count one inspection."""
        self._counts[inspection.verdict.value] += 1
        for watcher in self._watchers:
            watcher.note(inspection)
        if inspection.score is not None:
            self._latencies.append(inspection.latency)
        self._last = {
            "sequence": inspection.sequence,
            "part_id": inspection.part_id,
            "taken_at": inspection.taken_at.isoformat(),
            "verdict": inspection.verdict.value,
            "reason": inspection.reason,
            "score": inspection.score,
            "threshold": inspection.threshold,
            "regions": len(inspection.regions),
        }

    def alarm(self, source: str, text: str) -> bool:
        """Raise the alarm of `source`, or clear it with "". True when something changed."""
        if text == self.alarms.get(source, ""):
            return False
        if text:
            self._alarms[source] = {"text": text, "since": self._alarms.get(source, {}).get("since", _now())}
        else:
            del self._alarms[source]
        for watcher in self._watchers:
            watcher.alarm(source, stands=bool(text))
        return True

    def beat(self) -> None:
        """Called once a cycle, also on an idle line: feeds systemd's watchdog, and writes the file when it is due."""
        self._systemd.beat()
        if time.monotonic() - self._written_s >= WRITE_EVERY_S:
            self._write()
            self._systemd.say(self.line())

    def line(self) -> str:
        """All of it in one line for an operator: state, alarms, counts, last part."""
        alarms = "; ".join(f"ALARM {source}: {text}" for source, text in self.alarms.items())
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self._counts.items())
        last = f"; last part {self._last['sequence']} {self._last['verdict']}: {self._last['reason']}" if self._last else ""
        return f"{self._state}; {alarms or 'no alarms'}; {sum(self._counts.values())} parts: {counts}{last}"

    def _write(self) -> None:
        self._written_s = time.monotonic()
        beside = self._path.with_name(self._path.name + ".new")
        try:
            with open_for_group(beside, os.O_WRONLY | os.O_TRUNC) as file:
                file.write(json.dumps(self._snapshot()).encode() + b"\n")
            beside.replace(self._path)
        except OSError as error:
            self._own_alarm(f"{self._path}: cannot be written: {error.strerror}; check space and permissions")
        else:
            self._own_alarm("")

    def _own_alarm(self, text: str) -> None:
        if self.alarm("status file", text):
            log.warning("alarm: status file: %s", text or "over")

    def _snapshot(self) -> dict[str, Any]:
        return {
            "station": self._station,
            "pid": os.getpid(),
            "software": __version__,
            "state": self._state,
            "started_at": self._started_at,
            "updated_at": _now(),
            **self._serving,
            "challenge": self._challenge,
            "counts": self._counts,
            "last": self._last,
            "latency_ms": percentiles_by_stage(self._latencies),
            "alarms": self._alarms,
            **{name: summary() for name, summary in self._beside.items()},
        }


def read_status(path: Path) -> dict[str, Any]:
    """Read a status file; `state` becomes `not running` when nobody has written it for five seconds after its last word.

    Raises:
        EdgeInspectError: there is none, or it is not a status file.
    """
    try:
        status: dict[str, Any] = json.loads(path.read_bytes())
        age_s = (datetime.now(timezone.utc) - datetime.fromisoformat(status["updated_at"])).total_seconds()
    except OSError as error:
        raise EdgeInspectError(f"{path}: cannot be read: {error.strerror}; has the station ever run with this data folder?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeInspectError(f"{path}: not a status file: {error}; a running station writes a new one") from error
    if status["state"] != "stopped" and age_s > STALE_AFTER_S:
        status["state"] = "not running"
    return status | {"age_s": round(age_s, 1)}


def percentiles_by_stage(latencies: deque[Latency]) -> dict[str, dict[str, float]]:
    """p50, p95, p99 and max [ms] of each stage, of the inspections kept; empty when there were none."""
    if not latencies:
        return {}
    table = np.array([[getattr(latency, stage) for stage in STAGES] for latency in latencies], dtype=np.float64) / 1e6
    ranks = np.percentile(table, (50, 95, 99, 100), axis=0).round(3)
    return {stage: dict(zip(("p50", "p95", "p99", "max"), map(float, ranks[:, i]), strict=True)) for i, stage in enumerate(STAGES)}


def open_status(data: Path, *, station: str) -> LiveStatus:
    """Make the data folder and the status in it.

    Raises:
        OutputError: the data folder cannot be made or written.
    """
    try:
        make_folder(data)
    except OSError as error:
        raise OutputError(f"{data}: cannot be made: {error.strerror}; check `data` in the station file and the permissions") from error
    return LiveStatus(data / STATUS_FILE, station=station, systemd=systemd_from_environment())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
