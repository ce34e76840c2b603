"""The log: one JSON object per line in `inspections.jsonl`, rotated by size. Keys: `records.record_from_inspection`.

A line goes to the operating system in one append before `emit` returns, without a buffer of Python between: a kill -9
loses nothing that was acknowledged, and a line that failed never turns up later. `fsync: true` holds against a power cut too.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edge_inspect.datatypes import Inspection
from edge_inspect.durable import make_folder, sync_folder
from edge_inspect.outputs.disk import FILE_MODE, lock, output_error, write_whole
from edge_inspect.outputs.records import record_from_inspection

CURRENT_FILE = "inspections.jsonl"
_ROTATED = re.compile(r"inspections-(\d{6,})\.jsonl")
_BLOCK = 1 << 16
_LOOKED_THROUGH = 1 << 25  # more than what may wait for a disk (`catching_up.py`) takes
_REMEMBERED_FOR = 1_000  # lines; what is asked after a crash is asked before or between its first ones
_SEQUENCE = re.compile(rb'"sequence": (\d+), ')

_log = logging.getLogger(__name__)


@contextmanager
def open_jsonl(
    *,
    station: str,
    path: Path,
    rotate_mb: Annotated[float, Field(gt=0)] = 50,
    keep: Annotated[int, Field(ge=0)] = 20,
    fsync: bool = False,
) -> Iterator[JsonLines]:
    """Open the log.

    Args:
        station: name of the station, given by it.
        path: folder of the log; made where it is missing.
        rotate_mb: size at which the file is put aside as `inspections-<number>.jsonl` [MB]; a higher number is newer.
        keep: how many files put aside stay; the oldest go.
        fsync: wait for the disk at each line, so that a power cut loses nothing either.

    Raises:
        OutputError: the folder cannot be written, or another program logs there.
    """
    log = JsonLines(station=station, folder=path, rotate_bytes=int(rotate_mb * 1e6), keep=keep, fsync=fsync)
    try:
        log.open()
        yield log
    finally:
        log.close()


class JsonLines:
    """An `Output` into a folder of JSON lines. Used by one thread at a time."""

    def __init__(self, *, station: str, folder: Path, rotate_bytes: int, keep: int, fsync: bool) -> None:
        self._station = station
        self._folder = folder
        self._path = folder / CURRENT_FILE
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._fsync = fsync
        self._lock: int | None = None
        self._file: int | None = None
        self._held: set[int] | None = None  # what stands in the newest files, once somebody has asked
        self._lines_since_asked = 0
        self._sound: tuple[int, int] | None = None  # inode and size when a line failed: nothing beyond counts

    def open(self) -> None:
        """Open the file, and cut off a line left unfinished by a power cut.

        Raises:
            OutputError: the folder cannot be written, or another program logs there.
        """
        try:
            self._open()
        except OSError as error:
            raise output_error(self._path, "the log cannot be opened", error) from error

    def close(self) -> None:
        """Close the file; the next `emit` would open it again."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    def emit(self, inspection: Inspection) -> None:
        """Append one line; it is with the operating system (with `fsync`: on the disk) when this returns.

        Raises:
            OutputError: the line does not stand in the log, and will not later. The next call starts from scratch.
        """
        record = record_from_inspection(inspection, station=self._station)
        line = json.dumps(record, allow_nan=False).encode("ascii") + b"\n"
        try:
            self._append(line)
        except OSError as error:
            self.close()  # the next call opens the file again, and cuts what does not count
            raise output_error(self._path, f"inspection {inspection.sequence} was not logged", error) from error
        self._remember(inspection.sequence)

    def _remember(self, sequence: int) -> None:
        """Only where somebody has asked, which happens after a crash, and not for ever."""
        if self._held is not None:
            self._held.add(sequence)
            self._lines_since_asked += 1
            if self._lines_since_asked >= _REMEMBERED_FOR:
                self._held = None

    def holds(self, sequence: int) -> bool:
        """Whether an inspection of this count stands among the newest lines (32 MB of this file and of the one before).

        Raises:
            OutputError: the log cannot be read.
        """
        try:
            if self._held is None:
                self._held = {found for file in self._newest_files() for found in _last_sequences(file)}
        except OSError as error:
            raise output_error(self._path, f"inspection {sequence} cannot be looked for", error) from error
        self._lines_since_asked = 0
        return sequence in self._held

    def _newest_files(self) -> list[Path]:
        aside = sorted(self._put_aside())[-1:]
        return [self._path, *(self._folder / f"inspections-{number:06d}.jsonl" for number in aside)]

    def _append(self, line: bytes) -> None:
        file = self._opened()
        size = os.fstat(file).st_size
        if size and size + len(line) > self._rotate_bytes:
            file, size = self._rotate(), 0
        try:
            write_whole(file, line)
            if self._fsync:
                os.fdatasync(file)
        except OSError:
            self._take_back(file, size)
            raise

    def _take_back(self, file: int, size: int) -> None:
        self._sound = os.fstat(file).st_ino, size
        with suppress(OSError):  # a broken disk may refuse: then `_cut_unsound` does it when the disk is back
            os.ftruncate(file, size)

    def _opened(self) -> int:
        """The open file, opened again where it is closed, deleted, or replaced behind our back."""
        if self._file is not None:
            with suppress(FileNotFoundError, NotADirectoryError):
                if os.path.samestat(self._path.stat(), os.fstat(self._file)):
                    return self._file
        return self._open()

    def _open(self) -> int:
        self.close()
        make_folder(self._folder)
        self._lock = lock(self._folder / ".jsonl.lock")
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._cut_unsound(self._file)
        if self._fsync:
            sync_folder(self._folder)
        return self._file

    def _cut_unsound(self, file: int) -> None:
        """Cut what was never acknowledged: an unfinished last line, or one that failed and could not be taken back."""
        status = os.fstat(file)
        end = _end_of_last_line(file, status.st_size)
        if self._sound is not None and self._sound[0] == status.st_ino:
            end = min(end, self._sound[1])
        if end < status.st_size:
            cut = os.pread(file, min(status.st_size - end, 200), end)
            os.ftruncate(file, end)
            _log.warning("%s: cut off %d bytes that were never acknowledged, beginning %r", self._path, status.st_size - end, cut)
        self._sound = None

    def _rotate(self) -> int:
        aside = self._put_aside()
        number = 1 + max(aside, default=0)
        self._path.rename(self._folder / f"inspections-{number:06d}.jsonl")
        oldest_first = sorted([*aside, number])
        for old in oldest_first[: max(0, len(oldest_first) - self._keep)]:
            (self._folder / f"inspections-{old:06d}.jsonl").unlink()
        return self._open()

    def _put_aside(self) -> list[int]:
        """Numbers of the files put aside. They order the files, not a clock: an edge box may boot in 1970."""
        return [int(match[1]) for file in self._folder.iterdir() if (match := _ROTATED.fullmatch(file.name))]


def last_logged(folder: Path) -> int:
    """The highest count among the newest lines of a log; 0 where there are none or it cannot be read."""
    newest = sorted(folder.glob("inspections-*.jsonl"))[-1:]
    with suppress(OSError):
        return max(
            (last for file in (folder / CURRENT_FILE, *newest) if file.exists() for last in _last_sequences(file, _BLOCK)), default=0
        )
    return 0


def _last_sequences(path: Path, looked_through: int = _LOOKED_THROUGH) -> set[int]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - looked_through))
        return set(map(int, _SEQUENCE.findall(file.read())))


def _end_of_last_line(file: int, size: int) -> int:
    """Offset behind the last line end, read from the back."""
    while size > 0:
        start = max(0, size - _BLOCK)
        found = os.pread(file, size - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        size = start
    return 0
