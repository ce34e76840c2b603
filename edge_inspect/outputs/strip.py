"""The strip above a picture: verdict, score against threshold, part and reason, and what the colours mean."""

from __future__ import annotations

import cv2
import numpy as np

from edge_inspect.datatypes import Inspection, UInt8Image, Verdict
from edge_inspect.outputs.heat import HIGHEST, LOWEST, colours
from edge_inspect.outputs.lettering import Colour, ascii_text, put_text, shortened, text_width

NARROWEST = 460
"""Units of width that the strip needs."""

_HEIGHT = 66
_MARGIN = 12
_SCALE_WIDTH = 130
_DARK: Colour = (22, 24, 28)
_WHITE: Colour = (246, 247, 249)
_GREY: Colour = (164, 170, 178)
_SIGNAL: dict[Verdict, Colour] = {Verdict.OK: (34, 142, 72), Verdict.NG: (212, 46, 46), Verdict.FAULT: (206, 122, 12)}


def draw_strip(inspection: Inspection, width: int, unit: float) -> UInt8Image:
    """Draw the strip.

    Args:
        inspection: what it tells.
        width: of the strip [px].
        unit: size of everything in it; at 1 it can just be read [px].

    Returns:
        (H, width, 3) uint8 RGB.
    """
    strip = np.full((round(_HEIGHT * unit), width, 3), _DARK, np.uint8)
    left, right = round(_MARGIN * unit), width - round(_MARGIN * unit)
    end = _draw_verdict(strip, inspection.verdict, left, unit)
    scale = right if inspection.threshold is None else _draw_scale(strip, right, unit)
    _draw_scores(strip, inspection, end + left, scale - left, unit)
    _draw_words(strip, inspection, left, right, unit)
    return strip


def _draw_verdict(strip: UInt8Image, verdict: Verdict, left: int, unit: float) -> int:
    capital = 13 * unit
    top, bottom = round(9 * unit), round(37 * unit)
    right = left + text_width(verdict.value, capital, bold=True) + round(20 * unit)
    _rounded_box(strip, (left, top, right, bottom), _SIGNAL[verdict])
    put_text(strip, verdict.value, (left + round(10 * unit), round(29.5 * unit)), capital_px=capital, colour=_WHITE, bold=True)
    return right


def _draw_scores(strip: UInt8Image, inspection: Inspection, left: int, right: int, unit: float) -> None:
    baseline = round(29 * unit)
    score = shortened(_score_text(inspection.score), right - left, 11 * unit, bold=True)
    end = put_text(strip, score, (left, baseline), capital_px=11 * unit, colour=_WHITE, bold=True)
    if inspection.threshold is not None:
        against = shortened(f"threshold {_figures(inspection.threshold)}", right - end, 9 * unit)
        put_text(strip, against, (end + round(9 * unit), baseline), capital_px=9 * unit, colour=_GREY)


def _draw_words(strip: UInt8Image, inspection: Inspection, left: int, right: int, unit: float) -> None:
    """Part and reason in one line; a long part name leaves half of it to the reason."""
    baseline, capital = round(55 * unit), 9 * unit
    part = shortened(ascii_text(inspection.part_id or f"#{inspection.sequence}"), (right - left) // 2, capital, bold=True)
    end = put_text(strip, part, (left, baseline), capital_px=capital, colour=_WHITE, bold=True) + round(10 * unit)
    put_text(strip, shortened(ascii_text(inspection.reason), right - end, capital), (end, baseline), capital_px=capital, colour=_GREY)


def _draw_scale(strip: UInt8Image, right: int, unit: float) -> int:
    """The colours, with marks at half, once and twice the threshold. Returns its left end."""
    left, top, bottom = right - round(_SCALE_WIDTH * unit), round(10 * unit), round(20 * unit)
    bar = cv2.resize(colours()[None], (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    strip[top:bottom, left:right] = bar
    for multiple, label in ((LOWEST, f"{LOWEST:g}"), (1.0, "1"), (HIGHEST, f"{HIGHEST:g} x threshold")):
        place = left + round((right - left - 1) * (multiple - LOWEST) / (HIGHEST - LOWEST))
        cv2.line(strip, (place, top), (place, bottom + round(3 * unit)), _WHITE, max(1, round(unit)))
        half = text_width(label, 6.5 * unit) // 2
        put_text(strip, label, (min(max(place - half, left), right - 2 * half), round(34 * unit)), capital_px=6.5 * unit, colour=_GREY)
    return left


def _rounded_box(picture: UInt8Image, box: tuple[int, int, int, int], colour: Colour) -> None:
    left, top, right, bottom = box
    radius = (bottom - top) // 5
    for inset_x, inset_y in ((radius, 0), (0, radius)):
        cv2.rectangle(picture, (left + inset_x, top + inset_y), (right - inset_x, bottom - inset_y), colour, cv2.FILLED)
    for x in (left + radius, right - radius):
        for y in (top + radius, bottom - radius):
            cv2.circle(picture, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA)


def _score_text(score: float | None) -> str:
    return "no score" if score is None else f"score {_figures(score)}"


def _figures(value: float) -> str:
    """Four significant figures: enough to tell a score from its threshold."""
    return f"{value:#.4g}".rstrip(".")
