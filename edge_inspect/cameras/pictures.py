"""Read a picture file into pixels, or say in one sentence why it cannot be inspected.

Shared by the folder camera, `teach` and `demo`, so that a part is taught on the same pixels it is inspected on. Nothing is
guessed: a file cut short, damaged, or with more than eight bits per channel is refused, never repaired or rescaled.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import CameraError, ConfigError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
Channels = Literal[1, 3]

_JPEG_START = b"\xff\xd8"
_JPEG_END = 0xD9
# Inside coded data 0xFF is followed by 0x00 (a data byte), D0..D7 (a restart) or 0xFF (fill); anything else is a marker.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPE_AT = 25
_PNG_GREY_ALPHA = 4


def read_picture(path: Path) -> UInt8Image:
    """Read one picture file.

    Grey stays one channel, colour comes as RGB, transparency is dropped. An EXIF orientation is ignored: an inspection
    station works in the sensor's own coordinates. Of a file with several pages the first is read.

    Returns:
        Pixels (H, W, C) uint8, C is 1 or 3 (RGB), read-only.

    Raises:
        CameraError: the file cannot be read, is empty, cut short, damaged, no picture, or has more than 8 bits per channel.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise CameraError(f"{path}: cannot be read: {error.strerror}; check the path and the permissions") from error
    return decode_picture(encoded, where=str(path))


def decode_picture(encoded: bytes, *, where: str) -> UInt8Image:
    """Decode a picture file held in memory, as `read_picture` does; `where` names it in the message.

    Raises:
        CameraError: the bytes are no whole 8-bit picture.
    """
    if not encoded:
        raise CameraError(f"{where}: is empty (0 bytes); save the picture again")
    if is_jpeg_cut_short(encoded):
        raise CameraError(f"{where}: is cut short after {len(encoded)} bytes (no end-of-image marker); save the picture again")
    decoded = _decode(encoded)
    if decoded is None:
        raise CameraError(f"{where}: is damaged, cut short or no picture ({len(encoded)} bytes); save the picture again")
    if decoded.dtype != np.uint8:
        raise CameraError(f"{where}: has {decoded.dtype} pixels, wanted uint8; save it with 8 bits per channel")
    return read_only(_in_rgb(decoded[..., :1] if _is_grey_with_alpha(encoded) else decoded))


def part_name(name: str, part_of: re.Pattern[str]) -> str:
    """The physical part that a file name tells: the pattern's first group in it.

    Raises:
        ConfigError: the pattern is not found in the name, or has no group.
    """
    found = part_of.search(name)
    if found is None or not found.groups():
        raise ConfigError(f"{name}: the pattern {part_of.pattern!r} does not find a part's name in it; it needs one group, as (\\d+)_")
    return found.group(1)


def is_jpeg_cut_short(encoded: bytes) -> bool:
    """Whether a JPEG lacks its end. False for every other format: their decoders refuse a file cut short themselves.

    libjpeg answers a baseline JPEG that stops in the middle with a picture whose rest is grey, and OpenCV before 5 passes it
    on as good. Looking for the end marker anywhere does not do: an embedded preview has one of its own. So the segments are
    walked by their lengths, and the coded data by its markers.
    """
    if not encoded.startswith(_JPEG_START):
        return False
    return not any(marker == _JPEG_END for marker in _jpeg_markers(encoded))


def with_channels(pixels: UInt8Image, channels: Channels | None) -> UInt8Image:
    """The same picture with 1 or 3 channels: grey is repeated, RGB becomes luminance (0.299 R + 0.587 G + 0.114 B).

    None leaves it as it is. The result is read-only.
    """
    if channels is None or pixels.shape[2] == channels:
        return read_only(pixels)
    code = cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY
    return read_only(_three_axes(cv2.cvtColor(pixels, code)))


def rgb_from_bgr(decoded: npt.NDArray[Any]) -> UInt8Image:
    """What OpenCV decoded, (H, W) grey, (H, W, 3) BGR or (H, W, 4) BGRA uint8, as read-only (H, W, C) grey or RGB."""
    return read_only(_in_rgb(decoded))


def hash_pixels(pixels: UInt8Image) -> str:
    """SHA-256 of a picture's shape and pixels: the same for the same picture, whatever file it came in."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read_only(pixels: UInt8Image) -> UInt8Image:
    """The same array, contiguous and locked, since a frame is shared by everything that looks at it."""
    whole = np.ascontiguousarray(pixels)
    whole.setflags(write=False)
    return whole


def list_pictures(folder: Path, *, recursive: bool = False) -> tuple[Path, ...]:
    """The picture files of a folder in natural name order (`part 9.png` before `part 10.png`); hidden files are left out.

    Raises:
        CameraError: no such folder, not readable, or no picture in it.
    """
    try:
        found = sorted(_picture_files(folder, recursive), key=lambda path: natural_order(path.relative_to(folder).as_posix()))
    except OSError as error:
        raise CameraError(f"{error.filename}: cannot be listed: {error.strerror}; give an existing, readable folder") from error
    if not found:
        suffixes = " ".join(sorted(PICTURE_SUFFIXES))
        raise CameraError(f"{folder}: has no picture; wanted at least one file of {suffixes}{'' if recursive else ', or set recursive'}")
    return tuple(found)


def natural_order(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key that counts digits as numbers; names that differ only in leading zeros keep a fixed order."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(piece) if at % 2 else piece for at, piece in enumerate(pieces)), name


def _picture_files(folder: Path, recursive: bool) -> Iterator[Path]:
    # os.walk and not rglob: rglob leaves out a sub-folder it may not read without a word.
    for here, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        yield from (Path(here, name) for name in files if _is_picture_name(name))


def _is_picture_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def _raise(error: OSError) -> None:
    raise error


def _jpeg_markers(encoded: bytes) -> Iterator[int]:
    at = len(_JPEG_START)
    while found := _JPEG_MARKER.search(encoded, at):
        yield found[1][0]
        # Every marker but the last is followed by the length of its segment; coded data then runs up to the next marker.
        at = found.end() + int.from_bytes(encoded[found.end() : found.end() + 2], "big")


def _decode(encoded: bytes) -> npt.NDArray[Any] | None:
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _is_grey_with_alpha(encoded: bytes) -> bool:
    """OpenCV makes four equal-looking channels of a grey PNG with transparency."""
    return encoded.startswith(_PNG_START) and encoded[_PNG_COLOUR_TYPE_AT] == _PNG_GREY_ALPHA


def _in_rgb(decoded: npt.NDArray[Any]) -> UInt8Image:
    pixels = _three_axes(decoded)
    if pixels.shape[2] == 1:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _three_axes(pixels: npt.NDArray[Any]) -> UInt8Image:
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
