"""Appends to the record's files; the chain goes on from one file to the next.

A batch of lines goes to the disk in one append and one sync. What fails is taken back, so that what was reported as not written never turns
up. After kill -9 or a power cut an unfinished last line is cut off, and an entry says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edge_inspect.audit.entry import Draft, draft_of, entry_of
from edge_inspect.audit.lines import Link, NotAsWritten, chain_files, links_in, number_of
from edge_inspect.chained import FIRST, line_of, sha256_of
from edge_inspect.datatypes import Action, Deed, Outcome
from edge_inspect.durable import FOLDER_MODE, sync_folder
from edge_inspect.outputs.disk import FILE_MODE, write_whole


class Chain:
    """The record in one folder. Used by one thread; the station's lock keeps other processes away.

    Attributes:
        last: the newest entry on the disk, None before the first.
        broken: what was not as it was written when the record was taken up, else "".
    """

    def __init__(self, folder: Path, *, rotate_bytes: int, keep: int) -> None:
        """Nothing is opened yet."""
        self.last: Link | None = None
        self.broken = ""
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._path: Path | None = None
        self._file: int | None = None
        self._sound: tuple[Path, int] | None = None  # a file that could not be cut back, and its size without what failed
        self._findings: dict[str, Draft] = {}

    def append(self, drafts: Sequence[Draft]) -> None:
        """Write entries; they are on the disk when this returns.

        Raises:
            OSError: none of them stands in the record. The next call tries again.
        """
        file = self.take_up()
        if os.fstat(file).st_size >= self._rotate_bytes:
            file = self._next_file()
        doomed = chain_files(self._folder)[: -self._keep]
        self._write(file, [*self._findings.values(), *self._retirement(doomed), *drafts])
        self._findings.clear()
        for path in doomed:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the next `append` opens it again."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    # ---- writing ----

    def _write(self, file: int, drafts: Sequence[Draft]) -> None:
        last, lines = self.last, []
        for draft in drafts:
            number, previous = (1, FIRST) if last is None else (last.entry.number + 1, last.sha256)
            entry = entry_of(draft, number=number, previous=previous)
            last = Link(entry, sha256_of(entry.text))
            lines.append(line_of(entry.text))
        size = os.fstat(file).st_size
        try:
            write_whole(file, b"".join(lines))
            os.fdatasync(file)
        except OSError:
            self._take_back(file, size)
            raise
        self.last = last

    def _take_back(self, file: int, size: int) -> None:
        try:
            os.ftruncate(file, size)
        except OSError:  # a broken disk may refuse: it is done before the next line
            if self._path is not None:
                self._sound = self._path, size
            self.close()

    # ---- opening ----

    def take_up(self) -> int:
        """The open file; where none is open, the newest, verified. One that is not as it was written is left, and a new one begun.

        Raises:
            OSError: the folder or the file cannot be read or made.
        """
        if self._file is not None and self._path is not None and _stands(self._path, self._file):
            return self._file
        self.close()
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if self._sound is not None:
            os.truncate(*self._sound)
            self._sound = None
        paths = chain_files(self._folder)
        try:
            found = self._newest(paths)
            if self.last is not None and found != self.last:
                raise NotAsWritten("it does not end with the last entry that was written")
        except NotAsWritten as error:
            return self._begin_anew(paths, str(error))
        self.last = found
        return self._open(paths[-1]) if paths else self._next_file()

    def _newest(self, paths: Sequence[Path]) -> Link | None:
        for path in reversed(paths):
            content = path.read_bytes()
            if links := list(links_in(content, None)):
                self._cut(path, content)
                return links[-1]
            self._cut(path, content)
        return None

    def _cut(self, path: Path, content: bytes) -> None:
        sound = content.rfind(b"\n") + 1
        if sound < len(content):
            os.truncate(path, sound)
            reason = f"{len(content) - sound} bytes of a line that was never finished were cut off: the station was killed there"
            self._find(Outcome.DONE, path.name, reason)

    def _begin_anew(self, paths: Sequence[Path], why: str) -> int:
        where = paths[-1].name if paths else self._folder.name
        self.last = None
        self.broken = f"{where}: {why}"
        self._find(Outcome.FAILED, where, f"not as it was written: {why}; a new chain begins here")
        return self._next_file()

    def _find(self, outcome: Outcome, subject: str, reason: str) -> None:
        self._findings[reason] = draft_of(Action(deed=Deed.RECORD, outcome=outcome, subject=subject, reason=reason))

    def _next_file(self) -> int:
        self.close()
        paths = chain_files(self._folder)
        if paths and not paths[-1].stat().st_size:
            return self._open(paths[-1])
        file = self._open(self._folder / f"audit-{number_of(paths[-1]) + 1 if paths else 1:06d}.jsonl")
        sync_folder(self._folder)
        return file

    def _open(self, path: Path) -> int:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        return self._file

    # ---- retention ----

    def _retirement(self, doomed: Sequence[Path]) -> list[Draft]:
        """Written before the files go: what is missing without such an entry was taken out by somebody else."""
        if not doomed:
            return []
        retired_to = _last_number(doomed[-1])
        reason = f"{self._keep} files are kept"
        action = Action(deed=Deed.RECORD, outcome=Outcome.DONE, subject=f"entries to #{retired_to} given up", reason=reason)
        return [draft_of(action, retired_to=retired_to)]


def _stands(path: Path, file: int) -> bool:
    """Whether the open file still stands under its name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _last_number(path: Path) -> int:
    last = 0
    try:
        for link in links_in(path.read_bytes(), None):
            last = link.entry.number
    except NotAsWritten:
        pass
    return last
