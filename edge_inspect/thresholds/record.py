"""`thresholds.json`: the limits a part is held against, bound to the engine and the recipe they were made for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.config import first_mistake
from edge_inspect.durable import replace_file
from edge_inspect.errors import ConfigError


class Sample(BaseModel):
    """The good parts a threshold was taken from: how many, and their scores."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    images: int = Field(ge=0)
    fingerprint: str
    minimum: float
    median: float
    maximum: float


class RegionLimits(BaseModel):
    """Regions smaller or fainter than this do not count, whatever less the recipe asks for: good parts have such ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    min_area_px: float = Field(ge=0)
    min_peak: float | None = None


class ZoneLimits(BaseModel):
    """What was learnt for one zone of the recipe: its own pixel threshold, and how large a region good parts have there."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    pixel_threshold: float
    min_area_px: float = Field(default=0.0, ge=0)


class Thresholds(BaseModel):
    """What stands in `thresholds.json`. Scores are in engine units.

    `promise` is the sentence a person may rely on, with its bound; it never says more than the sample carries. `confidence` is how sure
    the bound is; older files have it in the sentence alone. `region_limits` and `zones` are there only where they were learnt; without
    them the file is what it was before there were any. A zone that is not named here has the pixel threshold of the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    image_threshold: float
    pixel_threshold: float
    engine_sha256: str
    recipe_sha256: str
    rule: str
    promise: str
    false_reject_bound: float | None = Field(default=None, ge=0, le=1)
    confidence: float | None = Field(default=None, ge=0, le=1)
    sample: Sample
    made_at: AwareDatetime
    software: str
    region_limits: RegionLimits | None = None
    zones: tuple[ZoneLimits, ...] = ()

    @property
    def calibration_id(self) -> str:
        """Short name of exactly these thresholds, for records."""
        return hashlib.sha256(self.written()).hexdigest()[:12]

    def written(self, *, indent: int | None = None) -> bytes:
        """The thresholds as JSON, without a line end."""
        left_out = {name for name in ("confidence", "region_limits", "zones") if not getattr(self, name)}
        return self.model_dump_json(indent=indent, exclude=left_out).encode()


def load_thresholds(path: Path, *, engine_sha256: str, recipe_sha256: str) -> Thresholds:
    """Read the thresholds and refuse those made for another engine or recipe.

    Raises:
        ConfigError: unreadable, or made for another engine or recipe (both hashes, and what to do).
    """
    thresholds = read_thresholds(path)
    refuse_another(path, thresholds, engine_sha256=engine_sha256, recipe_sha256=recipe_sha256)
    return thresholds


def read_thresholds(path: Path) -> Thresholds:
    """Read the thresholds, whatever they were made for.

    Raises:
        ConfigError: unreadable.
    """
    try:
        return Thresholds.model_validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; teach the part, or calibrate it") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not thresholds of this version: {first_mistake(error)}; calibrate the part") from error


def refuse_another(path: Path, thresholds: Thresholds, *, engine_sha256: str, recipe_sha256: str) -> None:
    """Refuse thresholds made for another engine or recipe than these.

    Raises:
        ConfigError: with both hashes, and what to do.
    """
    _refuse_another(path, "engine", made_for=thresholds.engine_sha256, running=engine_sha256)
    _refuse_another(path, "recipe", made_for=thresholds.recipe_sha256, running=recipe_sha256)


def save_thresholds(path: Path, thresholds: Thresholds) -> None:
    """Write the thresholds in one step: a reader sees the old file or the new one. When it returns, a power cut keeps the new one.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, file_content(thresholds))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; check space and permissions") from error


def file_content(thresholds: Thresholds) -> bytes:
    """What stands in the file of these thresholds."""
    return thresholds.written(indent=2) + b"\n"


def _refuse_another(path: Path, what: str, *, made_for: str, running: str) -> None:
    if made_for != running:
        raise ConfigError(
            f"{path}: made for {what} {made_for[:12]}, but {running[:12]} is running; calibrate the part again with this {what}"
        )
