"""Lines that carry their own hash, and in their text that of the line before: one that was edited, taken out or moved is noticed.

There is no secret in it: whoever may rewrite the whole file can make a new chain. Hashes are taken of the text as it stands, so that a
later version of the program reads what this one wrote.
"""

from __future__ import annotations

import hashlib

FIRST = ""
"""What the first line says of the one before it."""

_START, _MIDDLE = b'{"sha256":"', b'","entry":'
_DIGITS = 64


def sha256_of(text: bytes) -> str:
    """Hash that the next line carries."""
    return hashlib.sha256(text).hexdigest()


def line_of(text: bytes) -> bytes:
    """The line of an entry's text (JSON on one line)."""
    return _START + sha256_of(text).encode() + _MIDDLE + text + b"}\n"


def text_of(line: bytes) -> bytes:
    """An entry's text out of its line.

    Raises:
        ValueError: the line is not as it was written.
    """
    text = line[len(_START) + _DIGITS + len(_MIDDLE) : -2]
    if line != line_of(text):
        raise ValueError("its hash is not that of its text")
    return text
