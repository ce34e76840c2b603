"""The two files people write, `station.yaml` and `recipe.yaml`: what may stand in them and how they are read.

All mistakes of a file are reported at once, each with file, line, key, value and what to write instead.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge_inspect.errors import ConfigError

DEFAULT_RUNTIME = "openvino" if platform.machine() in {"x86_64", "AMD64"} else "onnx"
PositiveMs = Annotated[float, Field(gt=0, le=60_000)]
Point = tuple[float, float]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3)]


class _Written(BaseModel):
    """A part of a file that a person writes: unknown keys are mistakes, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RegionOfInterest(_Written):
    """The rectangle of the frame that the network sees, turned about its centre. All in frame pixels.

    `rotation_deg` turns the rectangle clockwise as seen on the screen (y points down).
    """

    left: float = Field(ge=0)
    top: float = Field(ge=0)
    width: float = Field(gt=0)
    height: float = Field(gt=0)
    rotation_deg: float = Field(default=0.0, ge=-180, le=180)


class Masks(_Written):
    """Where defects count. Polygons are in frame pixels; in a PNG mask every pixel above 0 is searched.

    A cell is searched when it lies in `include` (everything, if empty), not in `ignore`, on the PNG's white, and at
    least `border_px` from the edge of the region of interest.
    """

    include: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    png: Path | None = None
    border_px: float = Field(default=0.0, ge=0)

    @property
    def empty(self) -> bool:
        """Whether everything is searched."""
        return not (self.include or self.ignore or self.png or self.border_px)


class RegionRule(_Written):
    """Which regions make a part NG: those of at least this area and peak, when there are more than `max_count`."""

    min_area_px: float = Field(default=0.0, ge=0)
    min_area_mm2: float | None = Field(default=None, ge=0)
    min_peak: float | None = None
    max_count: int = Field(default=0, ge=0)


class DecisionRule(_Written):
    """A part is NG by its image score, by its regions, or by either."""

    image_score: bool = True
    regions: RegionRule | None = None

    @model_validator(mode="after")
    def _decides_by_something(self) -> DecisionRule:
        if not self.image_score and self.regions is None:
            raise ValueError("nothing decides: set image_score to true, or give regions")
        return self


class FrameSize(_Written):
    """The only frame size this recipe is made for; another one is a FAULT."""

    width: int = Field(gt=0, le=32_768)
    height: int = Field(gt=0, le=32_768)


class Recipe(_Written):
    """How one kind of part is inspected. Paths are relative to the recipe's folder."""

    part: str = Field(min_length=1, max_length=80)
    engine: Path
    thresholds: Path = Path("thresholds.json")
    frame: FrameSize | None = None
    region_of_interest: RegionOfInterest | None = None
    mm_per_px: float | None = Field(default=None, gt=0)
    masks: Masks = Masks()
    decision: DecisionRule = DecisionRule()

    @model_validator(mode="after")
    def _areas_need_a_scale(self) -> Recipe:
        rule = self.decision.regions
        if rule is not None and rule.min_area_mm2 is not None and self.mm_per_px is None:
            raise ValueError("decision.regions.min_area_mm2 needs mm_per_px: give the scale, or use min_area_px")
        return self

    @property
    def sha256(self) -> str:
        """Hash of everything in the recipe that moves a score; a threshold is bound to it."""
        moves_scores = self.model_dump(mode="json", include={"frame", "region_of_interest", "masks"})
        if self.masks.png is not None:
            moves_scores["masks"]["png"] = hashlib.sha256(_read_bytes(self.masks.png)).hexdigest()
        return hashlib.sha256(json.dumps(moves_scores, sort_keys=True).encode()).hexdigest()


class PluginBlock(BaseModel):
    """`kind` and, beside it, the options of the camera, runtime, output or PLC wire of that kind."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        """The options as they stand in the file; checked against the factory when it is opened."""
        return dict(self.model_extra or {})


class Background(_Written):
    """Put the output behind a bounded queue and a thread of its own."""

    queue: int = Field(default=32, ge=1, le=10_000)


class OutputBlock(PluginBlock):
    """An output; `background` is allowed for records that may be dropped when they cannot keep up."""

    background: Background | None = None


class Station(_Written):
    """One camera, one line. Paths are relative to the station file's folder."""

    name: str = Field(min_length=1, max_length=80)
    recipe: Path
    camera: PluginBlock
    runtime: PluginBlock = Field(default_factory=lambda: PluginBlock(kind=DEFAULT_RUNTIME))
    plc: PluginBlock | None = None
    outputs: tuple[OutputBlock, ...] = ()
    trigger: Literal["camera", "plc"] = "camera"
    deadline_ms: PositiveMs
    data: Path = Path("data")
    jobs: dict[Annotated[int, Field(ge=0, le=999)], Path] = {}

    @field_validator("camera", "runtime", "plc", mode="before")
    @classmethod
    def _a_bare_word_is_a_kind(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _a_plc_trigger_needs_a_plc(self) -> Station:
        if self.trigger == "plc" and self.plc is None:
            raise ValueError("trigger: plc needs a plc block; give one, or write trigger: camera")
        return self


def load_station(path: Path) -> Station:
    """Read `station.yaml`; its paths come back absolute.

    Raises:
        ConfigError: the file cannot be read, or everything that is wrong in it.
    """
    station = _load(path, Station)
    base = path.resolve().parent
    return station.model_copy(
        update={
            "recipe": base / station.recipe,
            "data": base / station.data,
            "jobs": {job: base / recipe for job, recipe in station.jobs.items()},
        }
    )


def load_recipe(path: Path) -> Recipe:
    """Read `recipe.yaml`; its paths come back absolute.

    Raises:
        ConfigError: the file cannot be read, or everything that is wrong in it.
    """
    recipe = _load(path, Recipe)
    base = path.resolve().parent
    png = None if recipe.masks.png is None else base / recipe.masks.png
    return recipe.model_copy(
        update={
            "engine": base / recipe.engine,
            "thresholds": base / recipe.thresholds,
            "masks": recipe.masks.model_copy(update={"png": png}),
        }
    )


Written = TypeVar("Written", bound=BaseModel)


def _load(path: Path, schema: type[Written]) -> Written:
    text = _read_bytes(path)
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}; correct the line named") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected keys and values, got {_short(value)}; see {schema.__name__} in docs/configuration.md")
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentences(path, tree, schema, error))) from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path and the permissions") from error


def _sentences(path: Path, tree: yaml.Node | None, schema: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        where = fault["loc"]
        line = _line_of(tree, where)
        key = ".".join(str(step) for step in where) or "(whole file)"
        yield f"{path}:{line}: {key}: {_what_to_write(schema, fault)}"


def _what_to_write(schema: type[BaseModel], fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        known = sorted(_keys_beside(schema, fault["loc"]))
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        return f"unknown key; {f'did you mean {close[0]}?' if close else 'write one of ' + ', '.join(known)}"
    if fault["type"] == "missing":
        return "is missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    return message if fault["type"] == "value_error" else f"got {_short(fault['input'])}; {message}"


def _keys_beside(schema: type[BaseModel], where: tuple[int | str, ...]) -> Iterator[str]:
    """Keys that the block holding the unknown key may have."""
    for block in _blocks_at(schema, where[:-1]):
        yield from block.model_fields


def _blocks_at(schema: type[BaseModel], where: tuple[int | str, ...]) -> Iterator[type[BaseModel]]:
    if not where:
        yield schema
    elif where[0] in schema.model_fields:
        for inner in _models_in(schema.model_fields[str(where[0])].annotation):
            yield from _blocks_at(inner, where[1:])


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


def _line_of(node: yaml.Node | None, where: tuple[int | str, ...]) -> int:
    line = 0 if node is None else node.start_mark.line
    for step in where:
        key, node = _child(node, step)
        line = line if key is None else key.start_mark.line
    return line + 1


def _child(node: yaml.Node | None, step: int | str) -> tuple[yaml.Node | None, yaml.Node | None]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None, None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
