"""Memory that a library has freed, given back to the system."""

from __future__ import annotations

import ctypes


def give_back_freed_memory() -> None:
    """Let the allocator give back what is free in it; nothing happens where it cannot (musl).

    Compiling a graph frees many times what it keeps, and glibc keeps the holes for ever: 40 MB of a station's with the INT8 flagship.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
