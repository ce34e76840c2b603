"""Golden parts at shift start: every good one must be OK and every defective one NG, or the station is not to be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_inspect import __version__
from edge_inspect.cameras.pictures import list_pictures
from edge_inspect.datatypes import Verdict
from edge_inspect.durable import replace_file
from edge_inspect.errors import OutputError
from edge_inspect.field.msa.showing import Shown, show
from edge_inspect.inspector import Inspector
from edge_inspect.thresholds.history import who

CHALLENGE_FILE = "challenge.json"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said of one golden part, `good/...` or `bad/...`; only OK for a good one and NG for a defective one is right."""

    name: str
    expected: Verdict
    shown: Shown

    @property
    def right(self) -> bool:
        """Whether the expected verdict came; a FAULT never is."""
        return self.shown.verdict is self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge.

    Attributes:
        part: the recipe's.
        answers: one for each golden part.
        engine_sha256, recipe_sha256, calibration_id: what decided.
        made_at: when.
    """

    part: str
    answers: tuple[Answer, ...]
    engine_sha256: str
    recipe_sha256: str
    calibration_id: str
    made_at: datetime

    @property
    def wrong(self) -> tuple[Answer, ...]:
        """The golden parts that did not get their verdict."""
        return tuple(answer for answer in self.answers if not answer.right)

    @property
    def passed(self) -> bool:
        """Whether every expected verdict came."""
        return not self.wrong


def challenge(inspector: Inspector, folder: Path, progress: Progress) -> Challenge:
    """Show the golden parts in `good/` and `bad/` of the folder (sub-folders too) to the engine, under the thresholds in force.

    Raises:
        CameraError: one of both folders is missing, or holds no picture.
    """
    expected = {"good": Verdict.OK, "bad": Verdict.NG}
    golden = [(path, verdict) for kind, verdict in expected.items() for path in list_pictures(folder / kind, recursive=True)]
    answers = []
    for done, (path, verdict) in enumerate(golden, start=1):
        answers.append(Answer(name=path.relative_to(folder).as_posix(), expected=verdict, shown=show(inspector, path)))
        progress("showing", done, len(golden))
    return Challenge(
        part=inspector.recipe.part,
        answers=tuple(answers),
        engine_sha256=inspector.model.engine_sha256,
        recipe_sha256=inspector.recipe.sha256,
        calibration_id=inspector.calibration_id,
        made_at=datetime.now(timezone.utc),
    )


def record(found: Challenge) -> dict[str, object]:
    """The challenge in values that JSON has."""
    return {
        "passed": found.passed,
        "part": found.part,
        "made_at": found.made_at.isoformat(),
        "by": who(),
        "engine_sha256": found.engine_sha256,
        "recipe_sha256": found.recipe_sha256,
        "calibration_id": found.calibration_id,
        "software": f"edge-inspect {__version__}",
        "parts": [_answer(one) for one in found.answers],
    }


def write_challenge(found: Challenge, path: Path) -> None:
    """Write the record in one step; the last challenge replaces the one before.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, (json.dumps(record(found), indent=2, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check the path, space and permissions") from error


def _answer(one: Answer) -> dict[str, object]:
    return {
        "name": one.name,
        "expected": one.expected.value,
        "right": one.right,
        **asdict(one.shown),
        "verdict": one.shown.verdict.value,
    }
