"""Who put which thresholds in force, when and why: `thresholds-history.jsonl` beside `thresholds.json`.

Every entry carries the hash of the one before it, so an entry that was edited, taken out or moved is noticed; a tail that was cut off is
noticed because the last entry is then not what stands in `thresholds.json`. Whoever rewrites both files completely is not: there is
no secret in it. The history is written first and `thresholds.json` after it, each in one step: nothing is ever in force without an entry.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.config import first_mistake
from edge_inspect.durable import lock_folder, replace_file
from edge_inspect.errors import ConfigError
from edge_inspect.thresholds.record import Thresholds, read_thresholds, save_thresholds

FIRST = ""
"""What the first entry says of the one before it."""

_START, _MIDDLE = b'{"sha256":"', b'","entry":'
_DIGITS = 64


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
        return hashlib.sha256(self.text).hexdigest()


def history_path(thresholds: Path) -> Path:
    """Where the history of a `thresholds.json` lies."""
    return thresholds.with_name(f"{thresholds.stem}-history.jsonl")


def read_history(thresholds: Path) -> tuple[Entry, ...]:
    """Every entry, oldest first; none where nothing was ever recorded.

    Raises:
        ConfigError: the history cannot be read, or is not as it was written (with the line).
    """
    return tuple(entry for entry, _ in _read(history_path(thresholds)))


def put_in_force(path: Path, thresholds: Thresholds, change: Change) -> Entry:
    """Record the thresholds and write them; a running station takes them over between two parts.

    What stands there without an entry (from an older version, or written by another program) is recorded first, so that it can be
    taken back.

    Args:
        path: `thresholds.json`.
        thresholds: what shall stand there.
        change: who, why and from what.

    Raises:
        ConfigError: the history is not as it was written, or a file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock_folder(path.parent):  # two calibrations at once wait for each other
            entry = _recorded(path, thresholds, change)
            save_thresholds(path, thresholds)
    except OSError as error:
        raise ConfigError(f"{history_path(path)}: cannot be written: {error.strerror}; check space and permissions") from error
    return entry


def roll_back(path: Path, entry: Entry, *, by: str, reason: str) -> Entry:
    """Put the thresholds of an earlier entry in force again, unchanged and under their old id.

    Raises:
        ConfigError: as `put_in_force`.
    """
    return put_in_force(path, entry.thresholds, Change(action="rolled back", by=by, reason=f"to #{entry.number}: {reason}"))


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


def who() -> str:
    """The login of whoever runs this program; behind sudo the one who called it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER")
    return f"{behind} (as {name})" if behind and behind != name else name


def _recorded(path: Path, thresholds: Thresholds, change: Change) -> Entry:
    file = history_path(path)
    written = list(_read(file))
    lines = [line for _, line in written]
    last = written[-1][0] if written else None
    stands = _standing(path)
    if stands is not None and (last is None or stands != last.thresholds):
        reason = "stood there without an entry" if last is None else f"stood there though #{last.number} was the last entry"
        last = _entry(last, stands, Change(action="found", by="unknown", reason=reason))
        lines.append(_framed(last.text))
    entry = _entry(last, thresholds, change)
    replace_file(file, b"".join([*lines, _framed(entry.text)]))
    return entry


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


def _framed(text: bytes) -> bytes:
    return _START + hashlib.sha256(text).hexdigest().encode() + _MIDDLE + text + b"}\n"


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
    text, digest = line[len(_START) + _DIGITS + len(_MIDDLE) : -2], line[len(_START) :][:_DIGITS].decode("ascii", "replace")
    if line != _framed(text):
        raise _altered(file, number, "its hash is not that of its text")
    try:
        entry = Entry.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _altered(file, number, f"not an entry of this version: {first_mistake(error)}") from error
    if (entry.previous, entry.number) != (previous, number):
        raise _altered(file, number, "it does not follow the line before it")
    return entry, digest


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
