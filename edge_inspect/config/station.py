"""`station.yaml`: one camera, one line."""

from __future__ import annotations

import platform
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from edge_inspect.config.gate import Gate
from edge_inspect.config.reading import Written, WrittenFile, read_written

DEFAULT_RUNTIME = "openvino" if platform.machine() in {"x86_64", "AMD64"} else "onnx"
PositiveMs = Annotated[float, Field(gt=0, le=60_000)]


class PluginBlock(BaseModel):
    """`kind` and, beside it, the options of the camera, runtime, output or PLC wire of that kind."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(min_length=1)
    _places: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The options as they stand in the file; checked against the factory when it is opened."""
        return dict(self.model_extra or {})

    def without(self, option: str) -> PluginBlock:
        """The same block without an option, which somebody else has dealt with."""
        left = PluginBlock.model_validate({"kind": self.kind, **{name: value for name, value in self.options.items() if name != option}})
        left._places.update(self._places)
        return left

    def place_of(self, option: str) -> str:
        """File, line and key of an option (`station.yaml:7: camera.fps`), also of a missing one; "" for a block of no file."""
        block = self._places.get("")
        return self._places.get(option, "" if block is None else f"{block}.{option}")

    def remember_places(self, file: WrittenFile[Any], *steps: int | str) -> None:
        """Keep where the block and its options stand in the file, for whoever finds a mistake in them later."""
        self._places.update({option: file.place_of(*steps, option) for option in self.options})
        self._places[""] = file.place_of(*steps)


class Isolation(Written):
    """Run the camera in a child process, which is killed and started again when its driver hangs or crashes.

    Attributes:
        open_timeout_ms: longest time for the child to start and to open the camera [ms].
        hang_ms: a driver that is silent for longer than this beyond the time a grab may wait is taken for hung [ms].
    """

    open_timeout_ms: int = Field(default=10_000, ge=500, le=120_000)
    hang_ms: int = Field(default=1000, ge=100, le=60_000)


class CameraBlock(PluginBlock):
    """A camera; `isolated: true`, or its limits, puts it into a child process."""

    isolated: Isolation | None = None

    @field_validator("isolated", mode="before")
    @classmethod
    def _true_is_the_usual_limits(cls, value: object) -> object:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value


class Background(Written):
    """Put the output behind a bounded queue and a thread of its own."""

    queue: int = Field(default=32, ge=1, le=10_000)
    queue_mb: float = Field(default=64.0, gt=0, le=100_000)


class OutputBlock(PluginBlock):
    """An output; `background` is allowed for records that may be dropped when they cannot keep up."""

    background: Background | None = None


class WireBlock(PluginBlock):
    """A PLC wire; `may_change_job` is for a wire that is not the first, whose job changes count without it."""

    may_change_job: bool = False


def _time_of_day(value: object) -> object:
    """`06:00`; YAML takes an unquoted 14:00 for a number of minutes."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    try:
        return time.fromisoformat(value) if isinstance(value, str) and len(value) == len("06:00") else value
    except ValueError:
        return value


class ChallengeRule(Written):
    """When golden parts must have had their expected verdicts, or the station is not Ready.

    Attributes:
        every_h: a passed challenge counts for so long [h].
        at: or until the next of these times of day, in the time zone of this machine; one made half an hour before is that shift's.
        live: parts before the station's own camera count only, not stored pictures.
    """

    every_h: float | None = Field(default=None, gt=0, le=168)
    at: tuple[Annotated[time, BeforeValidator(_time_of_day)], ...] = ()
    live: bool = False

    @model_validator(mode="after")
    def _by_hours_or_by_shifts(self) -> ChallengeRule:
        if (self.every_h is None) is not bool(self.at):
            raise ValueError('give every_h (as every_h: 8), or the times at which shifts begin (as at: ["06:00", "14:00", "22:00"])')
        return self


class Metrics(Written):
    """Where Prometheus may ask."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=1, le=65_535)


class Audit(Written):
    """How much of the audit record is kept, in `data`/audit: a file is full at `rotate_mb` [MB], the newest `keep` files stay."""

    rotate_mb: float = Field(default=5.0, gt=0, le=1000)
    keep: int = Field(default=40, ge=2, le=100_000)


class Station(Written):
    """One camera, one line. Paths are relative to the station file's folder."""

    name: str = Field(min_length=1, max_length=80)
    recipe: Path
    camera: CameraBlock
    runtime: PluginBlock = Field(default_factory=lambda: PluginBlock(kind=DEFAULT_RUNTIME))
    plc: tuple[WireBlock, ...] = ()
    outputs: tuple[OutputBlock, ...] = ()
    trigger: Literal["camera", "plc"] = "camera"
    acceptance: Literal["at start", "required"] = "at start"
    public_key: Path | None = None
    deadline_ms: PositiveMs
    guard: bool = False
    challenge: ChallengeRule | None = None
    data: Path = Path("data")
    metrics: Metrics | None = None
    audit: Audit = Audit()
    jobs: dict[Annotated[int, Field(ge=0, le=999)], Path] = {}
    gate: Gate | None = None

    @field_validator("camera", "runtime", mode="before")
    @classmethod
    def _a_bare_word_is_a_kind(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("outputs", mode="before")
    @classmethod
    def _so_it_is_in_a_list(cls, value: object) -> object:
        return tuple(map(cls._a_bare_word_is_a_kind, value)) if isinstance(value, list) else value

    @field_validator("plc", mode="before")
    @classmethod
    def _one_wire_needs_no_list(cls, value: object) -> object:
        wires = [] if value is None else value if isinstance(value, list) else [value]
        return tuple(map(cls._a_bare_word_is_a_kind, wires))

    @model_validator(mode="after")
    def _a_plc_trigger_needs_a_plc(self) -> Station:
        if self.trigger == "plc" and not self.plc:
            raise ValueError("trigger: plc needs a plc block; give one, or write trigger: camera")
        return self


def load_station(path: Path) -> Station:
    """Read `station.yaml`; its paths come back absolute.

    Raises:
        ConfigError: the file cannot be read, or everything that is wrong in it.
    """
    file = read_written(path, Station)
    station = file.content
    station.camera.remember_places(file, "camera")
    station.runtime.remember_places(file, "runtime")
    for index, wire in enumerate(station.plc):
        wire.remember_places(file, "plc", index)
    for index, output in enumerate(station.outputs):
        output.remember_places(file, "outputs", index)
    base = path.resolve().parent
    return station.model_copy(
        update={
            "recipe": base / station.recipe,
            "data": base / station.data,
            "public_key": None if station.public_key is None else base / station.public_key,
            "jobs": {job: base / recipe for job, recipe in station.jobs.items()},
        }
    )
