"""The station's own count: never repeats and never goes back, also after kill -9 and without a database.

Numbers are reserved ahead in blocks, so that the file is written once a block and not once a part; what a crash leaves
of its block is skipped.
"""

from __future__ import annotations

from pathlib import Path

from edge_inspect.durable import replace_file
from edge_inspect.errors import OutputError

BLOCK = 1000


class Sequence:
    """Gives 1, 2, 3, ...; after a crash it goes on at the next block."""

    def __init__(self, path: Path, *, recorded: int = 0) -> None:
        """Go on after what the file holds, or after `recorded`, the highest number in the records, where that is higher.

        Raises:
            OutputError: the file cannot be read.
        """
        self._path = path
        self._last = max(_read(path), recorded)
        self._reserved = self._last
        self.alarm = ""
        """Why numbers are not reserved now (a crash could then repeat them); "" while all is well."""

    def next(self) -> int:
        """The next number. A disk that refuses the reservation stops no verdict: it sets `alarm` and is tried again."""
        if self._last >= self._reserved:
            self._reserve()
        self._last += 1
        return self._last

    def _reserve(self) -> None:
        try:
            _write(self._path, self._last + BLOCK)
        except OutputError as error:
            self.alarm = str(error)
        else:
            self._reserved = self._last + BLOCK
            self.alarm = ""

    def close(self) -> None:
        """Give back what is left of the block.

        Raises:
            OutputError: the file cannot be written; the rest of the block is skipped at the next start.
        """
        _write(self._path, self._last)
        self._reserved = self._last


def _read(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: the station's count cannot be read: {error}; restore it, or write the last number used into it"
        ) from error


def _write(path: Path, value: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, f"{value}\n".encode())
    except OSError as error:
        raise OutputError(f"{path}: the station's count cannot be written: {error.strerror}; check space and permissions") from error
