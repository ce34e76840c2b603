"""Where the verdicts of a study come from: a table that somebody kept, or pictures shown to the accepted engine."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_inspect.cameras.pictures import list_pictures, part_name
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.field.msa.agreement import Presentation
from edge_inspect.field.msa.showing import show
from edge_inspect.inspector import Inspector

COLUMNS = ("part", "reference", "trial", "verdict")

_GOOD = {"good": True, "ok": True, "bad": False, "ng": False, "defective": False}

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def presentations_from_table(path: Path) -> tuple[Presentation, ...]:
    """Read `part, reference, trial, verdict` from a CSV file (comma or semicolon) or a JSON list of objects, by its suffix.

    Raises:
        ConfigError: the file cannot be read, a column is missing, or a word is none of those it may be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}; give a CSV or JSON file in UTF-8") from error
    rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(text)
    return tuple(_presentation(f"{path}: row {number}", row) for number, row in enumerate(rows, start=1))


def presentations_from_pictures(
    inspector: Inspector, good: Path, bad: Path, part_of: re.Pattern[str] | None, progress: Progress
) -> tuple[tuple[Presentation, ...], tuple[str, ...]]:
    """Show every picture of both folders (of `bad` sub-folders, too) to the engine, under the thresholds in force.

    Args:
        inspector: the accepted engine.
        good: folder of good parts.
        bad: folder of defective ones.
        part_of: its first group, found in a picture's name, is the part; None where every picture is one.
        progress: told how far it is.

    Returns:
        The showings, and why pictures were left out: the same frame again says nothing about repeatability.

    Raises:
        CameraError: a folder cannot be read, or holds no picture.
        ConfigError: the pattern is not found in a name.
    """
    named = [(path, path.relative_to(good).as_posix(), True) for path in list_pictures(good)]
    named += [(path, path.relative_to(bad).as_posix(), False) for path in list_pictures(bad, recursive=True)]
    parts = [_part(name, good=is_good, part_of=part_of) for _, name, is_good in named]
    trials: Counter[str] = Counter()
    seen: dict[str, str] = {}
    found, twice = [], []
    for done, ((path, name, is_good), part) in enumerate(zip(named, parts, strict=True), start=1):
        shown = show(inspector, path)
        progress("showing", done, len(named))
        first = seen.setdefault(shown.sha256 or str(path), name)
        if first != name:
            twice.append(f"{name}: left out, it is the same frame as {first}; lay the part down anew for every trial")
            continue
        trials[part] += 1
        found.append(Presentation(part=part, good=is_good, trial=str(trials[part]), verdict=shown.verdict, reason=shown.reason))
    return tuple(found), tuple(twice)


def _part(name: str, *, good: bool, part_of: re.Pattern[str] | None) -> str:
    """Without a pattern the folder belongs to the name: both folders may number their pictures from one on."""
    return f"{'good' if good else 'bad'}/{name}" if part_of is None else part_name(name, part_of)


def _csv_rows(text: str) -> Iterable[Mapping[str, Any]]:
    header = text.partition("\n")[0]
    return csv.DictReader(io.StringIO(text), delimiter=";" if ";" in header else ",", skipinitialspace=True)


def _json_rows(path: Path, text: str) -> Iterable[Mapping[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{path}: wanted a list of objects with {', '.join(COLUMNS)}")
    return rows


def _presentation(where: str, row: Mapping[str, Any]) -> Presentation:
    words = {column: str(row[column]).strip() for column in COLUMNS if row.get(column) is not None}
    missing = [column for column in COLUMNS if not words.get(column)]
    if missing:
        raise ConfigError(f"{where}: has no {', '.join(missing)}; wanted the columns {', '.join(COLUMNS)}")
    reference, verdict = words["reference"].lower(), words["verdict"].upper()
    if reference not in _GOOD:
        raise ConfigError(f"{where}: reference {words['reference']!r}: write good or bad")
    if verdict not in Verdict.__members__:
        raise ConfigError(f"{where}: verdict {words['verdict']!r}: write OK, NG or FAULT")
    return Presentation(part=words["part"], good=_GOOD[reference], trial=words["trial"], verdict=Verdict[verdict])
