"""The highest count that stands anywhere: a count file that was lost, spoiled or restored from a backup repeats none of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge_inspect.config import Station as Settings
from edge_inspect.errors import EdgeInspectError
from edge_inspect.outputs.database import last_sequence
from edge_inspect.outputs.jsonl import last_logged
from edge_inspect.service.live import STATUS_FILE, read_status
from edge_inspect.service.sequence import HIGHEST
from edge_inspect.station.promised import read_left

_LAST = {"database": last_sequence, "jsonl": last_logged}


def shown_count(data: Path) -> int:
    """The count of the last part that the status file shows, 0 for none; to be asked before a new status is written."""
    with suppress(EdgeInspectError, KeyError, TypeError, ValueError):
        return int(read_status(data / STATUS_FILE)["last"]["sequence"])
    return 0


def highest_count(settings: Settings, *, base: Path, note: Path, shown: int) -> int:
    """The highest of databases, logs, crash note and status file (`shown`); 0 where none of them tells."""
    return max(count for count in (shown, *_counts(settings, base, note)) if count <= HIGHEST)


def _counts(settings: Settings, base: Path, note: Path) -> Iterator[int]:
    for block in settings.outputs:
        if block.kind in _LAST:
            yield _LAST[block.kind](base / block.options["path"])
    left = read_left(note)
    for record in (*left.parts, *left.settled):
        yield int(record["sequence"])
