"""From the pixels of a GenICam camera to those of a frame, in one pass: a copy, a shift or a demosaicing, into memory that is given.

Mono12 is scaled: eight of its twelve bits are kept (value // 16), as the network takes eight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.cameras.destination import new_pixels
from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import CameraError

Raw = npt.NDArray[Any]
_Convert = Callable[[Raw, UInt8Image], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one format lies in memory, and how it becomes a frame; `shape` is behind height and width."""

    type: str
    shape: tuple[int, ...]
    channels: int
    convert: _Convert


def _copied(raw: Raw, pixels: UInt8Image) -> None:
    np.copyto(pixels, raw.reshape(pixels.shape))


def _shifted(raw: Raw, pixels: UInt8Image) -> None:
    np.right_shift(raw, 4, out=pixels[..., 0], casting="unsafe")


def _by_opencv(code: int) -> _Convert:
    def convert(raw: Raw, pixels: UInt8Image) -> None:
        cv2.cvtColor(raw, code, dst=pixels)

    return convert


_GREY = Layout("u1", (), 1, _copied)
_RGB = Layout("u1", (3,), 3, _copied)
_BGR = Layout("u1", (3,), 3, _by_opencv(cv2.COLOR_BGR2RGB))
CONVERTIBLE = {
    "Mono8": _GREY,
    "Mono12": Layout("<u2", (), 1, _shifted),
    "RGB8": _RGB,
    "RGB8Packed": _RGB,
    "BGR8": _BGR,
    "BGR8Packed": _BGR,
    "BayerRG8": Layout("u1", (), 3, _by_opencv(cv2.COLOR_BayerRGGB2RGB)),
    "BayerGR8": Layout("u1", (), 3, _by_opencv(cv2.COLOR_BayerGRBG2RGB)),
    "BayerGB8": Layout("u1", (), 3, _by_opencv(cv2.COLOR_BayerGBRG2RGB)),
    "BayerBG8": Layout("u1", (), 3, _by_opencv(cv2.COLOR_BayerBGGR2RGB)),
}
"""By GenICam's names, and the older ones of them."""


def frame_pixels(buffer: memoryview | npt.NDArray[np.uint8], pixel_format: str, width: int, height: int) -> UInt8Image:
    """The one copy out of a driver's buffer.

    Args:
        buffer: of the driver, without padding.
        pixel_format: one of `CONVERTIBLE`.
        width: image width [px].
        height: image height [px].

    Returns:
        (H, W, C) uint8, read-only; nothing of the buffer is referred to any more.

    Raises:
        CameraError: the buffer is too small for such an image, or the format is another one.
    """
    layout = CONVERTIBLE.get(pixel_format)
    if layout is None:
        raise CameraError(f"delivers {pixel_format}, wanted one of {', '.join(sorted(CONVERTIBLE))}; set pixel_format")
    shape = (height, width, *layout.shape)
    whole = np.frombuffer(buffer, np.uint8)
    size = int(np.prod(shape)) * np.dtype(layout.type).itemsize
    if whole.size < size:
        raise CameraError(f"delivers {whole.size} bytes, wanted {size} for {width} x {height} {pixel_format}; look at the camera's link")
    pixels = new_pixels(height, width, layout.channels)
    layout.convert(whole[:size].view(layout.type).reshape(shape), pixels)
    pixels.setflags(write=False)
    return pixels
