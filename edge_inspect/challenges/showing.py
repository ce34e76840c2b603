"""Golden parts before the running station's own camera: the verb asks in one file, the station answers in another, both in its data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_inspect.challenges.record import Bound
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import OutputError

ASKED_FILE = "challenge-asked.json"
ANSWERS_FILE = "challenge-answers.jsonl"


class Said(BaseModel):
    """What the station said of one part while golden parts were shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    asked: str
    sequence: int
    part_id: str
    verdict: Verdict
    reason: str
    score: float | None
    bound: Bound


def answer(data: Path, said: Said) -> None:
    """Add one answer; those of an earlier challenge are thrown away.

    Raises:
        OutputError: it cannot be written.
    """
    path = data / ANSWERS_FILE
    mode = "a" if any(answers(data, said.asked)) else "w"
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(said.model_dump_json() + "\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check space and permissions") from error


def answers(data: Path, name: str) -> Iterator[Said]:
    """What has been said so far in the challenge of this name; a line that is still being written is left out."""
    try:
        lines = (data / ANSWERS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            said = Said.model_validate_json(line)
        except ValidationError:
            continue
        if said.asked == name:
            yield said
