"""The wire of plain levels: OK, NG, Ready and so on by GPIO lines of this machine. Wiring and levels are in docs/gpio.md.

A thread waits for edges of the inputs and for news of the handshake, and sets the outputs. What the PLC cannot say by a line (job, Clear
Error) it cannot say here; give it a second wire for that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from edge_inspect.config import Bias, Drive, LineName
from edge_inspect.datatypes import Inspection, Peer, PlcRequest
from edge_inspect.digital_io import Edge, Line, import_gpiod, open_lines
from edge_inspect.errors import ConfigError, PlcError
from edge_inspect.plc.result_lines import Hold, ResultLines
from edge_inspect.plc.shared import MS_NS, SharedHandshake
from edge_inspect.plc.signals import Control, Status
from edge_inspect.protocols import needs
from edge_inspect.time_left import THE_END

WHO = "plc: gpio"
OUTPUTS = ("ok", "ng", "fault", "ready", "busy", "results_valid", "heartbeat")
INPUTS = ("trigger", "ack", "online")
SILENT_NS = 2_000_000_000
"""A station that has not asked for longer than this and its deadline hangs, and its heartbeat stops [ns]."""
THE_LINES = Peer(address="GPIO lines")
"""Who the audit record says it was: whoever is at the other end of the wires."""
IDLE_S = 0.1
RETRY_S = 0.5
CLOSE_WITHIN_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Which lines there are, and how results stand on them."""

    lines: tuple[Line, ...]
    hold: Hold
    pulse_ns: int
    gap_ns: int
    heartbeat_ns: int


@needs(lambda _options: import_gpiod(WHO))
@contextmanager
def open_gpio(
    *,
    deadline_ms: float,
    ok: LineName,
    ng: LineName,
    fault: LineName | None = None,
    ready: LineName | None = None,
    busy: LineName | None = None,
    results_valid: LineName | None = None,
    heartbeat: LineName | None = None,
    trigger: LineName | None = None,
    ack: LineName | None = None,
    online: LineName | None = None,
    chip: str | None = None,
    hold: Hold = "pulse",
    pulse_ms: Annotated[float, Field(gt=0, le=60_000)] = 100.0,
    gap_ms: Annotated[float, Field(ge=0, le=60_000)] = 20.0,
    heartbeat_ms: Annotated[float, Field(ge=10, le=60_000)] = 500.0,
    active_low: tuple[str, ...] = (),
    bias: Bias = "as-is",
    drive: Drive = "push-pull",
    debounce_us: Annotated[int, Field(ge=0, le=1_000_000)] = 0,
) -> Iterator[GpioPlc]:
    """Levels on GPIO lines. A line is its name, or its offset on `chip`. Needs the extra `gpio`.

    Args:
        deadline_ms: time from a trigger of the PLC until FAULT is said for it [ms]; given by the station, not by the file.
        ok: on for a good part.
        ng: on for a part to be rejected: NG, and FAULT too.
        fault: on beside `ng` for a part that was not inspected.
        ready: a trigger is accepted now.
        busy: a part is being inspected.
        results_valid: on while `ok`, `ng` and `fault` hold a result: they stand before it comes on and until it is off.
        heartbeat: changes its level every `heartbeat_ms` for as long as the station works.
        trigger: its rising edge is one part.
        ack: its rising edge says that the result was read, its falling edge asks for the next; for `hold: until-ack`.
        online: off, the PLC wants no inspection; without the line it always does.
        chip: path, name or label of the chip, as `gpioinfo` shows them; None looks for the names on all chips.
        hold: `pulse`: a result stands for `pulse_ms`; `until-ack`; `until-next`: until the next part, and for `pulse_ms` at least.
        pulse_ms: length of a result [ms].
        gap_ms: all off between two results for so long [ms].
        heartbeat_ms: time between two changes of the heartbeat [ms].
        active_low: signals of those above whose line is low when they are on, as `[trigger, ng]`.
        bias: resistor in the chip, of the inputs.
        drive: of the outputs.
        debounce_us: an input must be steady for so long [us].

    Yields:
        The wire. Ready stays off until the station says `ready(True)`.

    Raises:
        PluginError: gpiod is not installed.
        ConfigError: options that do not go together.
        PlcError: no such chip or line, or somebody else has it.
    """
    named = {
        **{"ok": ok, "ng": ng, "fault": fault, "ready": ready, "busy": busy, "results_valid": results_valid, "heartbeat": heartbeat},
        **{"trigger": trigger, "ack": ack, "online": online},
    }
    given = {signal: line for signal, line in named.items() if line is not None}
    _check(given, hold=hold, active_low=active_low)
    lines = tuple(
        Line(
            signal=signal,
            line=line,
            chip=chip,
            output=signal in OUTPUTS,
            active_low=signal in active_low,
            bias=bias,
            drive=drive,
            debounce_us=debounce_us,
            rising_only=signal == "trigger",
        )
        for signal, line in given.items()
    )
    wiring = Wiring(
        lines=lines,
        hold=hold,
        pulse_ns=round(pulse_ms * MS_NS),
        gap_ns=round(gap_ms * MS_NS),
        heartbeat_ns=round(heartbeat_ms * MS_NS),
    )
    plc = GpioPlc(deadline_ms=deadline_ms, wiring=wiring)
    try:
        yield plc
    finally:
        plc.close()


def _check(given: dict[str, str | int], *, hold: Hold, active_low: tuple[str, ...]) -> None:
    if unknown := [signal for signal in active_low if signal not in given]:
        raise ConfigError(f"{WHO}: active_low: {', '.join(unknown)} is no signal with a line here; given are {', '.join(given)}")
    if (hold == "until-ack") != ("ack" in given):
        raise ConfigError(f"{WHO}: the line `ack` and `hold: until-ack` belong together; give both or neither")


class GpioPlc(SharedHandshake):
    """A `protocols.Plc` on GPIO lines."""

    def __init__(self, *, deadline_ms: float, wiring: Wiring) -> None:
        super().__init__(deadline_ms=deadline_ms, wire="gpio")
        self._wiring = wiring
        self._results = ResultLines(wiring.hold, pulse_ns=wiring.pulse_ns, gap_ns=wiring.gap_ns)
        self._control = Control(trigger_enable=True, buffer_results_enable=True)
        self._levels: dict[str, bool] = {}
        self._heard_ns = time.monotonic_ns()
        self._beat_ns = 0
        self._beat = False
        self._trouble = ""
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._taken = ExitStack()
        try:
            self._lines = self._taken.enter_context(open_lines(wiring.lines, who=WHO))
        except BaseException:
            os.close(self._wake_fd)
            raise
        self._thread = threading.Thread(target=self._work, name="gpio", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether the wire serves: closed too where its thread has failed, so that the station hears of it."""
        return super().is_open and self._thread.is_alive()

    def poll(self, timeout_s: float) -> PlcRequest | None:
        """Wait for the next request of the PLC; None when there was none within `timeout_s` [s].

        Raises:
            PlcError: the wire is closed, or the chip does not answer.
        """
        self._heard_ns = time.monotonic_ns()
        request = super().poll(timeout_s)
        if request is None and timeout_s > 0 and self._trouble:
            raise PlcError(self._trouble)
        return request

    def emit(self, inspection: Inspection) -> None:
        """Hand the verdict of `inspection.acquisition` to the lines; it is on them at once, or when the results before it have been.

        Raises:
            DeadlineMissed: the wire has already said FAULT for this acquisition.
            PlcError: the chip does not answer, and the result waits for it; or nobody asked for this acquisition.
        """
        self._heard_ns = time.monotonic_ns()
        super().emit(inspection)
        if self._trouble:
            raise PlcError(self._trouble)

    def close(self) -> None:
        """Switch everything off, give the lines back and end the thread."""
        self.fail_safe()
        if not self._thread.is_alive():
            os.close(self._wake_fd)

    def fail_safe(self) -> None:
        """Switch everything off now; the wire serves no more."""
        super().close()
        self._thread.join(THE_END.at_most(CLOSE_WITHIN_S))

    def _tell(self) -> None:
        super()._tell()
        with contextlib.suppress(OSError):  # closed already
            os.eventfd_write(self._wake_fd, 1)

    # ---- the thread ----

    def _work(self) -> None:
        while self.is_open:
            try:
                with self._taken:
                    self._serve()
            except PlcError as error:
                self._broken(str(error))
                self._take_again()

    def _broken(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("%s", trouble)
        self._trouble = trouble

    def _take_again(self) -> None:
        """Until the chip is there again, or the wire is closed."""
        while self.is_open:
            time.sleep(RETRY_S)
            try:
                self._lines = self._taken.enter_context(open_lines(self._wiring.lines, who=WHO))
            except PlcError as error:
                self._broken(str(error))
            else:
                return

    def _serve(self) -> None:
        inputs, self._levels = self._lines.inputs(), {}
        self._control = replace(
            self._control,
            results_ack=inputs.get("ack", False),
            set_offline=not inputs.get("online", True),
        )
        self.write(self._control)
        while self.is_open:
            self._show(time.monotonic_ns())
            self._trouble = ""
            self._sleep()
            for edge in self._lines.edges():
                self._hear(edge)
        self._lines.set({"results_valid": False, "ready": False})
        self._lines.set(dict.fromkeys(OUTPUTS, False))

    def _hear(self, edge: Edge) -> None:
        if edge.signal == "trigger":
            self.write(replace(self._control, trigger=True), at_ns=edge.at_ns, by=THE_LINES)
        elif edge.signal == "ack":
            self._control = replace(self._control, results_ack=edge.rising)
        else:
            self._control = replace(self._control, set_offline=not edge.rising)
        self.write(self._control, at_ns=edge.at_ns, by=THE_LINES)

    def _show(self, now_ns: int) -> None:
        status = self.status()
        while self._results.take(status, now_ns):
            self.write(replace(self._control, results_ack=True))
            self.write(self._control)
            status = self.status()
        self._set({"results_valid": False} if not self._results.valid else {})
        self._set({**self._results.levels, **self._state(status, now_ns)})
        self._set({"results_valid": self._results.valid})
        self._results.stand(time.monotonic_ns())

    def _state(self, status: Status, now_ns: int) -> dict[str, bool]:
        alive = now_ns - self._heard_ns < SILENT_NS + self._deadline_ms * MS_NS
        if alive and now_ns >= self._beat_ns:
            self._beat, self._beat_ns = not self._beat, now_ns + self._wiring.heartbeat_ns
        return {"ready": status.trigger_ready, "busy": status.system_busy, "heartbeat": self._beat}

    def _set(self, levels: dict[str, bool]) -> None:
        changed = {signal: level for signal, level in levels.items() if self._levels.get(signal) is not level}
        if changed:
            self._lines.set(changed)
            self._levels |= changed

    def _sleep(self) -> None:
        now_ns = time.monotonic_ns()
        due = [mark for mark in (self._results.due_ns, self._beat_ns, self.due_ns or 0) if mark > now_ns]
        until_s = min([IDLE_S, *((mark - now_ns) / 1e9 for mark in due)])
        readable, _, _ = select.select([self._wake_fd, *self._lines.fds], [], [], until_s)
        if self._wake_fd in readable:
            os.eventfd_read(self._wake_fd)
