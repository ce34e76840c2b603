"""What the pages of this package share: their style, and how one is written."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from edge_inspect.errors import OutputError


def style() -> str:
    """The style sheet, to stand inside the page."""
    return (files("edge_inspect.field.calibration") / "report.css").read_text(encoding="utf-8")


def write_page(path: Path, content: bytes) -> None:
    """Write a page or one of its pictures; its folder is made.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check the path, space and permissions") from error
