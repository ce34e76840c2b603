"""The picture of a verdict: the frame, its heat map, its regions, and above it a strip that says what was decided and why."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import Affine, Evidence, Frame, Inspection, Placement, Region, UInt8Image
from edge_inspect.errors import OutputError
from edge_inspect.outputs.heat import levels_from_scores, tint
from edge_inspect.outputs.lettering import Colour, put_text, text_width
from edge_inspect.outputs.strip import NARROWEST, draw_strip

Box = tuple[int, int, int, int]

_READABLE_PX = 512  # smaller frames are magnified by a whole number, so that text has room beside the defect
_UNIT_PX = 900  # side of a square picture at which letters and lines begin to grow with it
_LABELLED = 8  # more labels would hide the part; the record has every region
_WHITE: Colour = (250, 250, 250)
_BLACK: Colour = (16, 16, 18)
_GREY: Colour = (190, 194, 200)


def annotate(inspection: Inspection) -> UInt8Image:
    """Draw the verdict.

    Args:
        inspection: one with evidence. Without a threshold there is no scale, so that no heat is drawn.

    Returns:
        (H', W', 3) uint8 RGB: the strip, and below it the frame, magnified by a whole number where it is small.

    Raises:
        OutputError: the inspection has no evidence.
    """
    evidence = inspection.evidence
    if evidence is None:
        raise OutputError(f"inspection {inspection.sequence}: has no frame, so that no picture can be drawn; read its reason")
    factor = _magnification(evidence.frame)
    picture = _magnified(evidence.frame, factor)
    unit = max(1.0, math.sqrt(picture.shape[0] * picture.shape[1]) / _UNIT_PX)
    picture_from_network = _magnifying(factor) @ _square(evidence.placement.affine)
    tint(picture, _warped_levels(evidence, inspection.threshold, picture_from_network, picture))
    _outline_searched(picture, evidence.placement, picture_from_network, unit)
    _mark(picture, inspection.regions, factor, unit)
    return _under_strip(picture, inspection, unit)


def _magnification(frame: Frame) -> int:
    height, width = frame.pixels.shape[:2]
    return max(1, math.ceil(_READABLE_PX / math.sqrt(height * width)))


def _magnified(frame: Frame, factor: int) -> UInt8Image:
    pixels = np.repeat(frame.pixels, 3, axis=2) if frame.pixels.shape[2] == 1 else frame.pixels.copy()
    if factor > 1:
        size = (pixels.shape[1] * factor, pixels.shape[0] * factor)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return pixels


def _magnifying(factor: int) -> Affine:
    """Frame pixel to picture pixel (3, 3); both count from the centre of the top left pixel."""
    shift = (factor - 1) / 2
    return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]], np.float64)


def _square(affine: Affine) -> Affine:
    return np.vstack([affine, [0, 0, 1]])


def _warped_levels(evidence: Evidence, threshold: float | None, picture_from_network: Affine, picture: UInt8Image) -> npt.NDArray[np.uint8]:
    """Places on the colour scale (H, W) for each pixel of the picture; 0 outside of what the network saw."""
    levels = levels_from_scores(evidence.score_map, threshold)
    network = (evidence.placement.width, evidence.placement.height)
    smooth = cv2.resize(levels, network, interpolation=cv2.INTER_CUBIC)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(smooth, picture_from_network[:2], size, flags=cv2.INTER_LINEAR), np.uint8)


def _outline_searched(picture: UInt8Image, placement: Placement, picture_from_network: Affine, unit: float) -> None:
    """Draw what the network saw, unless that is the whole frame."""
    x, y = placement.width - 0.5, placement.height - 0.5
    corners = np.array([[-0.5, -0.5, 1], [x, -0.5, 1], [x, y, 1], [-0.5, y, 1]]) @ picture_from_network[:2].T
    inside = (corners > 1) & (corners < np.array([picture.shape[1], picture.shape[0]]) - 2)
    if inside.any():
        cv2.polylines(picture, [np.rint(corners).astype(np.int32)], True, _GREY, max(1, round(unit)), cv2.LINE_AA)


def _mark(picture: UInt8Image, regions: tuple[Region, ...], factor: int, unit: float) -> None:
    """Box every region, worst on top; label the worst ones where labels do not cover each other."""
    for region in reversed(regions):
        _draw_box(picture, _box(region, factor), unit)
    taken: list[Box] = []
    for region in regions[:_LABELLED]:
        label = _label_box(picture, region, factor, unit)
        if not any(_overlap(label, other) for other in taken):
            _draw_label(picture, _label_text(region), label, unit)
            taken.append(label)


def _box(region: Region, factor: int) -> Box:
    return region.left * factor, region.top * factor, region.right * factor, region.bottom * factor


def _line_widths(unit: float) -> tuple[int, int]:
    """Of the white line, and of the dark ones on both sides of it that set it off from a bright part [px]."""
    return max(1, round(1.5 * unit)), max(1, round(0.7 * unit))


def _draw_box(picture: UInt8Image, box: Box, unit: float) -> None:
    """Three frames around the region, which itself stays free."""
    white, dark = _line_widths(unit)
    _draw_frame(picture, box, 0, dark, _BLACK)
    _draw_frame(picture, box, dark, dark + white, _WHITE)
    _draw_frame(picture, box, dark + white, dark + white + dark, _BLACK)


def _draw_frame(picture: UInt8Image, box: Box, inner: int, outer: int, colour: Colour) -> None:
    """Fill what lies between `inner` and `outer` pixels outside of the box. OpenCV's thick lines are not that exact."""
    left, top, right, bottom = box
    for y0, y1, x0, x1 in (
        (top - outer, top - inner, left - outer, right + outer),
        (bottom + inner, bottom + outer, left - outer, right + outer),
        (top - inner, bottom + inner, left - outer, left - inner),
        (top - inner, bottom + inner, right + inner, right + outer),
    ):
        picture[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = colour


def _label_text(region: Region) -> str:
    area = f"{region.area_px:.0f} px" if region.area_mm2 is None else f"{region.area_mm2:.3g} mm2"
    return f"{region.peak:.3g}  {area}" + (f"  {region.zone}" if region.zone else "")


def _label_box(picture: UInt8Image, region: Region, factor: int, unit: float) -> Box:
    """Above the region; below it, or inside, where the picture ends; never over its edge."""
    left, top, _, bottom = _box(region, factor)
    height, width = round(17 * unit), text_width(_label_text(region), 8 * unit) + round(10 * unit)
    white, dark = _line_widths(unit)
    gap = white + 2 * dark
    under = bottom + gap if bottom + gap + height <= picture.shape[0] else top + gap
    above = top - gap - height
    left = max(0, min(left - gap, picture.shape[1] - width))
    top = above if above >= 0 else under
    return left, top, left + width, top + height


def _draw_label(picture: UInt8Image, text: str, box: Box, unit: float) -> None:
    left, top, right, bottom = box
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), _BLACK, cv2.FILLED)
    put_text(picture, text, (left + round(5 * unit), bottom - round(4.5 * unit)), capital_px=8 * unit, colour=_WHITE)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _under_strip(picture: UInt8Image, inspection: Inspection, unit: float) -> UInt8Image:
    """The picture below its strip; a picture narrower than the strip stands in its middle."""
    width = max(picture.shape[1], round(NARROWEST * unit))
    strip = draw_strip(inspection, width, unit)
    beside = width - picture.shape[1]
    centred = np.pad(picture, ((0, 0), (beside // 2, beside - beside // 2), (0, 0)))
    return np.vstack([strip, centred])
