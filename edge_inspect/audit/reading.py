"""Reads and verifies the record, beside a running station too."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.audit.entry import Entry
from edge_inspect.audit.lines import Link, NotAsWritten, chain_files, links_in
from edge_inspect.errors import OutputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What stands in a record.

    Attributes:
        entries: how many are there.
        first: number of the oldest; those before were given up by the record's own retention, or `problems` says so.
        last: the newest, None without one.
        problems: what is not as it was written, a sentence each.
    """

    entries: int
    first: int
    last: Link | None
    problems: tuple[str, ...]


def verify(folder: Path, *, known: tuple[int, str] = (0, "")) -> Found:
    """Read every entry and hold it against the hash that the next one carries.

    Args:
        folder: of the record.
        known: number and hash of an entry that must be there; taken from somewhere else, it shows a tail that was cut off.

    Raises:
        OutputError: the record cannot be read.
    """
    book = _Book(known)
    for path in _files(folder):
        book.read(path)
    return book.found()


class _Book:
    """Reads file after file; a broken one is told, and the next begins anew."""

    def __init__(self, known: tuple[int, str]) -> None:
        self._known = known
        self._before: Link | None = None
        self._first = self._count = self._retired_to = 0
        self._seen_known = known[0] == 0
        self._problems: list[str] = []

    def read(self, path: Path) -> None:
        broken = False
        try:
            for link in links_in(_content(path), self._before):
                self._take(link)
        except NotAsWritten as error:
            self._problems.append(f"{path}: {error}: the audit record is not as it was written; find out who changed it and keep the file")
            broken = True
        if broken:
            self._before = None

    def found(self) -> Found:
        if self._count and self._first > self._retired_to + 1:
            self._problems.append(f"the record begins with entry #{self._first}, and nothing in it says that those before were given up")
        if not self._seen_known:
            number, sha256 = self._known
            self._problems.append(
                f"entry #{number} ({sha256}) was written and is not there: the end was cut off, or another record put in its place"
            )
        return Found(entries=self._count, first=self._first, last=self._before, problems=tuple(self._problems))

    def _take(self, link: Link) -> None:
        self._count += 1
        self._first = self._first or link.entry.number
        self._retired_to = max(self._retired_to, link.entry.retired_to or 0)
        self._seen_known = self._seen_known or (link.entry.number, link.sha256) == self._known
        self._before = link


def last_entries(folder: Path, count: int) -> list[Entry]:
    """The newest entries, oldest of them first; a file that is not as it was written gives those before the broken line.

    Raises:
        OutputError: the record cannot be read.
    """
    newest: deque[Entry] = deque()
    for path in reversed(_files(folder)):
        newest.extendleft(reversed(_readable(path)))
        if len(newest) >= count:
            break
    return list(newest)[-count:] if count else []


def _readable(path: Path) -> list[Entry]:
    def entries() -> Iterator[Entry]:
        with suppress(NotAsWritten):
            for link in links_in(_content(path), None):
                yield link.entry

    return list(entries())


def _files(folder: Path) -> list[Path]:
    try:
        return chain_files(folder)
    except OSError as error:
        raise OutputError(f"{folder}: the audit record cannot be read: {error.strerror}; has the station run with this data?") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # the running station has given it up meanwhile
        return b""
    except OSError as error:
        raise OutputError(
            f"{path}: the audit record cannot be read: {error.strerror}; do it as the station's user or in its group"
        ) from error
