"""A PLC to try a station with: drives the whole Modbus handshake in scans, keeps a ledger, and misbehaves when asked to.

It knows the station only through the register map, as a real PLC does. A misbehaving one shows that the station still gives
exactly one result for each trigger.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from edge_inspect.datatypes import Verdict
from edge_inspect.errors import PlcError
from edge_inspect.field.pace import at_intervals
from edge_inspect.field.plc_ledger import Answer, Ledger, Values, acquisitions_between, answer_from_status, percentiles
from edge_inspect.field.plc_lines import ModbusLine, PlcLine
from edge_inspect.plc.signals import Control

SCAN_S = 0.001
SLOW_SCAN_S = 0.1
AWAY_S = 0.05
SETTLED_S = 0.1
FOLLOWED = 256
__all__ = ["Answer", "FakePlc", "Ledger", "Misbehaviour"]


class Misbehaviour(enum.Enum):
    """What can be wrong with a PLC."""

    NO_ACK = "no-ack"
    DOUBLE_TRIGGER = "double-trigger"
    SLOW_SCAN = "slow-scan"
    DISCONNECT = "disconnect"
    JOB_CHANGE = "job-change"


class FakePlc:
    """A PLC connected to a station; a context manager.

    Attributes:
        answers: every result it asked for, as they came.
        counted: the acquisition of every trigger that the station has counted.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 502,
        unit: int = 1,
        misbehave: frozenset[Misbehaviour] = frozenset(),
        answer_timeout_s: float = 5.0,
        line: PlcLine | None = None,
        follows: bool = False,
    ) -> None:
        """Nothing is connected yet.

        Args:
            host: address of the station.
            port: its Modbus port.
            unit: its unit number.
            misbehave: what to do wrong.
            answer_timeout_s: longest wait for Ready, and for a result [s].
            line: another way to the station than as its Modbus client; host, port and unit then mean nothing.
            follows: it triggers nothing and takes the results of parts that the camera sees by itself.
        """
        self._line = ModbusLine(host, port, unit) if line is None else line
        self._misbehave = misbehave
        self._answer_timeout_s = answer_timeout_s
        self._follows = follows
        self._control = Control()
        self._asked_at: dict[int, float] = {}
        self._answered: set[int] = set()
        self._raised_at: float | None = None
        self._newest = self._shown = 0
        self._cycles = self._triggers = self._doubled = self._unasked = self._overrun_before = 0
        self.counted: list[int] = []
        self._is_left = False
        self.answers: list[Answer] = []

    def __enter__(self) -> FakePlc:
        """Connect, take the results that an earlier PLC left behind, and enable the trigger.

        Raises:
            PlcError: no station answers there.
        """
        buffered = Misbehaviour.NO_ACK not in self._misbehave
        try:
            self._write(Control(trigger_enable=True, buffer_results_enable=buffered))
            self._clear_away()
        except PlcError:
            self._line.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Disconnect. The control registers stay as they are, as with a PLC that lost its power."""
        self._is_left = True
        self._line.close()

    def inspect_one(self) -> Answer:
        """One part: wait for Ready, trigger, read the result, acknowledge it.

        Raises:
            PlcError: the station did not get ready or did not answer in time, or the connection broke.
        """
        return self.finish_one(self.start_one())

    def start_one(self) -> int:
        """Wait for Ready and trigger; the acquisition that was counted.

        Raises:
            PlcError: the station did not get ready, or the connection broke.
        """
        self._triggers += 1
        self._wait("Trigger Ready", lambda status: bool(status["trigger_ready"]))
        acquisition = self._trigger()
        if Misbehaviour.JOB_CHANGE in self._misbehave:
            self.change_job(0)
        if Misbehaviour.DOUBLE_TRIGGER in self._misbehave:
            self._triggers += 1
            self._trigger()
        return acquisition

    def finish_one(self, acquisition: int) -> Answer:
        """Read and acknowledge the results of what was triggered.

        Raises:
            PlcError: the station did not answer in time, or the connection broke.
        """
        self._wait("a result", lambda _: not self._asked_at)
        self._wait("Results Valid to fall", lambda _: not self._control.results_ack)
        return next(answer for answer in reversed(self.answers) if answer.acquisition == acquisition)

    def behave(self, misbehave: frozenset[Misbehaviour]) -> None:
        """Do this wrong from the next part on."""
        self._misbehave = misbehave

    def hang_up(self) -> None:
        """Cut the connection; the next call makes a new one."""
        self._line.hang_up()

    def drive(
        self,
        parts: int,
        *,
        interval_s: float = 0.0,
        each: Callable[[Answer | None], None] = lambda _: None,
        choose: Callable[[], frozenset[Misbehaviour]] | None = None,
    ) -> Ledger:
        """Trigger `parts` parts, `interval_s` [s] apart or as fast as the station answers.

        Args:
            parts: how many.
            interval_s: time from one trigger to the next; more where the station is slower.
            each: called with the answer of each part, None for one that got none.
            choose: called before each part for what to do wrong with it; None always does what was said at the start.
        """
        for _ in at_intervals(parts, interval_s):
            self.behave(self._misbehave if choose is None else choose())
            self._cycles += 1
            each(self._try_one())
        return self.ledger()

    def change_job(self, job: int) -> bool:
        """Ask for another job; whether it runs now.

        Raises:
            PlcError: no answer in time, or the connection broke.
        """
        self.ask_for_job(job)
        status = self._wait("the job change", _is_answered)
        self._write(replace(self._control, execute_command=False))
        return bool(status["command_completed"])

    def ask_for_job(self, job: int) -> None:
        """Ask for another job and go on with parts; `job_is_answered` ends it.

        Raises:
            PlcError: the connection broke.
        """
        self._write(replace(self._control, job=job, execute_command=True))

    def job_is_answered(self) -> bool:
        """Whether nothing is asked for any more, after one look.

        Raises:
            PlcError: the connection broke.
        """
        if self._control.execute_command and _is_answered(self.status()):
            self._write(replace(self._control, execute_command=False))
        return not self._control.execute_command

    def settle(self) -> None:
        """After a part that went wrong: lower the trigger, and take every result that is still to come.

        What an old connection still had in its pipe may be read after the first write of the new one: the second one counts. A
        trigger that the station has not counted by then was none.

        Raises:
            PlcError: a result did not come in time, or the connection broke.
        """
        for _ in range(2):
            self._write(replace(self._control, trigger=False))
            self.status()
            time.sleep(SETTLED_S)
        self._wait("the results that are owed", lambda status: not (self._owed or status["waiting"] or self._control.results_ack))
        self._raised_at = None

    def clear_error(self) -> None:
        """Clear error, missed and overrun bits.

        Raises:
            PlcError: the connection broke.
        """
        self._write(replace(self._control, clear_error=True))
        self._write(replace(self._control, clear_error=False))

    def status(self) -> Values:
        """One scan: read the whole block and move the acknowledgement along.

        Raises:
            PlcError: the connection broke.
        """
        status = self._read()
        self._note_acquisition(status)
        if status["results_valid"] and status["inspection_id"] != self._shown and not self._control.results_ack:
            self._note_result(status)
            self._acknowledge()
        elif status["results_valid"] and not self._control.results_ack and self._shown:
            self._acknowledge()  # one that an earlier part was not acknowledged for
        elif self._control.results_ack and not status["results_valid"]:
            self._shown = 0
            self._write(replace(self._control, results_ack=False))
        return status

    def ledger(self) -> Ledger:
        """What it has counted so far."""
        count = [sum(answer.verdict is verdict for answer in self.answers) for verdict in (Verdict.OK, Verdict.NG, Verdict.FAULT)]
        return Ledger(
            cycles=self._cycles,
            triggers=self._triggers,
            ok=count[0],
            ng=count[1],
            fault=count[2],
            lost=self._triggers - len(self.answers),
            doubled=self._doubled,
            unasked=self._unasked,
            overrun=self._overrun_since(),
            latency_ms=percentiles([1000 * answer.latency_s for answer in self.answers]),
        )

    def start_anew(self) -> None:
        """The station was started again and counts from 1: forget what was shown by the one before, and enable the trigger.

        Raises:
            PlcError: the station does not answer.
        """
        self._line.forget()
        self._asked_at.clear()
        self._answered.clear()
        self._raised_at, self._newest, self._shown, self._overrun_before = None, 0, 0, 0
        self._write(Control(trigger_enable=True, buffer_results_enable=True))

    def _try_one(self) -> Answer | None:
        try:
            return self.inspect_one()
        except PlcError:
            self._asked_at.clear()  # the part is lost; its result, should it still come, is one nobody asked for
            return None

    def _trigger(self) -> int:
        self._newest = int(self._read()["acquisition_id"])
        self._raised_at = time.perf_counter()
        self._write(replace(self._control, trigger=True))
        if Misbehaviour.DISCONNECT in self._misbehave:
            self._line.hang_up()
            time.sleep(AWAY_S)
        self._wait("the trigger to be counted", lambda _: self._raised_at is None)
        self._write(replace(self._control, trigger=False))
        return self._newest

    def _note_acquisition(self, status: Values) -> None:
        """Trigger Ack or Missed Acquisition: either way the trigger has a number of its own."""
        newest = int(status["acquisition_id"])
        if self._follows and newest != self._newest:
            for acquisition in acquisitions_between(self._newest, newest):
                self._note_counted(acquisition, time.perf_counter())
            self._newest = newest
        elif self._raised_at is not None and newest != self._newest:
            self._note_counted(newest, self._raised_at)
            self._newest, self._raised_at = newest, None

    @property
    def raised(self) -> bool:
        """Whether a trigger stands that the station has not been seen to count."""
        return self._raised_at is not None

    @property
    def _owed(self) -> bool:
        """A follower is owed what waits, not what was thrown away."""
        return bool(self._asked_at) and not self._follows

    def _note_counted(self, acquisition: int, asked_at: float) -> None:
        self.counted.append(acquisition)
        self._asked_at[acquisition] = asked_at
        self._answered.discard(acquisition)
        if self._follows and len(self._asked_at) > FOLLOWED:  # the station has thrown their results away
            self._asked_at.pop(next(iter(self._asked_at)))

    def _note_result(self, status: Values) -> None:
        self._shown = int(status["inspection_id"])
        if self._shown in self._asked_at:
            self.answers.append(answer_from_status(status, time.perf_counter() - self._asked_at.pop(self._shown)))
            self._answered.add(self._shown)
        elif self._shown in self._answered:
            self._doubled += 1
        else:
            self._unasked += 1

    def _acknowledge(self) -> None:
        if Misbehaviour.NO_ACK not in self._misbehave:
            self._write(replace(self._control, results_ack=True))

    def _clear_away(self) -> None:
        buffered = self._control.buffer_results_enable
        if buffered:
            self._wait("old results to go", lambda status: not (status["results_valid"] or self._control.results_ack))
        status = self._read()
        self._shown = 0 if buffered else int(status["inspection_id"])
        self._unasked = 0
        self._overrun_before = 0 if self._follows else int(status["overrun"])

    def _overrun_since(self) -> int:
        try:
            return int(self._read()["overrun"]) - self._overrun_before
        except PlcError:  # the station is gone: the ledger is still worth having
            return 0
        finally:
            if self._is_left:  # a ledger asked for afterwards has connected once more
                self._line.close()

    def _wait(self, what: str, is_there: Callable[[Values], bool]) -> Values:
        until = time.monotonic() + self._answer_timeout_s
        while not is_there(status := self.status()):
            if time.monotonic() > until:
                raise PlcError(
                    f"fake PLC: waited {self._answer_timeout_s:g} s for {what} of the station at {self._line.where}; see its log"
                )
            time.sleep(SLOW_SCAN_S if Misbehaviour.SLOW_SCAN in self._misbehave else SCAN_S)
        return status

    def _read(self) -> Values:
        return self._line.read()

    def _write(self, control: Control) -> None:
        self._control = control
        self._line.write(control)


def _is_answered(status: Values) -> bool:
    return bool(status["command_completed"] or status["command_failed"])
