"""Files that a power cut leaves whole: on the disk, and under their name, when the call returns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

ASIDE_MARK = ".damaged-"
FILE_MODE = 0o640
"""What a station writes can be read by its group, changed by its user only, whatever the umask of who starts it allows."""

FOLDER_MODE = 0o750


def make_folder(folder: Path) -> None:
    """Make a folder, and those it lies in, where they are missing; each new one is closed to others. One that exists stays as it is.

    Raises:
        OSError: it cannot be made, or a file stands there.
    """
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        missing.mkdir(mode=FOLDER_MODE, exist_ok=True)
    folder.mkdir(exist_ok=True)


def write_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file and wait until its content is on the disk; a new one gets `mode`, less what the umask takes away.

    Raises:
        OSError: the disk is full, read-only or broken.
    """
    with opened_for_writing(path, os.O_WRONLY | os.O_TRUNC, mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a file in one step: a reader sees the old one or the new one, and a power cut keeps the new one from here on.

    Args:
        path: the file.
        content: all of it.
        mode: of the new file, less what the umask takes away; what others must read, such as thresholds, is not for the group only.

    Raises:
        OSError: the disk is full, read-only or broken; the old file is still there.
    """
    write_file(_beside(path), content, mode=mode)
    _beside(path).replace(path)
    sync_folder(path.parent)


def open_for_group(path: Path, flags: int) -> BinaryIO:
    """Open a file for writing, made with `FILE_MODE` where it is missing.

    Raises:
        OSError: it cannot be opened.
    """
    return opened_for_writing(path, flags, FILE_MODE)


def opened_for_writing(path: Path, flags: int, mode: int) -> BinaryIO:
    """Open a file for writing; a new one gets `mode`, less what the umask takes away.

    Raises:
        OSError: it cannot be opened.
    """
    return os.fdopen(os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, mode), "ab" if flags & os.O_APPEND else "wb")


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Replace several files, one after the other in this order, once the content of all of them is on the disk.

    A disk that is full is noticed before the first is touched. A power cut in between leaves the first ones new and the others old.

    Raises:
        OSError: the disk is full, read-only or broken; what had been replaced is put back, as far as the disk lets it be.
    """
    before = {path: path.read_bytes() if path.exists() else None for path in contents}
    replaced: list[Path] = []
    try:
        for path, content in contents.items():
            write_file(_beside(path), content)
        for path in contents:
            _beside(path).replace(path)
            replaced.append(path)
            sync_folder(path.parent)
    except OSError:
        _put_back({path: before[path] for path in replaced})
        with suppress(OSError):
            for path in contents:
                _beside(path).unlink(missing_ok=True)
        raise


def _put_back(contents: Mapping[Path, bytes | None]) -> None:
    """Newest first, as if time ran backwards: each state in between is one that a power cut could have left."""
    for path, content in reversed(list(contents.items())):
        with suppress(OSError):
            if content is None:
                path.unlink()
            else:
                _beside(path).write_bytes(content)
                _beside(path).replace(path)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def aside_name(path: Path, mark: str = ASIDE_MARK) -> Path:
    """A name beside the file that nothing has yet, with the time: a clock that jumped back must not overwrite an older one."""
    stamp = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    names = (path.with_name(f"{path.name}{mark}{stamp}{'' if count == 0 else f'.{count}'}") for count in range(1000))
    return next(name for name in names if not name.exists())


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
