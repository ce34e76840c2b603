"""Memory that processes share and that has no name in any folder: nothing of it is left when the last of them is gone."""

from __future__ import annotations

import os

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - nothing is named in it


def open_nameless_memory(name: str) -> int:
    """Descriptor of new, empty memory; `name` is only shown to people, where the system shows it.

    A Python that was built for an old glibc (those of conda-forge, and standalone ones) does not have memfd_create.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    return os.open(SHARED_MEMORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
