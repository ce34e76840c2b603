"""The note of what the PLC is told, kept until the records have it: after kill -9 the next start records what was said and no more.

A verdict goes to the PLC first and to the records then (the reject gate waits, a disk may stall). Between the two lies this note: a few
lines in a file, written before the PLC can see the verdict and emptied when the records stand. It is never waited for: the file lies
where no disk is (`RUNTIME_DIRECTORY`, a tmpfs, under systemd), and a kill -9 loses nothing that a `write` took. A power cut does:
docs/service.md says what.

Lines are JSON: `{"part": record}` by the loop (first as the FAULT that it is if nothing more comes, then with its verdict), `{"told":
[acquisition, verdict, why]}` by the wire, for each result it makes, also those that it makes by itself.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.durable import replace_file
from edge_inspect.outputs.disk import FILE_MODE, write_whole
from edge_inspect.outputs.records import Record, record_from_inspection

FILE = "promised.jsonl"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What the wire has let the PLC see of one acquisition."""

    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """What a process that was killed has left behind.

    Attributes:
        parts: the last line of each part, oldest first.
        told: by acquisition, what the PLC could see.
        wire_told: whether the wire noted what it told; else a part's line is all there is.
    """

    parts: tuple[Record, ...]
    told: Mapping[int, Told]
    wire_told: bool


class Promised:
    """The note of one station. `told` is called by the wire's threads, everything else by the loop.

    Attributes:
        alarm: why nothing can be noted now, "" while all is well.
    """

    def __init__(self, path: Path | None, *, station: str) -> None:
        """Nothing is opened yet; None notes nothing."""
        self._path = path
        self._station = station
        self._lock = threading.Lock()
        self._file: int | None = None
        self._unrecorded: set[int] = set()
        self._wire_tells = False
        self.alarm = ""

    def begin(self, *, wire_tells: bool) -> None:
        """Empty the note and write into it from here on; `wire_tells` says that the wire calls `told`."""
        self._wire_tells = wire_tells
        with self._lock:
            self._unrecorded.clear()
            self._empty()

    def expect(self, inspection: Inspection) -> None:
        """This is about to be told, or is what to record should nothing more be heard of the part."""
        record = record_from_inspection(inspection, station=self._station)
        with self._lock:
            self._append({"part": record, "wire": self._wire_tells})

    def told(self, acquisition: int, verdict: Verdict, why: str) -> None:
        """The PLC is about to see this result."""
        with self._lock:
            self._unrecorded.add(acquisition)
            self._append({"told": [acquisition, verdict.value, why]})

    def recorded(self, inspection: Inspection) -> None:
        """The records have this part; when they have all, the note is emptied."""
        with self._lock:
            self._unrecorded.discard(inspection.acquisition)
            if not self._unrecorded:
                self._empty()

    def close(self) -> None:
        """Stop writing."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file, self._path = None, None

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._alarming():
            if self._path is not None:
                write_whole(self._opened(self._path), json.dumps(line).encode("ascii") + b"\n")

    def _empty(self) -> None:
        with self._alarming():
            if self._path is not None:
                os.ftruncate(self._opened(self._path), 0)

    def _opened(self, path: Path) -> int:
        if self._file is None:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        return self._file

    @contextmanager
    def _alarming(self) -> Iterator[None]:
        """A note that cannot be written holds up no verdict: it is an alarm."""
        try:
            yield
            self.alarm = ""
        except OSError as error:
            self.alarm = (
                f"{self._path}: what the PLC is told cannot be noted: {error.strerror}; a crash now may lose the record of one part"
            )


def promised_path(data: Path) -> Path:
    """Where the note lies: in the service's runtime folder, which is memory, or in the data folder where no service runs."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return (Path(given) if given else data) / FILE


def read_left(path: Path) -> Left:
    """What stands in the note. A last line cut short was never told; a note that is no note says nothing.

    Nothing is raised: a station must start with a note that cannot be read.
    """
    parts: dict[int, Record] = {}
    told: dict[int, Told] = {}
    wire_told = False
    with suppress(OSError):
        for line in path.read_bytes().split(b"\n")[:-1]:
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                if "told" in entry:
                    acquisition, verdict, why = entry["told"]
                    told[int(acquisition)] = Told(Verdict(verdict).value, str(why))
                else:
                    parts[int(entry["part"]["sequence"])] = entry["part"]
                    wire_told = wire_told or bool(entry["wire"])
    return Left(tuple(parts.values()), told, wire_told or bool(told))


def settle(path: Path, inspections: Sequence[Inspection], *, station: str) -> None:
    """Put these in the place of what the note says, in one step; a note that cannot be written is told in the log."""
    lines = [json.dumps({"part": record_from_inspection(inspection, station=station), "wire": False}) + "\n" for inspection in inspections]
    if not lines:
        return
    try:
        replace_file(path, "".join(lines).encode("ascii"))
    except OSError as error:
        _log.warning("%s: cannot be settled: %s; a second crash now may record its parts twice", path, error.strerror)
