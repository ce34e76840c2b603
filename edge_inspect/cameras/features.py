"""The settings that a station file wants of a GenICam camera: set at every opening, read back, compared.

A camera keeps what the last program left in it, and rounds or refuses what it is given. So nothing is taken for granted: what differs
from the file afterwards is an error that names it, with got and wanted.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, TypeAlias

from pydantic import Field

from edge_inspect.cameras.pixel_formats import CONVERTIBLE
from edge_inspect.errors import CameraError, ConfigError

Value: TypeAlias = bool | int | float | str
"""What a feature holds; an enumeration holds text."""

ExposureUs = Annotated[float, Field(gt=0, le=60_000_000)]
Gain = Annotated[float, Field(ge=-100, le=10_000)]
Delay = Annotated[float, Field(ge=0, le=60_000_000)]
Size = Annotated[int, Field(ge=1, le=65_536)]
Offset = Annotated[int, Field(ge=0, le=65_536)]
PacketSize = Annotated[int, Field(ge=220, le=65_535)]
Rate = Annotated[float, Field(gt=0, le=10_000)]
Activation = Literal["RisingEdge", "FallingEdge", "AnyEdge", "LevelHigh", "LevelLow"]

SOFTWARE = "Software"
# Cameras round exposure and gain to steps of their own; a thousandth changes no picture.
_TOLERANCE = 1e-3
_log = logging.getLogger(__name__)


class FeatureMap(Protocol):
    """The features of one opened camera, by their GenICam names."""

    def has(self, name: str) -> bool:
        """Whether the camera has it."""

    def choices(self, name: str) -> Sequence[str]:
        """What an enumeration can be."""

    def read(self, name: str) -> Value:
        """What it is; raises CameraError."""

    def write(self, name: str, value: Value) -> None:
        """Set it; raises CameraError with the camera's own reason."""


SILENT_S = 10.0
"""A camera that runs freely and has control, and yet gives no frame for so long, is opened again [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The settings of a station file; None leaves the camera's own. See `pylon.open_pylon` for their meaning."""

    exposure_us: float | None = None
    gain: float | None = None
    pixel_format: str | None = None
    width: int | None = None
    height: int | None = None
    left: int | None = None
    top: int | None = None
    fps: float | None = None
    trigger_source: str | None = None
    trigger_selector: str = "FrameStart"
    trigger_activation: str | None = None
    trigger_delay_us: float | None = None
    packet_size: int | None = None
    features: Mapping[str, Value]

    @property
    def by_software(self) -> bool:
        """Whether each grab triggers the camera."""
        return self.trigger_source == SOFTWARE

    @property
    def longest_silence_s(self) -> float | None:
        """How long a camera that runs freely may give nothing while it is asked [s]; None where something triggers it, or may."""
        if self.trigger_source is not None or any(name.startswith(("Trigger", "Acquisition")) for name in self.features):
            return None
        return max(SILENT_S, 5 / (self.fps or 1), 5e-6 * (self.exposure_us or 0))


# Under one of these names a camera has the feature; older ones have the second.
_NAMES = {
    "exposure": ("ExposureTime", "ExposureTimeAbs"),
    "gain": ("Gain", "GainRaw"),
    "rate": ("AcquisitionFrameRate", "AcquisitionFrameRateAbs"),
    "rate enabled": ("AcquisitionFrameRateEnable", "AcquisitionFrameRateEnabled"),
    "delay": ("TriggerDelay", "TriggerDelayAbs"),
    "packet": ("GevSCPSPacketSize", "DeviceStreamChannelPacketSize"),
}


def apply(wanted: Wanted, features: FeatureMap, *, where: str) -> None:
    """Set everything that is wanted, read it back, and compare.

    Raises:
        ConfigError: everything that the camera has not, refuses, or holds otherwise than wanted.
    """
    _untrigger(features)
    applied: list[tuple[str, Value]] = []
    problems: list[str] = []
    for name, value in _in_order(wanted, features):
        try:
            features.write(name, value)
        except CameraError as error:
            problems.append(f"{name}: wanted {_shown(value)}, refused: {error}")
        else:
            applied.append((name, value))
    problems += _differing(applied, features)
    if problems:
        raise ConfigError(f"{where}: the camera does not take its settings: {'; '.join(problems)}; correct them in the station file")
    _look_at_format(features, where)


def described(features: FeatureMap) -> dict[str, Value]:
    """What the camera is set to now, as options of a station file."""
    names: dict[str, tuple[str, ...]] = {
        "pixel_format": ("PixelFormat",),
        "width": ("Width",),
        "height": ("Height",),
        "left": ("OffsetX",),
        "top": ("OffsetY",),
        "exposure_us": _NAMES["exposure"],
        "gain": _NAMES["gain"],
        "packet_size": _NAMES["packet"],
    }
    found: dict[str, Value] = {}
    for option, candidates in names.items():
        name = next(filter(features.has, candidates), "")
        if name:
            found[option] = features.read(name)
    return found


def _untrigger(features: FeatureMap) -> None:
    """A trigger that another program left on, on whichever selector, would keep the camera waiting for ever."""
    if not (features.has("TriggerMode") and features.has("TriggerSelector")):
        return
    for selector in features.choices("TriggerSelector"):
        try:
            features.write("TriggerSelector", selector)
            features.write("TriggerMode", "Off")
        except CameraError:  # listed, but not now available: then it is not on either
            continue


def _in_order(wanted: Wanted, features: FeatureMap) -> Iterator[tuple[str, Value]]:
    """In an order that cameras take: the format before the region, the region's size while its offset is 0, the trigger last."""
    yield from _given(("PixelFormat", wanted.pixel_format))
    yield from _region(wanted, features)
    if wanted.exposure_us is not None:
        yield from _off("ExposureAuto", features)
        yield _known("exposure", features), wanted.exposure_us
    if wanted.gain is not None:
        yield from _off("GainAuto", features)
        name = _known("gain", features)
        yield name, round(wanted.gain) if name == "GainRaw" else wanted.gain
    if wanted.packet_size is not None:
        yield _known("packet", features), wanted.packet_size
    yield from wanted.features.items()
    yield from _pace(wanted, features)


def _region(wanted: Wanted, features: FeatureMap) -> Iterator[tuple[str, Value]]:
    for name, size in (("OffsetX", wanted.width), ("OffsetY", wanted.height)):
        if size is not None and features.has(name):
            yield name, 0
    yield from _given(("Width", wanted.width), ("Height", wanted.height), ("OffsetX", wanted.left), ("OffsetY", wanted.top))


def _pace(wanted: Wanted, features: FeatureMap) -> Iterator[tuple[str, Value]]:
    if features.has("AcquisitionMode"):
        yield "AcquisitionMode", "Continuous"
    if wanted.fps is not None:
        enabling = next(filter(features.has, _NAMES["rate enabled"]), None)
        if enabling is not None:
            yield enabling, True
        yield _known("rate", features), wanted.fps
    if wanted.trigger_source is None:
        return
    yield "TriggerSelector", wanted.trigger_selector
    yield "TriggerSource", wanted.trigger_source
    yield from _given(("TriggerActivation", wanted.trigger_activation))
    if wanted.trigger_delay_us is not None:
        yield _known("delay", features), wanted.trigger_delay_us
    yield "TriggerMode", "On"


def _given(*pairs: tuple[str, Value | None]) -> Iterator[tuple[str, Value]]:
    yield from ((name, value) for name, value in pairs if value is not None)


def _off(name: str, features: FeatureMap) -> Iterator[tuple[str, Value]]:
    if features.has(name):
        yield name, "Off"


def _known(what: str, features: FeatureMap) -> str:
    """The name under which this camera has it; where it has none, the first, which it then refuses."""
    return next(filter(features.has, _NAMES[what]), _NAMES[what][0])


def _differing(applied: Sequence[tuple[str, Value]], features: FeatureMap) -> Iterator[str]:
    """What is read back last counts: a feature may be set on the way to another one, and one may change another."""
    for name, value in dict(applied).items():
        try:
            got = features.read(name)
        except CameraError as error:
            yield f"{name}: wanted {_shown(value)}, cannot be read back: {error}"
            continue
        if not _same(got, value):
            yield f"{name}: got {_shown(got)}, wanted {_shown(value)}"


def _same(got: Value, wanted: Value) -> bool:
    if isinstance(got, str) or isinstance(wanted, str):
        return str(got) == str(wanted)
    if isinstance(got, float) or isinstance(wanted, float):
        return math.isclose(got, wanted, rel_tol=_TOLERANCE, abs_tol=1e-9)
    return int(got) == int(wanted)


def _look_at_format(features: FeatureMap, where: str) -> None:
    got = str(features.read("PixelFormat"))
    if got not in CONVERTIBLE:
        raise ConfigError(f"{where}: delivers {got}, wanted one of {', '.join(sorted(CONVERTIBLE))}; set pixel_format to one of them")
    if got == "Mono12":
        _log.info("%s: Mono12 is scaled to 8 bits (value // 16)", where)


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
