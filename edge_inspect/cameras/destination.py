"""Where a camera's driver puts the pixels it copies: new memory, or memory of the station where the camera is isolated.

A camera that calls `new_pixels` for its one copy out of the driver's buffer has no second one when it runs in a child process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from edge_inspect.datatypes import UInt8Image

_offered: list[UInt8Image] = []


def new_pixels(height: int, width: int, channels: int) -> UInt8Image:
    """Writable memory for one frame, (H, W, C) uint8; what is in it is of no meaning. Only for the thread that grabs."""
    size = height * width * channels
    if _offered and _offered[-1].size >= size:
        return _offered.pop()[:size].reshape(height, width, channels)
    return np.empty((height, width, channels), np.uint8)


@contextmanager
def offered(memory: UInt8Image) -> Iterator[None]:
    """The next `new_pixels` takes its place in this memory (N,) if it is large enough."""
    _offered.append(memory)
    try:
        yield
    finally:
        _offered.clear()
