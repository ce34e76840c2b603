"""A camera that draws its parts (`parts.py`) and fails on order, for tests, demonstrations and the training of operators.

Faults are injected at most once per exposure, by chance that depends on the seed and the exposure's number alone: a run can be repeated.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import Field

from edge_inspect.cameras.pacing import Pace
from edge_inspect.cameras.parts import draw_part
from edge_inspect.cameras.pictures import Channels, read_only
from edge_inspect.datatypes import Frame, UInt8Image
from edge_inspect.errors import CameraError, FrameLost

Fault = Literal["late", "lost", "corrupt", "dark", "disconnected"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
Rate: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Milliseconds: TypeAlias = Annotated[float, Field(ge=0, le=60_000)]
Size: TypeAlias = Annotated[int, Field(ge=64, le=8192)]

_WITHHELD: Final[tuple[Fault, ...]] = ("late", "lost")
_DIMMED_BY = 25
"""What is left of the light when the lamp has failed is a 25th: nearly black, but not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What is drawn; see the options of `open_simulated`."""

    width: int = 640
    height: int = 480
    channels: Channels = 3
    parts: int | None = None
    defect_rate: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mischief:
    """Which faults are injected how often; see the options of `open_simulated`."""

    rates: Mapping[Fault, float]
    late_s: float = 0.5
    disconnected_s: float = 2.0

    def at(self, sequence: int, seed: int) -> Fault | None:
        """The fault of one exposure."""
        draw = random.Random(f"fault {seed} {sequence}").random()  # noqa: S311 - a fault, not a secret
        for fault in FAULTS:
            draw -= self.rates.get(fault, 0.0)
            if draw < 0:
                return fault
        return None


class SimulatedCamera:
    """Drawn parts with injected faults; see `open_simulated`.

    Attributes:
        faults: ledger of what was injected: fault to count.
    """

    def __init__(self, *, name: str, product: Product, mischief: Mischief, pace: Pace, triggered: bool) -> None:
        self.faults: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self._name, self._product, self._mischief, self._pace, self._triggered = name, product, mischief, pace, triggered
        self._sequence = 0
        self._drawn: tuple[UInt8Image, str] | None = None
        self._late: Frame | None = None
        self._back_at_s = 0.0

    @property
    def exposed(self) -> int:
        """Exposures made so far, those lost included."""
        return self._sequence

    @property
    def ended(self) -> bool:
        """Whether the last part has been exposed and delivered; from then on `grab` gives None."""
        return self._sequence == self._product.parts and self._late is None

    def grab(self, timeout_s: float) -> Frame | None:
        """Expose the next part. It is drawn before the exposure is due, so that drawing counts in no latency.

        Args:
            timeout_s: longest wait [s].

        Returns:
            The frame; None when none came within the time, and for ever after the last part.

        Raises:
            FrameLost: an injected corrupt frame.
            CameraError: an injected disconnection.
        """
        deadline_s = time.monotonic() + timeout_s
        self._await_return(deadline_s)
        if self._triggered:
            # A new trigger empties the camera's buffer, as drivers do: a frame too late for its own trigger must not answer this one.
            self._late = None
        while self._late is None and self._left:
            if not self._due(deadline_s):
                return None
            frame = self._expose()
            if frame is not None:
                return frame
            if self._triggered:
                break
        return self._delivered_late(deadline_s)

    @property
    def _left(self) -> bool:
        return self._sequence != self._product.parts

    def _await_return(self, deadline_s: float) -> None:
        _sleep_until(min(self._back_at_s, deadline_s))
        if time.monotonic() < self._back_at_s:
            raise CameraError(f"camera {self._name}: is disconnected (injected); it comes back by itself")

    def _due(self, deadline_s: float) -> bool:
        self._drawn = self._drawn or self._draw()
        return self._pace.wait(max(deadline_s - time.monotonic(), 0.0))

    def _draw(self) -> tuple[UInt8Image, str]:
        product = self._product
        part = draw_part(
            self._sequence,
            product.seed,
            width=product.width,
            height=product.height,
            channels=product.channels,
            defect_rate=product.defect_rate,
        )
        return part.pixels, f"{part.label}-{self._sequence:06d}"

    def _expose(self) -> Frame | None:
        """One exposure; None when its frame does not come, or comes late (`_late`)."""
        pixels, part_id = self._drawn or self._draw()
        sequence, fault = self._sequence, self._fault()
        self._drawn, self._sequence = None, sequence + 1
        if fault is not None:
            self.faults[fault] += 1
        self._refuse(fault, sequence, part_id)
        frame = Frame(
            pixels=read_only(pixels // _DIMMED_BY) if fault == "dark" else pixels,
            sequence=sequence,
            exposed_ns=time.monotonic_ns(),
            taken_at=datetime.now(timezone.utc),
            camera=self._name,
            part_id=part_id,
        )
        self._late = frame if fault == "late" else None
        return None if fault in _WITHHELD else frame

    def _fault(self) -> Fault | None:
        """No count shows the loss of the first or the last exposure, so these two are only made dark or corrupt."""
        fault = self._mischief.at(self._sequence, self._product.seed)
        at_an_end = self._sequence == 0 or self._sequence + 1 == self._product.parts
        return None if at_an_end and fault in (*_WITHHELD, "disconnected") else fault

    def _refuse(self, fault: Fault | None, sequence: int, part_id: str) -> None:
        if fault == "corrupt":
            message = f"camera {self._name}, exposure {sequence}: the frame came damaged (injected); the line goes on"
            raise FrameLost(message, sequence=sequence, part_id=part_id)
        if fault == "disconnected":
            self._back_at_s = time.monotonic() + self._mischief.disconnected_s
            raise CameraError(f"camera {self._name}: disconnected at exposure {sequence} (injected); it comes back by itself")

    def _delivered_late(self, deadline_s: float) -> Frame | None:
        """The frame that is late, once it is due; None when that is not within the time, or when there is none."""
        late = self._late
        due_s = math.inf if late is None else late.exposed_ns / 1e9 + self._mischief.late_s
        _sleep_until(min(due_s, deadline_s))
        if due_s > deadline_s:
            return None
        self._late = None
        return late


@contextmanager
def open_simulated(
    *,
    name: str,
    width: Size = 640,
    height: Size = 480,
    channels: Channels = 3,
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None,
    parts: Annotated[int, Field(ge=1)] | None = None,
    defect_rate: Rate = 0.1,
    seed: int = 0,
    late: Rate = 0.0,
    lost: Rate = 0.0,
    corrupt: Rate = 0.0,
    dark: Rate = 0.0,
    disconnected: Rate = 0.0,
    late_ms: Milliseconds = 500.0,
    disconnected_ms: Milliseconds = 2000.0,
) -> Iterator[SimulatedCamera]:
    """Open a camera that draws its parts. A part's id is its label and number: `good-000012`, `scratch-000013`.

    Args:
        name: the camera's name, given by the station.
        width: frame width [px].
        height: frame height [px].
        channels: 3 draws RGB, 1 grey.
        fps: exposures per second; None exposes at every grab, as a software trigger does.
        parts: number of parts; None never ends.
        defect_rate: probability that a part is defective.
        seed: another seed gives other parts and other faults.
        late: probability that a frame comes `late_ms` after its exposure. One too late for its own trigger never comes.
        lost: probability that a frame never comes: a gap in the count; with a software trigger that grab gives None.
        corrupt: probability that a frame comes damaged (FrameLost).
        dark: probability that the lamp fails for one exposure.
        disconnected: probability that the camera goes away at an exposure, whose frame is lost, for `disconnected_ms`.
        late_ms: how late [ms].
        disconnected_ms: how long [ms].

    Raises:
        CameraError: the probabilities of the faults come to more than 1.
    """
    rates: dict[Fault, float] = {"late": late, "lost": lost, "corrupt": corrupt, "dark": dark, "disconnected": disconnected}
    if sum(rates.values()) > 1 + 1e-9:  # 0.7 + 0.2 + 0.1 may come to a hair more than 1
        raise CameraError(f"camera {name}: fault rates come to {sum(rates.values()):g}, wanted at most 1 together; lower some of them")
    yield SimulatedCamera(
        name=name,
        product=Product(width=width, height=height, channels=channels, parts=parts, defect_rate=defect_rate, seed=seed),
        mischief=Mischief(rates=rates, late_s=late_ms / 1e3, disconnected_s=disconnected_ms / 1e3),
        pace=Pace(fps),
        triggered=fps is None,
    )


def _sleep_until(moment_s: float) -> None:
    if (left_s := moment_s - time.monotonic()) > 0:  # also a sleep of nothing gives the processor away
        time.sleep(left_s)
