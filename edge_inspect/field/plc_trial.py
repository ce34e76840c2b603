"""A trial of a wire: a station by rule in a process of its own, a PLC that misbehaves by chance, and the ledger of both.

The station is also killed (SIGKILL) between two parts and started again; how long it takes until it has given a result is
counted as recovery. A part that is in the station when it dies has no result, on any machine: its PLC must reject it.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import FakePlc, Misbehaviour
from edge_inspect.field.plc_ledger import Answer, Ledger
from edge_inspect.field.plc_lines import MemoryLine
from edge_inspect.field.rule_station import is_swapped

WIRES = ("modbus", "modbus-client")
START_WITHIN_S = 20.0
AGAIN_S = 0.02
WRONG_SHARE = 0.3
"""Share of the parts with which something is done wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a trial does.

    Attributes:
        wire: one of `WIRES`.
        cycles: parts.
        misbehave: what the PLC may do wrong, one at a time, by chance.
        kills: how often the station is killed.
        seed: another seed misbehaves otherwise.
        timeout_s: longest wait of the PLC for Ready and for a result [s].
    """

    wire: str
    cycles: int
    misbehave: frozenset[Misbehaviour] = frozenset()
    kills: int = 0
    seed: int = 0
    timeout_s: float = 5.0


class RuleStation:
    """The station's process; a context manager."""

    def __init__(self, wire: str, port: int) -> None:
        self._command = [sys.executable, "-m", "edge_inspect.field.rule_station", wire, str(port)]
        self._start()

    def __enter__(self) -> RuleStation:
        """It is ready already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self._kill()

    def kill_and_start(self) -> None:
        """SIGKILL, and a new one in its place.

        Raises:
            PlcError: it does not start.
        """
        self._kill()
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            raise PlcError("fake PLC: the station it has started did not get ready; see what it said")

    def _kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def run_trial(plan: Plan, *, each: Callable[[], None] = lambda: None) -> Ledger:
    """Carry a plan out; `each` is called after every part.

    Raises:
        PlcError: the station does not start or does not answer at first.
    """
    line = MemoryLine() if plan.wire == "modbus-client" else None
    port = _free_port() if line is None else line.port
    with RuleStation(plan.wire, port) as station, FakePlc(port=port, line=line, answer_timeout_s=plan.timeout_s) as plc:
        return Trial(plan, plc, station, each).run()


class Trial:
    """One plan being carried out."""

    def __init__(self, plan: Plan, plc: FakePlc, station: RuleStation, each: Callable[[], None]) -> None:
        self._plan, self._plc, self._station, self._each = plan, plc, station, each
        self._chance = random.Random(plan.seed)  # noqa: S311 - repeatable on purpose
        self._before: frozenset[Misbehaviour] = frozenset()
        self._swapped = 0
        self._recovered_s: list[float] = []
        self._counted = 0

    def run(self) -> Ledger:
        """Every part, with the kills spread between them."""
        share, rest = divmod(self._plan.cycles, self._plan.kills + 1)
        ledger = self._drive(share + rest)
        for _ in range(self._plan.kills):
            died = time.monotonic()
            self._station.kill_and_start()
            self._wait_until_it_answers()
            ledger = self._drive(share, after_death=died)
        recovered_s = round(max(self._recovered_s), 3) if self._recovered_s else None
        return replace(ledger, swapped=self._swapped, recovered_s=recovered_s)

    def _drive(self, parts: int, *, after_death: float | None = None) -> Ledger:
        def note(answer: Answer | None) -> None:
            nonlocal after_death
            if after_death is not None and answer is not None:
                self._recovered_s.append(time.monotonic() - after_death)
                after_death = None
            self._each()

        ledger = self._plc.drive(parts, each=note, choose=self._choose)
        self._swapped += sum(is_swapped(answer) for answer in self._plc.answers[self._counted :])
        self._counted = len(self._plc.answers)
        return ledger

    def _choose(self) -> frozenset[Misbehaviour]:
        """A result that was not acknowledged is acknowledged with the next part: two in a row would never be shown."""
        wrong = bool(self._plan.misbehave) and self._chance.random() < WRONG_SHARE
        chosen = frozenset({self._chance.choice(sorted(self._plan.misbehave, key=lambda one: one.value))}) if wrong else frozenset()
        if Misbehaviour.NO_ACK in self._before & chosen:
            chosen = frozenset()
        self._before = chosen
        return chosen

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + START_WITHIN_S
        while True:
            try:
                return self._plc.start_anew()
            except PlcError:
                if time.monotonic() > until:
                    raise
                time.sleep(AGAIN_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
