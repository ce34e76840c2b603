"""How many pictures stay: a folder's pictures oldest first, their running total, and the rules by which the oldest go.

The folder is read once, when it is opened; from then on the bytes are kept by adding and subtracting. Pictures lie in
folders of a thousand sequences, so that one is found by its sequence without a search: `<sequence // 1000>/<sequence>_...`.
Sequences never go back, so the oldest are in the folder of the lowest number, and only that one's pictures are held in memory.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.errors import OutputError
from edge_inspect.outputs.ballast import Ballast
from edge_inspect.outputs.disk import NO_ROOM

BALLAST_FILE = ".ballast"
UNFINISHED_SUFFIX = ".unfinished"
_PER_FOLDER = 1000
_FOLDER = re.compile(r"\d{7,}")
_PICTURE = re.compile(r"\d{10,}_(OK|NG|FAULT)_(raw\.png|annotated\.jpg)")
_NEARLY_FULL = 8  # the ballast is dropped when less than this part of the reserve is free: before SQLite meets the last byte


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    path: Path
    size: int
    written_s: float


class Retention:
    """The pictures of one folder and the room they may take."""

    def __init__(self, folder: Path, *, quota: int, keep_s: float | None, reserve: int) -> None:
        self._folder = folder
        self._quota = quota
        self._keep_s = keep_s
        self._reserve = reserve
        self._ballast = Ballast(folder / BALLAST_FILE, reserve)
        self._bytes: dict[int, int] = {}
        self._oldest_first: deque[_Picture] = deque()
        self.total = 0
        """Bytes of all pictures."""

    def scan(self) -> None:
        """Read the folder anew; remove what a power cut left unfinished. Files of other names are left alone.

        Raises:
            OSError: the folder cannot be read.
        """
        self._bytes = {number: sum(picture.size for picture in pictures) for number, pictures in _pictures_in(self._folder)}
        self._oldest_first.clear()
        self.total = sum(self._bytes.values())

    def make_room(self, wanted: int) -> None:
        """Let the oldest pictures go until `wanted` more bytes keep to age, quota and reserve.

        The reserve belongs to the other records on this disk: where pruning cannot give it back, no picture is written.

        Raises:
            OSError: a picture cannot be deleted.
            OutputError: there is no room, with what to do.
        """
        self._refuse_larger_than_quota(wanted)
        self._prune_old()
        while self._over(wanted) and (oldest := self._oldest()):
            self._prune(oldest)
        self._trim_ballast(wanted)
        if wanted:
            self._refuse_without_room(wanted)

    def make_room_now(self, wanted: int) -> None:
        """After the disk was full nonetheless: give up the ballast and as many of the oldest pictures as were wanted.

        Raises:
            OSError: a file cannot be deleted.
        """
        self._ballast.drop()
        before = self.total
        while before - self.total < wanted and (oldest := self._oldest()):
            self._prune(oldest)

    def add(self, path: Path, size: int) -> None:
        """Count a picture that has been written."""
        self._count(int(path.parent.name), size)

    def _over(self, wanted: int) -> bool:
        return self.total + wanted > self._quota or self._free() < self._reserve + wanted

    def _prune_old(self) -> None:
        if self._keep_s is not None:
            too_old = time.time() - self._keep_s
            while (oldest := self._oldest()) and oldest.written_s < too_old:
                self._prune(oldest)

    def _oldest(self) -> _Picture | None:
        """The oldest picture, if there is one; the folder it is in is read when the one before is used up."""
        while not self._oldest_first and self._bytes:
            number = min(self._bytes)
            folder = self._folder / _folder_name(number)
            with suppress(FileNotFoundError):  # somebody has cleared away
                self._oldest_first.extend(sorted(_pictures_of(folder), key=lambda picture: (picture.written_s, picture.path.name)))
            self._count(number, sum(picture.size for picture in self._oldest_first) - self._bytes[number])
            if not self._oldest_first:
                del self._bytes[number]
                with suppress(OSError):
                    folder.rmdir()
        return self._oldest_first[0] if self._oldest_first else None

    def _count(self, number: int, size: int) -> None:
        self._bytes[number] = self._bytes.get(number, 0) + size
        self.total += size

    def _prune(self, oldest: _Picture) -> None:
        try:
            oldest.path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._ballast.drop()  # this file system needs room to delete
            oldest.path.unlink(missing_ok=True)
        self._oldest_first.popleft()
        self._count(int(oldest.path.parent.name), -oldest.size)
        with suppress(OSError):  # the last picture of its thousand takes the folder along
            oldest.path.parent.rmdir()

    def _trim_ballast(self, wanted: int) -> None:
        free = self._free()
        if free < self._reserve // _NEARLY_FULL:
            self._ballast.drop()
        else:
            self._ballast.take(free - wanted)

    def _refuse_larger_than_quota(self, wanted: int) -> None:
        if wanted > self._quota:
            raise OutputError(
                f"{self._folder}: pictures of {wanted / 1e6:.1f} MB are larger than the quota of {self._quota / 1e6:.1f} MB; raise quota_mb"
            )

    def _refuse_without_room(self, wanted: int) -> None:
        free = self._free()
        if free < self._reserve + wanted:
            raise OutputError(
                f"{self._folder}: no picture is kept: {free / 1e6:.1f} MB are free on this disk, {self._reserve / 1e6:.1f} MB are "
                "reserved for the other records; free space, and pictures are kept again by themselves"
            )

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free


def thousand_of(sequence: int) -> str:
    """Name of the folder in which the pictures of an inspection lie."""
    return _folder_name(sequence // _PER_FOLDER)


def _folder_name(number: int) -> str:
    return f"{number:07d}"


def _pictures_in(folder: Path) -> Iterator[tuple[int, Iterator[_Picture]]]:
    with os.scandir(folder) as thousands:
        for thousand in thousands:
            if _FOLDER.fullmatch(thousand.name) and thousand.is_dir(follow_symlinks=False):
                yield int(thousand.name), _pictures_of(thousand)


def _pictures_of(thousand: os.PathLike[str]) -> Iterator[_Picture]:
    with os.scandir(thousand) as files:
        for file in files:
            if file.name.endswith(UNFINISHED_SUFFIX):
                Path(file.path).unlink()
            elif _PICTURE.fullmatch(file.name):
                status = file.stat(follow_symlinks=False)
                yield _Picture(path=Path(file.path), size=status.st_size, written_s=status.st_mtime)
