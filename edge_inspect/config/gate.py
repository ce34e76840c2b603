"""The `gate` block of station.yaml: where the reject gate lies behind the camera, and what it is driven by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge_inspect.config.reading import Written

Travel = Annotated[float, Field(ge=0, le=1e9)]
LineName = Annotated[str, Field(min_length=1, max_length=80)] | Annotated[int, Field(ge=0, le=4095)]
"""A line of a GPIO chip: its name, or its offset on the chip."""
Bias = Literal["as-is", "disabled", "pull-up", "pull-down"]
Drive = Literal["push-pull", "open-drain", "open-source"]


class GateOutput(Written):
    """The line that rejects. Without it the gate is shown on the PLC wires only.

    Attributes:
        line: name or offset.
        chip: path, name or label; None where the line has a name of its own.
        active_low: the line is low to reject: then a line that nobody drives rejects, with a resistor to ground.
        drive: of the chip's output.
    """

    line: LineName
    chip: str | None = None
    active_low: bool = False
    drive: Drive = "push-pull"


class PartSensor(Written):
    """A sensor that sees each part shortly before the gate.

    Attributes:
        distance: from the trigger to where a part's front is seen, in the unit of the gate.
        window: how far from there it may be seen, to either side.
        line, chip, active_low, bias, debounce_us: the line.
    """

    distance: Travel
    window: Travel
    line: LineName
    chip: str | None = None
    active_low: bool = False
    bias: Bias = "as-is"
    debounce_us: int = Field(default=0, ge=0, le=1_000_000)


class Encoder(Written):
    """What counts the belt's way.

    Attributes:
        kind: `gpio`: lines of a chip; `counter`: a counter of the kernel, which counts in hardware.
        a, b: lines of an incremental encoder for `gpio`. One line counts its rising edges and knows no direction; of both, all edges count.
        chip, bias: of these lines.
        path: file of the count for `counter`, as `/sys/bus/counter/devices/counter0/count0/count`.
        bits: of that count, which wraps; 16 or 32.
        backwards: the count falls as the belt runs forward.
        counts_per_mm: all lengths of the gate are in millimetres then; without it they are counts.
        max_per_s: more counts in a second than this are no belt.
    """

    kind: Literal["gpio", "counter"]
    a: LineName | None = None
    b: LineName | None = None
    chip: str | None = None
    bias: Bias = "as-is"
    path: Path | None = None
    bits: Literal[16, 32] = 32
    backwards: bool = False
    counts_per_mm: Annotated[float, Field(gt=0, le=1e6)] | None = None
    max_per_s: int = Field(default=1_000_000, ge=1)

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Encoder:
        if self.kind == "gpio" and (self.a is None or self.path is not None):
            raise ValueError("an encoder of kind gpio needs the line `a` (and `b`, where the belt may run backwards), and no path")
        if self.kind == "counter" and (self.path is None or self.a is not None or self.b is not None):
            raise ValueError("an encoder of kind counter needs the path of its count, and no lines")
        if self.path is not None and not self.path.is_absolute():
            raise ValueError(f"the path of a counter is absolute, as /sys/bus/counter/devices/counter0/count0/count, not {self.path}")
        return self


class Gate(Written):
    """The reject gate. Lengths are millimetres or counts of the encoder; without an encoder they are milliseconds at a belt of one speed.

    Attributes:
        distance: from where a part is triggered to where it is rejected.
        pulse: length of the output for one part.
        lead: the output begins so much before the part is at the gate.
        pitch: least distance between the fronts of two parts.
        reverse: backward movement that is only play; more of it clears the belt.
        lead_ms: time that the gate's mechanics need, taken in addition to `lead` at the belt's present speed [ms].
        least_on_ms: the output is on for so long at least [ms].
        encoder: what counts the belt's way; None for a belt of one speed that never stops.
        sensor: a part sensor before the gate.
        output: the line that rejects.
        priority: real-time priority of the gate's thread (SCHED_FIFO, 1 to 99), where the system allows it; None leaves it an ordinary one.
    """

    distance: Travel
    pulse: Travel
    pitch: Travel
    lead: Travel = 0.0
    reverse: Travel = 0.0
    lead_ms: float = Field(default=0.0, ge=0, le=1000)
    least_on_ms: float = Field(default=0.0, ge=0, le=10_000)
    encoder: Encoder | None = None
    sensor: PartSensor | None = None
    output: GateOutput | None = None
    priority: Annotated[int, Field(ge=1, le=99)] | None = 50

    @property
    def unit(self) -> str:
        """What its lengths are given in."""
        if self.encoder is None:
            return "ms"
        return "counts" if self.encoder.counts_per_mm is None else "mm"

    @property
    def steps_per_unit(self) -> float:
        """Steps of the belt in one of its unit: counts, or nanoseconds where a clock stands for the belt."""
        if self.encoder is None:
            return 1e6
        return self.encoder.counts_per_mm or 1.0

    @model_validator(mode="after")
    def _lies_in_order(self) -> Gate:
        wrong = self._geometry_mistake()
        if wrong:
            raise ValueError(wrong)
        return self

    def _geometry_mistake(self) -> str:
        behind = self.pulse - self.lead
        if self.pitch <= 0 or behind <= 0:
            return "pitch must be more than 0 and pulse more than lead, so that the output is on while the part is at the gate"
        if self.lead >= self.pitch or behind > self.pitch:
            return (
                f"a pulse from {self.lead:g} before to {behind:g} behind a part reaches its neighbour, {self.pitch:g} away: "
                "make pulse or lead shorter, or space the parts"
            )
        if self.lead > self.distance:
            return "lead is longer than distance: the output would begin before the part is triggered"
        if self.reverse >= self.pitch:
            return "reverse must be less than pitch: further back a part is taken for its neighbour"
        if self.sensor is not None and 2 * self.sensor.window >= self.pitch:
            return f"sensor.window must be less than half of pitch ({self.pitch / 2:g}): a part is taken for its neighbour otherwise"
        if self.sensor is not None and self.sensor.distance + self.sensor.window > self.distance - self.lead:
            return "the sensor (its distance and window) must lie before the point where the output begins (distance less lead)"
        return ""
