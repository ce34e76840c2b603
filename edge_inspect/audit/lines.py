"""The record's files as they stand: `audit-000001.jsonl` and so on, and the entries in one of them. Only reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.audit.entry import Entry
from edge_inspect.chained import sha256_of, text_of

_NAME = re.compile(r"audit-(\d{6,})\.jsonl")


class NotAsWritten(ValueError):
    """A line that was edited, or does not follow the one before."""


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it stands in a file, with the hash of its text."""

    entry: Entry
    sha256: str


def number_of(path: Path) -> int:
    """The number in a file's name; 0 for a file that is none of the record's."""
    match = _NAME.fullmatch(path.name)
    return 0 if match is None else int(match[1])


def chain_files(folder: Path) -> list[Path]:
    """The files, oldest first.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted((path for path in folder.iterdir() if number_of(path)), key=number_of)


def finished_lines(content: bytes) -> list[bytes]:
    """The lines that have an end; what a killed station has not finished was never acknowledged."""
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def links_in(content: bytes, before: Link | None) -> Iterator[Link]:
    """The entries of one file, each verified as it is reached.

    Args:
        content: of the file.
        before: the newest entry of the file before; None takes the first line's word for what was before it.

    Raises:
        NotAsWritten: with the line and what is wrong.
    """
    for count, line in enumerate(finished_lines(content), start=1):
        link = _link(line, count)
        if before is not None and (link.entry.previous, link.entry.number) != (before.sha256, before.entry.number + 1):
            raise NotAsWritten(f"line {count}: it does not follow the line before it")
        before = link
        yield link


def _link(line: bytes, count: int) -> Link:
    try:
        text = text_of(line)
        return Link(Entry.model_validate_json(text), sha256_of(text))
    except ValueError as error:
        raise NotAsWritten(f"line {count}: {str(error).splitlines()[0]}") from error
