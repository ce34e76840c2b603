"""A part as the network saw it, and beside it with its heat, for the report."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from edge_inspect.cameras.pictures import with_channels
from edge_inspect.datatypes import UInt8Image
from edge_inspect.field.calibration.parts import Part
from edge_inspect.outputs.heat import levels_from_scores, tint

LONGEST_PX = 300
QUALITY = 88


def pair(part: Part, pixel_threshold: float) -> tuple[str, str] | None:
    """Plain and with heat, as data URIs of JPEG pictures; the scale is fixed to the threshold. None where no frame is left."""
    if part.image is None or part.scored is None:
        return None
    plain = _resized(with_channels(part.image, 3))
    heat = plain.copy()
    levels = levels_from_scores(np.where(part.scored.searched, part.scored.scores.map, -np.inf), pixel_threshold)
    tint(heat, np.asarray(cv2.resize(levels, (heat.shape[1], heat.shape[0]), interpolation=cv2.INTER_LINEAR), np.uint8))
    return _uri(plain), _uri(heat)


def _resized(image: UInt8Image) -> UInt8Image:
    height, width = image.shape[:2]
    factor = LONGEST_PX / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC), np.uint8)


def _uri(picture: UInt8Image) -> str:
    _, packed = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(packed.tobytes()).decode('ascii')}"
