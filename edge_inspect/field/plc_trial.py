"""A trial of a wire: a station by rule in a process of its own, a PLC that misbehaves by chance, and the ledger of both.

The station is also killed (SIGKILL) between two parts and started again; how long it takes until it has given a result is
counted as recovery. A part that is in the station when it dies has no result, on any machine: its PLC must reject it.
"""

from __future__ import annotations

import json
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, cast

from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import FakePlc, Misbehaviour
from edge_inspect.field.mosquitto import Mosquitto, free_port
from edge_inspect.field.plc_ledger import Answer, Ledger
from edge_inspect.field.plc_lines import MemoryLine
from edge_inspect.field.rule_station import JOBS, TOPIC, is_swapped

USER = "plc"
START_WITHIN_S = 60.0
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


class TrialPlc(Protocol):
    """Who is at the other end of the wire in a trial.

    Attributes:
        answers: every result it got, as they came.
    """

    answers: list[Answer]

    def drive(self, parts: int, *, each: Callable[[Answer | None], None], choose: Callable[[], frozenset[Misbehaviour]]) -> Ledger:
        """Have so many parts inspected; `choose` says before each what to do wrong with it."""

    def start_anew(self) -> None:
        """The station was started again and counts from 1; raises PlcError while it does not answer."""


class RuleStation:
    """The station's process; a context manager."""

    def __init__(self, wire: str, port: int, **options: str) -> None:
        self._command = [sys.executable, "-m", "edge_inspect.field.rule_station", wire, str(port), json.dumps(options)]
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

    def next_part(self) -> int:
        """Have one part inspected on a wire without triggers; its acquisition.

        Raises:
            PlcError: the station has ended.
        """
        try:
            self._stdin.write("part\n")
            self._stdin.flush()
            return int(self._stdout.readline())
        except (OSError, ValueError) as error:
            raise PlcError(f"fake PLC: the station it has started has ended: {error}; see what it said") from error

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
        self._stdin, self._stdout = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        if self._stdout.readline() != "ready\n":
            raise PlcError("fake PLC: the station it has started did not get ready; see what it said")

    def _kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def run_trial(plan: Plan, *, each: Callable[[], None] = lambda: None) -> Ledger:
    """Carry a plan out; `each` is called after every part.

    Raises:
        PlcError: the station does not start or does not answer at first.
    """
    with _OPENERS[plan.wire](plan) as (plc, station):
        return Trial(plan, plc, station, each).run()


@contextmanager
def _modbus(plan: Plan) -> Iterator[tuple[TrialPlc, RuleStation]]:
    port = free_port()
    with RuleStation(plan.wire, port) as station, FakePlc(port=port, answer_timeout_s=plan.timeout_s) as plc:
        yield plc, station


@contextmanager
def _modbus_client(plan: Plan) -> Iterator[tuple[TrialPlc, RuleStation]]:
    line = MemoryLine()
    with RuleStation(plan.wire, line.port) as station, FakePlc(line=line, answer_timeout_s=plan.timeout_s) as plc:
        yield plc, station


@contextmanager
def _mqtt(plan: Plan) -> Iterator[tuple[TrialPlc, RuleStation]]:
    from edge_inspect.field.mqtt_plc import FakeSubscriber

    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker, RuleStation(plan.wire, broker.port) as station:

        def around(part: Callable[[], None]) -> None:
            broker.kill()
            part()
            broker.start()

        subscriber = FakeSubscriber(
            port=broker.port, topic=TOPIC, next_part=station.next_part, around_part=around, answer_timeout_s=plan.timeout_s
        )
        with subscriber as plc:
            yield plc, station


@contextmanager
def _opcua(plan: Plan) -> Iterator[tuple[TrialPlc, RuleStation]]:
    from edge_inspect.field.opcua_link import Way
    from edge_inspect.field.opcua_plc import FakeOpcUaPlc
    from edge_inspect.plc.opcua_pki import Pki

    with tempfile.TemporaryDirectory() as folder:
        password_file = Path(folder) / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(password := secrets.token_hex())
        station_pki, port = Pki(Path(folder) / "station"), free_port()
        way = Way(port=port, pki=Pki(Path(folder) / "client"), username=USER, password=password, timeout_s=plan.timeout_s)
        station_pki.trust(way.own())
        options = {"pki": str(station_pki.folder), "username": USER, "password_file": str(password_file)}
        with RuleStation(plan.wire, port, **options) as station:
            way.pki.trust(station_pki.own(names=()))
            with FakeOpcUaPlc(way, jobs=JOBS) as plc:
                yield plc, station


_OPENERS: dict[str, Callable[[Plan], AbstractContextManager[tuple[TrialPlc, RuleStation]]]] = {
    "modbus": _modbus,
    "modbus-client": _modbus_client,
    "mqtt": _mqtt,
    "opcua": _opcua,
}
"""Each gives who is at the other end, and the station in its own process, for a plan."""
WIRES = tuple(_OPENERS)


class Trial:
    """One plan being carried out."""

    def __init__(self, plan: Plan, plc: TrialPlc, station: RuleStation, each: Callable[[], None]) -> None:
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
        return replace(ledger, swapped=self._swapped + (ledger.swapped or 0), recovered_s=recovered_s)

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
