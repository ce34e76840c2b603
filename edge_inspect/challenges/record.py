"""`challenge.json`: the last challenges, passed or failed, each bound to everything that a verdict depends on."""

from __future__ import annotations

import hashlib
import time
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.acceptance import Binding
from edge_inspect.config import Recipe, first_mistake
from edge_inspect.datatypes import Verdict
from edge_inspect.durable import lock_folder, replace_file
from edge_inspect.errors import ConfigError, OutputError

CHALLENGE_FILE = "challenge.json"

KEPT = 200
"""Challenges kept: with three shifts a day some two months."""

How = Literal["stored pictures", "live parts"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Bound(_Recorded):
    """What a challenge says something about: another engine file, library, device, threshold or rule needs a challenge of its own.

    `engine` is the binding of the acceptance, with the calibration; `decision_sha256` is the hash of what the recipe lets decide.
    """

    engine: Binding
    recipe_sha256: str
    decision_sha256: str


class GoldenPart(_Recorded):
    """What was said of one golden part; only OK for a good one and NG for a defective one is right."""

    name: str
    expected: Verdict
    verdict: Verdict
    reason: str
    score: float | None
    sha256: str = ""

    @property
    def right(self) -> bool:
        """Whether the expected verdict came; a FAULT never is."""
        return self.verdict is self.expected


class Challenge(_Recorded):
    """One challenge. `boot` and `uptime_s` tell its age even where the clock has been set since; "" where the kernel has no such id."""

    passed: bool
    how: How
    part: str
    by: str
    made_at: AwareDatetime
    boot: str
    uptime_s: float
    bound: Bound
    software: str
    parts: tuple[GoldenPart, ...] = Field(min_length=2)

    @property
    def wrong(self) -> tuple[GoldenPart, ...]:
        """The golden parts that did not get their verdict."""
        return tuple(part for part in self.parts if not part.right)

    def age_s(self, now: datetime, *, boot: str, uptime_s: float) -> float:
        """How long ago it was made [s], by the kernel's own count where this is still the same boot; negative: made in the future."""
        if boot and boot == self.boot:
            return uptime_s - self.uptime_s
        return (now - self.made_at).total_seconds()


class _File(_Recorded):
    format: Literal[1] = 1
    challenges: tuple[Challenge, ...] = ()


def bound_to(binding: Binding, recipe: Recipe, *, recipe_sha256: str) -> Bound:
    """What a challenge of this opened engine says something about."""
    decides = recipe.model_dump_json(include={"decision", "mm_per_px", "zones"})
    return Bound(engine=binding, recipe_sha256=recipe_sha256, decision_sha256=hashlib.sha256(decides.encode()).hexdigest())


def boot_id() -> str:
    """Name of this boot; "" where the kernel gives none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def uptime_s() -> float:
    """Time since the machine was started, sleep included [s]; nobody can set it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_challenges(path: Path) -> tuple[Challenge, ...]:
    """Every challenge that is kept, newest last; none where there was none.

    Raises:
        ConfigError: the file cannot be read, or is not one of ours.
    """
    try:
        return _File.model_validate_json(path.read_bytes()).challenges
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not challenges of this version: {first_mistake(error)}; remove it and challenge again") from error


def write_challenge(path: Path, challenge: Challenge) -> None:
    """Add a challenge to those that are kept, in one step.

    Raises:
        OutputError: it cannot be written.
        ConfigError: what stands there is not one of ours.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock_folder(path.parent):
            kept = _File(challenges=(*read_challenges(path), challenge)[-KEPT:])
            replace_file(path, (kept.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; check the path, space and permissions") from error
