"""What a verdict costs in energy, where the device tells: RAPL on a PC, the INA monitors of a Jetson, nvidia-smi of a GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from edge_inspect.field.nvidia import gpu_watts

LONGEST_GAP_S = 0.05
"""Power is read at least so often between frames; the INA3221 itself averages over about this time."""

_RAPL = Path("/sys/class/powercap")
_INA = Path("/sys/bus/i2c/drivers")


class Meter(Protocol):
    """Tells how much energy has been used."""

    source: str

    def joules(self) -> float:
        """Energy used since the meter was made [J]; called often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What was used.

    Attributes:
        source: what told it, or why nothing did.
        watts: mean power while working [W]; None where the device does not tell.
        idle_watts: mean power while waiting, just before [W].
        joules_per_frame: energy of one frame, waiting power included [J].
    """

    source: str
    watts: float | None = None
    idle_watts: float | None = None
    joules_per_frame: float | None = None


def measure_energy(work: Callable[[], object], meter: Meter | None, *, seconds: float = 3.0) -> Energy:
    """Wait, then work frame after frame, and read the meter.

    Args:
        work: one frame.
        meter: from `find_meter`; None says that nothing was measured.
        seconds: how long to wait and to work, each [s].
    """
    if meter is None:
        return Energy(source="not measured: this device tells no energy (no readable RAPL, no INA monitor, no nvidia-smi)")
    _, idle_joules, idle_s = _metered(lambda: time.sleep(LONGEST_GAP_S), meter, seconds)
    frames, joules, took_s = _metered(work, meter, seconds)
    return Energy(
        source=meter.source,
        watts=round(joules / took_s, 3),
        idle_watts=round(idle_joules / idle_s, 3),
        joules_per_frame=round(joules / frames, 6),
    )


def find_meter(*, rapl: Path = _RAPL, ina: Path = _INA, gpu: Callable[[], float | None] = gpu_watts) -> Meter | None:
    """The first meter that can be read: a Jetson's, RAPL, the GPU's; None where there is none."""
    rails = tuple(_ina_rails(ina))
    if rails:
        return PowerMeter("Jetson INA monitor, input rail", lambda: sum(rail() for rail in rails))
    packages = tuple(path for path in sorted(rapl.glob("*-rapl:*")) if _is_package(path))
    if packages:
        return RaplMeter(packages)
    if gpu() is not None:
        return PowerMeter("nvidia-smi, the GPU only", lambda: gpu() or 0.0)
    return None


class RaplMeter:
    """Counters of the processor's packages, which wrap."""

    source = "RAPL, processor packages"

    def __init__(self, packages: tuple[Path, ...]) -> None:
        self._packages = packages
        self._last = [self._counter(path) for path in packages]
        self._microjoules = 0.0

    def joules(self) -> float:
        """Energy used since the meter was made [J]."""
        for index, path in enumerate(self._packages):
            now = self._counter(path)
            self._microjoules += (now - self._last[index]) % ((_number(path / "max_energy_range_uj") or 2.0**63) + 1)
            self._last[index] = now
        return self._microjoules / 1e6

    @staticmethod
    def _counter(path: Path) -> float:
        return _number(path / "energy_uj") or 0.0


class PowerMeter:
    """Integrates a power that is read now and then (trapezoids)."""

    def __init__(self, source: str, watts: Callable[[], float]) -> None:
        self.source = source
        self._watts = watts
        self._joules, self._at_s, self._last = 0.0, time.monotonic(), watts()

    def joules(self) -> float:
        """Energy used since the meter was made [J]."""
        now_s, now = time.monotonic(), self._watts()
        self._joules += (now_s - self._at_s) * (now + self._last) / 2
        self._at_s, self._last = now_s, now
        return self._joules


def _metered(work: Callable[[], object], meter: Meter, seconds: float) -> tuple[int, float, float]:
    """How often it worked, the energy [J] and the time [s]."""
    before, started = meter.joules(), time.monotonic()
    read_s, done = started, 0
    while time.monotonic() - started < seconds or not done:
        work()
        done += 1
        if time.monotonic() - read_s >= LONGEST_GAP_S:
            meter.joules()
            read_s = time.monotonic()
    used = meter.joules() - before
    return done, used, time.monotonic() - started


def _ina_rails(drivers: Path) -> Iterator[Callable[[], float]]:
    """The input rail of each INA monitor [W]: `in1 x curr1` of hwmon (Orin), else `in_power0_input` of the older driver (Nano)."""
    for volts in sorted(drivers.glob("ina3221*/*/hwmon/hwmon*/in1_input")):
        amperes = volts.with_name("curr1_input")
        if _number(volts) is not None and _number(amperes) is not None:
            yield partial(_watts, volts, amperes)
    for milliwatts in sorted(drivers.glob("ina3221*/*/iio:device*/in_power0_input")):
        if _number(milliwatts) is not None:
            yield partial(_watts, milliwatts)


def _watts(*factors: Path) -> float:
    """Product of what these files say, each in thousandths of its unit: millivolts and milliamperes, or milliwatts [W]."""
    return math.prod((_number(factor) or 0.0) / 1e3 for factor in factors)


def _is_package(zone: Path) -> bool:
    """Whether a zone of RAPL is a whole processor that may be read; its parts are `intel-rapl:0:0` and so on."""
    return zone.name.count(":") == 1 and _number(zone / "energy_uj") is not None


def _number(path: Path) -> float | None:
    with suppress(OSError, ValueError):
        return float(path.read_text())
    return None
