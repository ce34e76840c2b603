"""From the `gate` block of a station file to steps, lines and a thread's priority."""

from __future__ import annotations

import logging
import os

from edge_inspect.config import Gate as Settings
from edge_inspect.digital_io import Line
from edge_inspect.gate.parts import Geometry

REJECT, SENSOR = "output", "sensor"
"""Signals of the gate's own lines."""
MS_NS = 1_000_000

log = logging.getLogger(__name__)


def geometry_of(settings: Settings) -> Geometry:
    """The gate's lengths in steps."""

    def steps(length: float) -> int:
        return round(length * settings.steps_per_unit)

    sensor = settings.sensor
    return Geometry(
        distance=steps(settings.distance),
        pulse=max(1, steps(settings.pulse)),
        pitch=steps(settings.pitch),
        lead=steps(settings.lead),
        reverse=steps(settings.reverse),
        sensor=None if sensor is None else steps(sensor.distance),
        window=0 if sensor is None else steps(sensor.window),
        least_on_ns=round(settings.least_on_ms * MS_NS),
    )


def needs_gpio(settings: Settings) -> bool:
    """Whether anything of the gate hangs on a GPIO line."""
    return bool(lines_of(settings)) or (settings.encoder is not None and settings.encoder.kind != "counter")


def lines_of(settings: Settings) -> list[Line]:
    """The gate's own lines; its output rejects from the moment it is taken."""
    lines = []
    if (output := settings.output) is not None:
        lines.append(
            Line(
                signal=REJECT,
                line=output.line,
                chip=output.chip,
                output=True,
                active_low=output.active_low,
                drive=output.drive,
                initially=True,
            )
        )
    if (sensor := settings.sensor) is not None:
        lines.append(
            Line(
                signal=SENSOR,
                line=sensor.line,
                chip=sensor.chip,
                active_low=sensor.active_low,
                bias=sensor.bias,
                debounce_us=sensor.debounce_us,
                rising_only=True,
            )
        )
    return lines


def take_priority(priority: int | None) -> None:
    """This thread before all ordinary ones, where the system allows it."""
    if priority is None:
        return
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        log.warning("gate: priority %d is not allowed here: its thread is an ordinary one; install systemd/drop-ins/gate.conf", priority)
