"""Files that a power cut leaves whole: on the disk, and under their name, when the call returns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Write a file and wait until its content is on the disk.

    Raises:
        OSError: the disk is full, read-only or broken.
    """
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old one or the new one, and a power cut keeps the new one from here on.

    Raises:
        OSError: the disk is full, read-only or broken; the old file is still there.
    """
    beside = path.with_name(path.name + ".new")
    write_file(beside, content)
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new, renamed and deleted names in the folder survive a power cut.

    Raises:
        OSError: the disk is broken.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Until the end of the block nobody else holds this folder's lock; the kernel lets go of one whose holder dies.

    The lock is on the folder itself, so that no file is left behind. Whoever comes second waits.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
