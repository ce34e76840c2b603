"""Where a station keeps what it has inspected. Read beside the running station, never written."""

from __future__ import annotations

from pathlib import Path

from edge_inspect.config import Station
from edge_inspect.errors import EdgeInspectError


def output_path(settings: Station, base: Path, kind: str) -> Path:
    """Path of the station's output of this kind (`database`, `images`).

    Args:
        settings: the station file.
        base: its folder.
        kind: of the output.

    Raises:
        EdgeInspectError: the station has no such output.
    """
    found = find_output(settings, base, kind)
    if found is None:
        raise EdgeInspectError(f"station {settings.name}: has no output of kind {kind}; add one to `outputs`, the archive is read from it")
    return found


def find_output(settings: Station, base: Path, kind: str) -> Path | None:
    """The same, or None."""
    return next((base / str(output.options["path"]) for output in settings.outputs if output.kind == kind), None)
