"""What the loop does for the reject gate: it looks at it between two parts, raises its alarm and writes down what it decided by itself.

`gate.jsonl` in the data folder holds a line for each part whose fate at the gate was not simply its verdict, and one for each time the
belt was cleared; `edge-inspect replay` reads it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_inspect.datatypes import Inspection
from edge_inspect.durable import open_for_group
from edge_inspect.gate.driver import Gate
from edge_inspect.gate.parts import Fate, Why
from edge_inspect.service.live import LiveStatus

FILE = "gate.jsonl"
OLDER = ".1"
LARGEST_BYTES = 5_000_000
"""A record of this size is put aside as `gate.jsonl.1`; the one before that goes."""
KNOWN = 4096
WAIT_S = 30.0
"""A part at the gate may be ahead of its own verdict by so much; then it is written without a sequence [s]."""

Alarm = Callable[[str, str], None]


def fate_at_the_gate(data: Path, sequence: int) -> str:
    """What the gate's record says of one inspection; "" where its verdict was all."""
    for path in (data / FILE, data / (FILE + OLDER)):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == "part" and entry.get("sequence") == sequence:
                    return f"{'rejected' if entry['rejected'] else 'NOT rejected'} at the gate: {entry['why']}"
    return ""


class GateWatch:
    """Watches one gate; a watcher of the status. Without a gate it does nothing.

    Args:
        gate: the gate.
        data: the station's data folder.
        status: what shows its counts.
        now_s: a clock [s].
    """

    def __init__(self, gate: Gate | None, *, data: Path, status: LiveStatus, now_s: Callable[[], float] = time.monotonic) -> None:
        self._gate = gate
        self._path = data / FILE
        self._now_s = now_s
        self._known: OrderedDict[int, tuple[int, str]] = OrderedDict()
        self._waiting: deque[tuple[float, Fate]] = deque(maxlen=KNOWN)
        self._counts: dict[str, int] = {}
        if gate is not None:
            status.watch(self)
            status.beside("gate", self.counts)

    def counts(self) -> dict[str, int]:
        """What has happened at the gate as it was last looked at, by name; empty before that."""
        return dict(self._counts)

    def note(self, inspection: Inspection) -> None:
        """Remember under which count of the station an acquisition was recorded."""
        self._known[inspection.acquisition] = (inspection.sequence, inspection.part_id)
        self._known.move_to_end(inspection.acquisition)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def alarm(self, source: str, stands: bool) -> None:
        """Alarms of others are none of its business."""

    def lost(self, reason: str) -> None:
        """A part came that nobody knows the place of."""
        if self._gate is not None:
            self._gate.lost(reason)

    def fail_safe(self) -> None:
        """Reject from now on."""
        if self._gate is not None:
            self._gate.fail_safe()

    def look(self, alarm: Alarm) -> None:
        """Between two parts: alarm, counts and record."""
        if self._gate is None:
            return
        report = self._gate.look()
        alarm("gate", report.alarm)
        self._counts = dict(report.counts)
        now_s = self._now_s()
        self._waiting += ((now_s, fate) for fate in report.fates if fate.why is not Why.VERDICT)
        lines = [*({"event": "cleared", "why": why} for why in report.cleared), *self._parts(now_s)]
        if lines:
            alarm("gate record", self._write(lines))

    def _parts(self, now_s: float) -> Iterator[dict[str, Any]]:
        for _ in range(len(self._waiting)):
            since_s, fate = self._waiting.popleft()
            sequence, part_id = self._known.get(fate.acquisition, (None, ""))
            if sequence is None and fate.acquisition and now_s - since_s < WAIT_S:
                self._waiting.append((since_s, fate))
                continue
            yield {
                "event": "part",
                "sequence": sequence,
                "acquisition": fate.acquisition,
                "part_id": part_id,
                "verdict": None if fate.verdict is None else fate.verdict.value,
                "rejected": fate.rejected,
                "why": fate.text,
            }

    def _write(self, lines: list[dict[str, Any]]) -> str:
        at = {"at": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}
        try:
            if self._path.exists() and self._path.stat().st_size > LARGEST_BYTES:
                self._path.replace(self._path.with_name(FILE + OLDER))
            with open_for_group(self._path, os.O_WRONLY | os.O_APPEND) as file:
                file.write("".join(json.dumps(at | line) + "\n" for line in lines).encode())
        except OSError as error:
            return f"{self._path}: what the gate decided by itself could not be written: {error.strerror}; check space and permissions"
        return ""
