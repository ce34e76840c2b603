"""The station's own count: never repeats and never goes back, also after kill -9, without a database, and with a spoiled file.

Numbers are reserved ahead in blocks, so that the file is written once a block and not once a part; what a crash leaves
of its block is skipped.
"""

from __future__ import annotations

import logging
from pathlib import Path

from edge_inspect.durable import FILE_MODE, aside_name, make_folder, replace_file
from edge_inspect.errors import OutputError
from edge_inspect.events import Event, fields
from edge_inspect.outputs.aside import newest_aside

BLOCK = 1000
HIGHEST = 2**62
"""A file that names a higher number is damaged: SQLite's counts end at 2**63 - 1."""

_log = logging.getLogger(__name__)


class Sequence:
    """Gives 1, 2, 3, ...; after a crash it goes on at the next block."""

    def __init__(self, path: Path, *, recorded: int = 0) -> None:
        """Go on after what the file holds, or after `recorded`, the highest number that stands anywhere else, where that is higher.

        A file that cannot be read is put aside; the count then goes on a whole block beyond `recorded`.
        """
        self._path = path
        self._unwritten = ""
        self._last = max(self._read(recorded), recorded)
        self._reserved = self._last
        self._aside = newest_aside(path)

    @property
    def alarm(self) -> str:
        """Why a crash now could repeat numbers, or what file lies aside; "" while all is well."""
        if self._aside is not None and not self._aside.exists():
            self._aside = newest_aside(self._path)
        if self._unwritten or self._aside is None:
            return self._unwritten
        return (
            f"{self._path} was damaged and lies aside as {self._aside.name}; the count went on beyond every record: look at the disk, "
            "and move that file away, which ends this alarm"
        )

    def next(self) -> int:
        """The next number. A disk that refuses the reservation stops no verdict: it sets `alarm` and is tried again."""
        if self._last >= self._reserved:
            self._reserve()
        self._last += 1
        return self._last

    def close(self) -> None:
        """Give back what is left of the block; where that cannot be written, it is skipped at the next start."""
        try:
            _write(self._path, self._last)
        except OutputError as error:
            _log.warning("%s", error)
        else:
            self._reserved = self._last

    def _reserve(self) -> None:
        try:
            _write(self._path, self._last + BLOCK)
        except OutputError as error:
            self._unwritten = str(error)
        else:
            self._reserved = self._last + BLOCK
            self._unwritten = ""

    def _read(self, recorded: int) -> int:
        try:
            found = int(self._path.read_text(encoding="ascii"))
            if not 0 <= found <= HIGHEST:
                raise ValueError(f"{found} is no count")
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            self._put_aside(error)
            return recorded + BLOCK
        return found

    def _put_aside(self, error: Exception) -> None:
        """The next number is written into a new file in any case; where the old one cannot be moved, that is told."""
        aside = aside_name(self._path)
        try:
            self._path.rename(aside)
        except OSError as refused:
            _log.error("%s: the station's count cannot be read: %s; nor be put aside: %s", self._path, error, refused.strerror)
        else:
            said = fields(Event.PUT_ASIDE, file=self._path)
            _log.error("%s: the station's count cannot be read: %s; put aside as %s", self._path, error, aside.name, extra=said)


def _write(path: Path, value: int) -> None:
    try:
        make_folder(path.parent)
        replace_file(path, f"{value}\n".encode(), mode=FILE_MODE)
    except OSError as error:
        raise OutputError(f"{path}: the station's count cannot be written: {error.strerror}; check space and permissions") from error
