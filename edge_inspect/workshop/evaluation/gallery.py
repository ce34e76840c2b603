"""Pictures of the worst mistakes: the part as it came, and beside it with heat map and the outline of the true defect."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.cameras.pictures import read_picture, with_channels
from edge_inspect.datatypes import CellMask, UInt8Image
from edge_inspect.errors import CameraError
from edge_inspect.outputs.heat import colours, levels_from_scores, tint
from edge_inspect.workshop.evaluation.judging import Judged
from edge_inspect.workshop.evaluation.labelled import read_mask
from edge_inspect.workshop.evaluation.pixels import frame_scores

SHOWN = 6
"""Pictures of each side."""

LONGEST_PX = 360
QUALITY = 88
OUTLINE_COLOUR = "#ff46dc"
"""A colour that no score has."""

_OUTLINE, _RIM = tuple(bytes.fromhex(OUTLINE_COLOUR[1:])), (20, 20, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One judged picture on show; `plain` and `heat` are data URIs of JPEG pictures of one size."""

    judged: Judged
    plain: str
    heat: str


def highest_good(judged: Sequence[Judged], pixel_threshold: float) -> tuple[Exhibit, ...]:
    """The good parts with the highest scores, highest first."""
    good = sorted(_scored(judged, good=True), key=_score, reverse=True)
    return tuple(_exhibit(one, pixel_threshold) for one in good[:SHOWN])


def lowest_defective(judged: Sequence[Judged], pixel_threshold: float) -> tuple[Exhibit, ...]:
    """The defective parts with the lowest scores, lowest first."""
    defective = sorted(_scored(judged, good=False), key=_score)
    return tuple(_exhibit(one, pixel_threshold) for one in defective[:SHOWN])


def scale_picture() -> str:
    """The colours of the heat scale as a data URI, lowest on the left."""
    return _data_uri(np.repeat(colours()[None], 12, axis=0), "png")


def heat_picture(pixels: UInt8Image, judged: Judged, pixel_threshold: float) -> UInt8Image:
    """The frame under its heat map, with the true defect outlined where a mask says where it is.

    The scale is that of the station's pictures, fixed to the threshold and not to the picture.

    Args:
        pixels: the frame (H, W, C) uint8.
        judged: what was said of it.
        pixel_threshold: engine units.

    Returns:
        (H', W', 3) uint8 RGB, `LONGEST_PX` long.
    """
    picture = _resized(with_channels(pixels, 3)).copy()
    if judged.seen is not None:
        scores = frame_scores(judged.seen, width=judged.frame_width, height=judged.frame_height)
        tint(picture, _resized(levels_from_scores(scores, pixel_threshold)))
    _draw_outline(picture, _mask(judged))
    return picture


def _exhibit(judged: Judged, pixel_threshold: float) -> Exhibit:
    pixels = read_picture(judged.image.picture)
    plain = _resized(with_channels(pixels, 3))
    return Exhibit(judged=judged, plain=_data_uri(plain, "jpeg"), heat=_data_uri(heat_picture(pixels, judged, pixel_threshold), "jpeg"))


def _scored(judged: Sequence[Judged], *, good: bool) -> list[Judged]:
    return [one for one in judged if one.image.good is good and one.score is not None]


def _score(judged: Judged) -> float:
    assert judged.score is not None
    return judged.score


def _resized(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    factor = LONGEST_PX / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST), np.uint8)


def _mask(judged: Judged) -> CellMask | None:
    try:
        return read_mask(judged.image, width=judged.frame_width, height=judged.frame_height)
    except CameraError:
        return None


def _draw_outline(picture: UInt8Image, mask: CellMask | None) -> None:
    """A line with a dark rim around each defect, which itself stays free."""
    if mask is None or not mask.any():
        return
    covered = (_resized(mask.astype(np.uint8) * 255) > 0).astype(np.uint8)
    near, line, rim = (cv2.dilate(covered, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) for reach in (5, 11, 13))
    picture[(rim > near)] = _RIM
    picture[(line > near)] = _OUTLINE


def _data_uri(picture: npt.NDArray[np.uint8], kind: str) -> str:
    """The picture (H, W, 3) RGB packed as "jpeg" or "png"."""
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if kind == "jpeg" else []
    _, packed = cv2.imencode(f".{kind}", np.ascontiguousarray(picture[:, :, ::-1]), options)
    return f"data:image/{kind};base64,{base64.b64encode(packed.tobytes()).decode('ascii')}"
