"""Text in pictures, with what OpenCV has everywhere: ASCII. Sizes are the height of a capital letter [px]."""

from __future__ import annotations

import unicodedata

import cv2

from edge_inspect.datatypes import UInt8Image

Colour = tuple[int, int, int]

_CAPITAL = 21.0  # height of a capital letter in OpenCV's fonts at scale 1 [px]
_SPELLED = {
    **{"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
    **{
        "–": "-",
        "—": "-",
        "−": "-",
        "×": "x",
        "°": " deg",
        "µ": "u",
        "μ": "u",
        "≥": ">=",
        "≤": "<=",
        "„": '"',
        "“": '"',
        "”": '"',
        "’": "'",
    },
}


def ascii_text(text: str) -> str:
    """The text in printable ASCII: spelled out where there is a custom, without accents, and `?` for the rest."""
    spelled = "".join(_SPELLED.get(letter, letter) for letter in unicodedata.normalize("NFC", text))
    plain = (letter for letter in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else " " if letter.isspace() else "?" for letter in plain)


def text_width(text: str, capital_px: float, *, bold: bool = False) -> int:
    """Width of an ASCII text [px]."""
    width: int = cv2.getTextSize(text, _font(bold), capital_px / _CAPITAL, _stroke(capital_px, bold))[0][0]
    return width


def shortened(text: str, width_px: int, capital_px: float, *, bold: bool = False) -> str:
    """The longest beginning of an ASCII text that fits, with `...` where something is left out; "" where nothing fits."""
    if text_width(text, capital_px, bold=bold) <= width_px:
        return text
    fitting, too_long = 0, len(text)
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        fits = text_width(text[:middle] + "...", capital_px, bold=bold) <= width_px
        fitting, too_long = (middle, too_long) if fits else (fitting, middle)
    return text[:fitting].rstrip() + "..." if fitting else ""


def put_text(picture: UInt8Image, text: str, place: tuple[int, int], *, capital_px: float, colour: Colour, bold: bool = False) -> int:
    """Write an ASCII text into the picture.

    Args:
        picture: (H, W, 3) uint8, written to.
        text: printable ASCII.
        place: where it begins, and the line it stands on (x, y) [px].
        capital_px: height of a capital letter [px].
        colour: of the letters.
        bold: stronger letters.

    Returns:
        Where it ends [px].
    """
    scale = capital_px / _CAPITAL
    cv2.putText(picture, text, place, _font(bold), scale, colour, _stroke(capital_px, bold), cv2.LINE_AA)
    return place[0] + text_width(text, capital_px, bold=bold)


def _font(bold: bool) -> int:
    return cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX


def _stroke(capital_px: float, bold: bool) -> int:
    return max(1, round(capital_px / (9 if bold else 11)))
