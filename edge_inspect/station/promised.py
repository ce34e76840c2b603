"""The note of what the PLC is told, kept until the records have it: after kill -9 the next start records what was said and no more.

A verdict goes to the PLC first and to the records then (the reject gate waits, a disk may stall). Between the two lies this note: a few
lines in a file, written before the PLC can see the verdict and emptied when the records stand. It is never waited for: the file lies
where no disk is (`RUNTIME_DIRECTORY`, a tmpfs, under systemd), and a kill -9 loses nothing that a `write` took. A power cut does:
docs/service.md says what.

Lines are JSON: `{"part": record}` by the loop (first as the FAULT that it is if nothing more comes, then with its verdict), `{"told":
[acquisition, verdict, why]}` by the wire, for each result it makes, also those that it makes by itself, and `{"counted": acquisition}`
before the PLC can see that its trigger was. In front of them stands `{"decides": {...}}`: recipe, hashes and version of the program that
were in force, so that a part of which the loop had not seen anything yet is recorded with them too.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edge_inspect import __version__
from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.durable import replace_file
from edge_inspect.outputs.disk import FILE_MODE, write_whole
from edge_inspect.outputs.records import Record, record_from_inspection

FILE = "promised.jsonl"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides, as the records name it; the keys are theirs. "" for what was not open yet."""

    recipe: str = ""
    engine_sha256: str = ""
    calibration_id: str = ""
    recipe_sha256: str = ""
    software: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the wire has let the PLC see of one acquisition, and what was in force then."""

    verdict: str
    why: str
    identity: Identity = Identity()


@dataclass(frozen=True, slots=True)
class Left:
    """What a process that was killed has left behind.

    Attributes:
        parts: the last line of each part that the wire tells of, oldest first.
        told: by acquisition, what the PLC could see.
        counted: acquisitions that the PLC could see counted, and what was in force then.
        settled: parts whose line is all there is: no wire tells, or an earlier start has settled them.
    """

    parts: tuple[Record, ...]
    told: Mapping[int, Told]
    counted: Mapping[int, Identity]
    settled: tuple[Record, ...]


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
        self._identity = Identity(software=__version__)
        self._head = _encoded(_head(self._identity))
        self._headed = self._torn = False
        self.alarm = ""

    def begin(self, *, wire_tells: bool, owed: bool = False) -> None:
        """Write into the note from here on, emptied unless a record is still owed what stands in it.

        Args:
            wire_tells: the wire calls `told`.
            owed: some record does not hold yet what an earlier start has settled.
        """
        self._wire_tells = wire_tells
        with self._lock:
            self._unrecorded.clear()
            self._headed = False
            if owed:
                self._append(_head(self._identity))
            else:
                self._empty()

    def decides(self, identity: Identity) -> None:
        """This is in force from here on."""
        with self._lock:
            if identity != self._identity:
                self._identity, self._headed = identity, False
                self._head = _encoded(_head(identity))
                self._append(_head(identity))

    def expect(self, inspection: Inspection) -> None:
        """This is about to be told, or is what to record should nothing more be heard of the part."""
        record = record_from_inspection(inspection, station=self._station)
        with self._lock:
            self._append({"part": record, "wire": self._wire_tells})

    def told(self, acquisition: int, verdict: Verdict | None, why: str) -> None:
        """The PLC is about to see this result; without a verdict, that its trigger has been counted."""
        with self._lock:
            self._unrecorded.add(acquisition)
            self._append({"counted": acquisition} if verdict is None else {"told": [acquisition, verdict.value, why]})

    def recorded(self, inspection: Inspection, *, owed: bool = False) -> None:
        """The records have this part, or it waits for one of them (`owed`); when they have all, the note is emptied."""
        with self._lock:
            self._unrecorded.discard(inspection.acquisition)
            if not (owed or self._unrecorded):
                self._empty()

    def caught_up(self) -> None:
        """The records have what waited."""
        with self._lock:
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
                self._write(self._opened(self._path), line)

    def _write(self, file: int, line: Mapping[str, Any]) -> None:
        """A line that was cut short spoils itself only."""
        content = b"\n" * self._torn + _encoded(line)
        self._torn = True
        write_whole(file, content)
        self._torn = False

    def _empty(self) -> None:
        """All but what decides, which is written anew only when it has changed."""
        with self._alarming():
            if self._path is None:
                return
            file = self._opened(self._path)
            if self._headed:
                os.ftruncate(file, len(self._head))
                return
            os.ftruncate(file, 0)
            self._torn = False
            self._write(file, _head(self._identity))
            self._headed = True

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


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line).encode("ascii") + b"\n"


def _head(identity: Identity) -> Mapping[str, Any]:
    return {"decides": asdict(identity)}


def promised_path(data: Path) -> Path:
    """Where the note lies: in the service's runtime folder, which is memory, or in the data folder where no service runs."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return (Path(given) if given else data) / FILE


def read_left(path: Path) -> Left:
    """What stands in the note. A last line cut short was never told; a note that is no note says nothing.

    Nothing is raised: a station must start with a note that cannot be read.
    """
    parts: dict[int, tuple[Record, bool]] = {}
    told: dict[int, Told] = {}
    counted: dict[int, Identity] = {}
    identity = Identity()
    with suppress(OSError):
        for line in path.read_bytes().split(b"\n")[:-1]:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                entry = json.loads(line)
                if "decides" in entry:
                    identity = Identity(**{field.name: str(entry["decides"].get(field.name, "")) for field in fields(Identity)})
                elif "counted" in entry:
                    counted[int(entry["counted"])] = identity
                elif "told" in entry:
                    acquisition, verdict, why = entry["told"]
                    told[int(acquisition)] = Told(Verdict(verdict).value, str(why), identity)
                else:
                    parts[int(entry["part"]["sequence"])] = entry["part"], bool(entry["wire"])
    open_parts, settled = ([record for record, wire in parts.values() if wire is of_wire] for of_wire in (True, False))
    return Left(tuple(open_parts), told, counted, tuple(settled))


def settle(path: Path, inspections: Sequence[Inspection], *, station: str) -> None:
    """Put these in the place of what the note says, in one step; a note that cannot be written is told in the log."""
    lines = [json.dumps({"part": record_from_inspection(inspection, station=station), "wire": False}) + "\n" for inspection in inspections]
    if not lines:
        return
    try:
        replace_file(path, "".join(lines).encode("ascii"))
    except OSError as error:
        _log.warning("%s: cannot be settled: %s; a second crash now may record its parts twice", path, error.strerror)
