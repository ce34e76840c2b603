"""A file that only takes up room, so that there is room to be had when the disk is full nonetheless.

On a full disk even deleting can fail (SQLite needs room for a DELETE, some file systems for an unlink). Dropping the
ballast makes room at once, for every record on the same disk.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from edge_inspect.outputs.disk import FILE_MODE

_log = logging.getLogger(__name__)


class Ballast:
    """Takes up `size` bytes of a disk, or has been dropped."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._refused = False

    @property
    def standing(self) -> int:
        """Bytes taken up now."""
        with suppress(FileNotFoundError):
            return self._path.stat().st_size
        return 0

    def take(self, free: int) -> None:
        """Take up the room where as much again stays free; otherwise leave things as they are.

        A file system that refuses is told once in the log: pictures are recorded without a ballast too.

        Args:
            free: bytes free on the disk.

        Raises:
            OSError: the folder is missing or cannot be written.
        """
        if self.standing == self._size or free < 2 * self._size:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError as error:
            self._path.unlink()
            self._tell_once(error)
        finally:
            os.close(descriptor)

    def drop(self) -> None:
        """Give the room back.

        Raises:
            OSError: the file cannot be deleted.
        """
        if self.standing:
            self._path.unlink()
            _log.warning("%s: the disk is full: dropped %d bytes of ballast; free space on this disk", self._path, self._size)

    def _tell_once(self, error: OSError) -> None:
        if not self._refused:
            _log.warning("%s: no ballast of %d bytes: %s; this disk can fill up to its last byte", self._path, self._size, error.strerror)
        self._refused = True
