"""What the outputs that write files share: whole writes, one writer per place, and a sentence for each way a disk fails."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from edge_inspect.durable import FILE_MODE
from edge_inspect.errors import OutputError

__all__ = ["FILE_MODE", "NO_ROOM", "lock", "output_error", "write_whole"]

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers that freed space answers."""

_ADVICE = {
    errno.ENOSPC: "free space on this disk; recording goes on by itself",
    errno.EDQUOT: "free space within the user's quota; recording goes on by itself",
    errno.EROFS: "the disk is mounted read-only, often after an error of the disk: see dmesg, repair it and mount it again",
    errno.EIO: "the disk is failing: see dmesg and replace it",
    errno.EACCES: "give the station's user the right to write there",
    errno.EPERM: "give the station's user the right to write there",
    errno.ENOTDIR: "a file stands where a folder is wanted: move it away or give another path",
    errno.EEXIST: "a file stands where a folder is wanted: move it away or give another path",
    errno.EISDIR: "a folder stands where a file is wanted: move it away or give another path",
}


def output_error(path: Path, what: str, error: OSError) -> OutputError:
    """The sentence for a failed call of the operating system.

    Args:
        path: where.
        what: what was not done.
        error: why.
    """
    advice = _ADVICE.get(error.errno or 0, "check the path and the disk")
    return OutputError(f"{path}: {what}: {error.strerror or error}; {advice}")


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of it. After an error a part of it may stand in the file; the caller takes that back.

    Raises:
        OSError: the disk is full, read-only or broken.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def lock(path: Path) -> int:
    """Be the only writer; a kill -9 lets go too.

    Taking back a failed line and counting a folder's bytes are only right where nobody else writes.

    Args:
        path: the lock file; made where it is missing, never deleted.

    Returns:
        The descriptor that holds the lock; closing it lets go.

    Raises:
        OSError: the file cannot be made.
        OutputError: another writer holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise OutputError(f"{path}: another output or program records here; stop it, or give this one another path") from error
        raise
    return descriptor
