"""A frame as it came, in a PNG: whole under its name, or not there at all."""

from __future__ import annotations

import errno
from pathlib import Path

import cv2

from edge_inspect.datatypes import UInt8Image
from edge_inspect.durable import FILE_MODE, make_folder, replace_file
from edge_inspect.outputs.disk import output_error

_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1)


def write_raw_picture(path: Path, pixels: UInt8Image) -> int:
    """Write the pixels without loss; gives the file's size [bytes].

    Args:
        path: of the PNG; its folder is made where it is missing.
        pixels: (H, W, C) uint8, C is 1 or 3 (RGB).

    Raises:
        OutputError: the disk is full, read-only or broken; nothing of the picture is left.
    """
    encoded = cv2.imencode(".png", pixels if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _FAST)[1].tobytes()
    try:
        make_folder(path.parent)
        replace_file(path, encoded, mode=FILE_MODE)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            path.with_name(path.name + ".new").unlink(missing_ok=True)
        raise output_error(path, "the picture cannot be written", error) from error
    return len(encoded)
