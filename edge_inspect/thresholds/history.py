"""Who put which thresholds in force, when and why: `thresholds-history.jsonl` beside `thresholds.json`.

Every entry carries the hash of the one before it, so an entry that was edited, taken out or moved is noticed; a tail that was cut off is
noticed because the last entry is then not what stands in `thresholds.json`. Whoever rewrites both files completely is not: there is
no secret in it. The history is written first and `thresholds.json` after it, each in one step: nothing is ever in force without an entry.
What belongs to the new thresholds (their acceptance, their frames) is written before both, and does not touch what belongs to the old.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.chained import FIRST, line_of, sha256_of, text_of
from edge_inspect.config import first_mistake
from edge_inspect.durable import lock_folder, replace_files
from edge_inspect.errors import ConfigError
from edge_inspect.thresholds.frames import CALIBRATIONS, forget_frames
from edge_inspect.thresholds.record import Thresholds, file_content, read_thresholds

_NEWEST = 1 << 20
"""An entry names the hash of each frame it was made from: it is shorter than this up to some ten thousand of them [bytes]."""


Beside = Callable[[Thresholds | None], Mapping[Path, bytes]]
"""More files to be written with new thresholds, in this order before them; called with what stands there until then, if anything does."""


def nothing_beside(_stands: Thresholds | None) -> dict[Path, bytes]:
    """No more files."""
    return {}


class Change(BaseModel):
    """What a person or a tool says of a change; hashes are SHA-256 of the frames that it was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["made with the model", "calibrated", "rolled back", "found"]
    by: str
    reason: str = Field(min_length=1)
    good_frames: tuple[str, ...] = ()
    defective_frames: tuple[str, ...] = ()


class Entry(BaseModel):
    """One line of the history."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=1)
    previous: str
    at: AwareDatetime
    change: Change
    thresholds: Thresholds

    @property
    def text(self) -> bytes:
        """The entry as it is hashed and written."""
        return self.model_dump_json().encode()

    @property
    def sha256(self) -> str:
        """Hash that the next entry carries."""
        return sha256_of(self.text)


def history_path(thresholds: Path) -> Path:
    """Where the history of a `thresholds.json` lies."""
    return thresholds.with_name(f"{thresholds.stem}-history.jsonl")


def read_history(thresholds: Path) -> tuple[Entry, ...]:
    """Every entry, oldest first; none where nothing was ever recorded.

    Raises:
        ConfigError: the history cannot be read, or is not as it was written (with the line).
    """
    return tuple(entry for entry, _ in _read(history_path(thresholds)))


def newest_change(thresholds: Path, calibration_id: str) -> Change | None:
    """Who put these thresholds in force and why, out of the last entry alone, so that a line can ask; None where that is not told."""
    try:
        with history_path(thresholds).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _NEWEST))
            last = file.read().splitlines(keepends=True)[-1]
        entry = Entry.model_validate_json(text_of(last), strict=True)
    except (OSError, IndexError, ValueError):  # pydantic's mistakes are ValueErrors
        return None
    return entry.change if entry.thresholds.calibration_id == calibration_id else None


def put_in_force(path: Path, thresholds: Thresholds, change: Change, *, beside: Beside = nothing_beside) -> Entry:
    """Record the thresholds and write them; a running station takes them over between two parts.

    What stands there without an entry (from an older version, or written by another program) is recorded first, so that it can be
    taken back.

    Args:
        path: `thresholds.json`.
        thresholds: what shall stand there.
        change: who, why and from what.
        beside: what is written with them; it must leave what belongs to the old ones as it is.

    Raises:
        ConfigError: the history is not as it was written, or a file cannot be written; every file is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock_folder(path.parent):  # two calibrations at once wait for each other
            written, stands = list(_read(history_path(path))), _standing(path)
            added = list(_added(written[-1][0] if written else None, stands, thresholds, change))
            history = b"".join([*(line for _, line in written), *(line_of(entry.text) for entry in added)])
            replace_files({**beside(stands), history_path(path): history, path: file_content(thresholds)})
            forget_frames(path, keep=_newest_ids([*(entry for entry, _ in written), *added]))
    except OSError as error:
        raise ConfigError(f"{history_path(path)}: cannot be written: {error.strerror}; check space and permissions") from error
    return added[-1]


def roll_back(path: Path, entry: Entry, *, by: str, reason: str, beside: Beside = nothing_beside) -> Entry:
    """Put the thresholds of an earlier entry in force again, unchanged and under their old id.

    Raises:
        ConfigError: as `put_in_force`.
    """
    change = Change(action="rolled back", by=by, reason=f"to #{entry.number}: {reason}")
    return put_in_force(path, entry.thresholds, change, beside=beside)


def find_entry(entries: tuple[Entry, ...], name: str) -> Entry:
    """The entry of a number (`3` or `#3`) or of a calibration id or its beginning; of several with one id the newest.

    Raises:
        ConfigError: there is none, or the beginning fits several ids.
    """
    number = name.removeprefix("#")
    found = [entry for entry in entries if number == str(entry.number)] or [
        entry for entry in entries if len(name) >= 4 and entry.thresholds.calibration_id.startswith(name)
    ]
    if not found or len({entry.thresholds.calibration_id for entry in found}) > 1:
        known = ", ".join(f"#{entry.number} {entry.thresholds.calibration_id}" for entry in entries) or "nothing"
        raise ConfigError(f"{name!r} names {'several entries' if found else 'no entry'} of the history, which has {known}; give the number")
    return found[-1]


def differences(one: Entry, other: Entry) -> dict[str, tuple[object, object]]:
    """What differs between the thresholds of two entries, by dotted key."""
    before, after = (dict(_flat(entry.thresholds.model_dump(mode="json"))) for entry in (one, other))
    return {key: (before.get(key), after.get(key)) for key in [*before, *(after.keys() - before)] if before.get(key) != after.get(key)}


def complaint(thresholds: Path, entries: tuple[Entry, ...]) -> str:
    """Why the thresholds that stand there are not those of the last entry; "" where they are, or where nothing was recorded."""
    if not entries:
        return ""
    try:
        stands = read_thresholds(thresholds)
    except ConfigError as error:
        return str(error)
    if stands == entries[-1].thresholds:
        return ""
    return (
        f"{thresholds}: what stands there ({stands.calibration_id}) is not the last entry of its history "
        f"(#{entries[-1].number}, {entries[-1].thresholds.calibration_id}): it was edited by hand, or the history was cut, or power "
        "failed between the two; roll back to the entry you want"
    )


def _added(last: Entry | None, stands: Thresholds | None, thresholds: Thresholds, change: Change) -> Iterator[Entry]:
    """The entry of the change, after one of what stood there without any."""
    if stands is not None and (last is None or stands != last.thresholds):
        reason = "stood there without an entry" if last is None else f"stood there though #{last.number} was the last entry"
        last = _entry(last, stands, Change(action="found", by="unknown", reason=reason))
        yield last
    yield _entry(last, thresholds, change)


def _newest_ids(entries: list[Entry]) -> list[str]:
    """The calibrations that were in force last, newest first."""
    return list(dict.fromkeys(entry.thresholds.calibration_id for entry in reversed(entries)))[:CALIBRATIONS]


def _standing(path: Path) -> Thresholds | None:
    try:
        return read_thresholds(path)
    except ConfigError:
        return None  # none yet, or one that nobody could go back to


def _entry(last: Entry | None, thresholds: Thresholds, change: Change) -> Entry:
    return Entry(
        number=1 if last is None else last.number + 1,
        previous=FIRST if last is None else last.sha256,
        at=datetime.now(timezone.utc),
        change=change,
        thresholds=thresholds,
    )


def _read(file: Path) -> Iterator[tuple[Entry, bytes]]:
    """Every entry with its line as it stands: hashes are taken of the text, so that a later version reads this one's history."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; check the permissions") from error
    previous = FIRST
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        entry, previous = _verified(file, line, number, previous)
        yield entry, line


def _verified(file: Path, line: bytes, number: int, previous: str) -> tuple[Entry, str]:
    try:
        text = text_of(line)
    except ValueError as error:
        raise _altered(file, number, str(error)) from error
    try:
        entry = Entry.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _altered(file, number, f"not an entry of this version: {first_mistake(error)}") from error
    if (entry.previous, entry.number) != (previous, number):
        raise _altered(file, number, "it does not follow the line before it")
    return entry, sha256_of(text)


def _altered(file: Path, number: int, what: str) -> ConfigError:
    return ConfigError(
        f"{file}:{number}: the history is not as it was written: {what}; find out who edited it, keep the file elsewhere, and calibrate: "
        "a new history begins with what stands in thresholds.json"
    )


def _flat(content: dict[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value
