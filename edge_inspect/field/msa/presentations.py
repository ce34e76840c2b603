"""Where the verdicts of a study come from: a table that somebody kept, pictures shown to the accepted engine, or the station's records."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    return tuple(_presentation(f"{path}: row {number}", row) for number, row in enumerate(_rows(path), start=1))


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


def presentations_from_archive(
    records: Sequence[Mapping[str, Any]], listed: Path, part_of: re.Pattern[str] | None
) -> tuple[tuple[Presentation, ...], tuple[str, ...]]:
    """Take the station's own records of parts that went through it, and a list of which belongs to which part.

    The list (CSV or JSON) has `part` and `reference`, and `inspection` where each showing is named by its number. Without that column a
    record is a showing of the part whose name it carries (`part_id`, by a scanner or a file name).

    Args:
        records: of the station, oldest first, as `record_from_inspection` made them.
        listed: the list.
        part_of: its first group, found in a record's `part_id`, is the part; None where that is the part's name.

    Returns:
        The showings, and what a person should know: records that belong to no part, several calibrations.

    Raises:
        ConfigError: the list is wrong, names an inspection that is not there or one part as good and as bad, or nothing fits it.
    """
    rows = _rows(listed)
    by_number = any("inspection" in row for row in rows)
    needed = ("part", "reference", *(("inspection",) if by_number else ()))
    given = [_words(f"{listed}: row {number}", row, needed) for number, row in enumerate(rows, start=1)]
    known = _known(listed, given)
    part_by_record = (
        _by_number(listed, given, records) if by_number else {record["sequence"]: _part_id(record, part_of) for record in records}
    )
    shown = [(part_by_record.get(record["sequence"], ""), record) for record in records]
    used = [(part, record) for part, record in shown if part in known]
    if not used:
        raise ConfigError(
            f"{listed}: none of {len(records)} inspections is of a part in this list; check --since, and part_id or --part-of"
        )
    trials: Counter[str] = Counter()
    found = []
    for part, record in used:
        trials[part] += 1
        verdict, reason = Verdict(record["verdict"]), str(record["reason"])
        found.append(Presentation(part=part, good=known[part], trial=str(trials[part]), verdict=verdict, reason=reason))
    return tuple(found), tuple(_to_know(records, used))


def _known(listed: Path, given: Sequence[Mapping[str, str]]) -> dict[str, bool]:
    """Whether each part is good."""
    known: dict[str, bool] = {}
    for number, words in enumerate(given, start=1):
        good = _reference(f"{listed}: row {number}", words["reference"])
        if known.setdefault(words["part"], good) is not good:
            raise ConfigError(f"{listed}: row {number}: part {words['part']} is called good in one row and bad in another")
    return known


def _by_number(listed: Path, given: Sequence[Mapping[str, str]], records: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    there = {record["sequence"] for record in records}
    parts: dict[int, str] = {}
    for number, words in enumerate(given, start=1):
        inspection = int(words["inspection"]) if words["inspection"].isdigit() else -1
        if inspection not in there:
            raise ConfigError(f"{listed}: row {number}: inspection {words['inspection']} is not among those since then; check --since")
        if inspection in parts:
            raise ConfigError(f"{listed}: row {number}: inspection {inspection} stands there twice")
        parts[inspection] = words["part"]
    return parts


def _part_id(record: Mapping[str, Any], part_of: re.Pattern[str] | None) -> str:
    name = str(record["part_id"])
    if part_of is None:
        return name
    found = part_of.search(name)
    return found.group(1) if found is not None and found.groups() else ""


def _to_know(records: Sequence[Mapping[str, Any]], used: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterable[str]:
    if left := len(records) - len(used):
        yield f"{left} inspections belong to no part of the list and were left out"
    calibrations = sorted({str(record["calibration_id"]) for _, record in used})
    if len(calibrations) > 1:
        yield f"the thresholds changed meanwhile ({', '.join(calibrations)}): this is a study of several"


def _part(name: str, *, good: bool, part_of: re.Pattern[str] | None) -> str:
    """Without a pattern the folder belongs to the name: both folders may number their pictures from one on."""
    return f"{'good' if good else 'bad'}/{name}" if part_of is None else part_name(name, part_of)


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}; give a CSV or JSON file in UTF-8") from error
    return tuple(_json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(text))


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
    words = _words(where, row, COLUMNS)
    good, verdict = _reference(where, words["reference"]), words["verdict"].upper()
    if verdict not in Verdict.__members__:
        raise ConfigError(f"{where}: verdict {words['verdict']!r}: write OK, NG or FAULT")
    return Presentation(part=words["part"], good=good, trial=words["trial"], verdict=Verdict[verdict])


def _words(where: str, row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    words = {column: str(row[column]).strip() for column in columns if row.get(column) is not None}
    missing = [column for column in columns if not words.get(column)]
    if missing:
        raise ConfigError(f"{where}: has no {', '.join(missing)}; wanted the columns {', '.join(columns)}")
    return words


def _reference(where: str, word: str) -> bool:
    if word.lower() not in _GOOD:
        raise ConfigError(f"{where}: reference {word!r}: write good or bad")
    return _GOOD[word.lower()]
