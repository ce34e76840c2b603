from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.outputs.lettering import ascii_text, put_text, shortened, text_width


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Gehäuse, Größe", "Gehaeuse, Groesse"),
        ("re\u0301gle\u0301 – 5 µm ≥ 4²", "regle - 5 um >= 42"),
        ("日本", "??"),
        ("two\nlines\tand\u2028more", "two lines and more"),
        ("\udce4\x00", "??"),
        ("u\u0308ber", "ueber"),
    ],
)
def test_text_is_spelled_in_ascii(text, wanted):
    assert ascii_text(text) == wanted


@given(st.text())
def test_any_text_becomes_printable_ascii(text):
    assert all(" " <= letter <= "~" for letter in ascii_text(text))


def test_a_text_that_fits_is_left_as_it_is():
    assert shortened("score", 1000, 10) == "score"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60), st.integers(0, 400), st.booleans())
def test_a_shortened_text_always_fits(text, width, bold):
    short = shortened(text, width, 10, bold=bold)
    assert short in {"", text} or short.endswith("...")
    assert not short or text_width(short, 10, bold=bold) <= width


def test_a_shortened_text_is_the_longest_that_fits():
    text = "abcdefghijklmnopqrstuvwxyz"
    short = shortened(text, 100, 10)
    longer = text[: len(short) - 3 + 1] + "..."
    assert text_width(longer, 10) > 100


@pytest.mark.parametrize("capital_px", [8, 13, 60])
def test_letters_have_about_the_height_asked_for(capital_px):
    picture = np.zeros((120, 200, 3), np.uint8)
    end = put_text(picture, "H", (10, 100), capital_px=capital_px, colour=(255, 255, 255), bold=True)
    rows, columns = np.nonzero(picture.max(axis=2) > 128)
    assert rows.max() - rows.min() + 1 == pytest.approx(capital_px, rel=0.3)
    assert rows.max() == pytest.approx(100, abs=2 + capital_px / 10)
    assert columns.max() < end
