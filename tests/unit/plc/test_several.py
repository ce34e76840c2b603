"""Several wires: real Modbus wires in one process, and wires that hang, fail or are slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

from edge_inspect.datatypes import Inspection, Notices, PlcRequest, RequestKind, Verdict
from edge_inspect.errors import DeadlineMissed, OutputError, PlcError
from edge_inspect.plc.follower import NO_JOBS, Follower
from edge_inspect.plc.modbus import ModbusPlc, open_modbus
from edge_inspect.plc.registers import CONTROL_START, STATUS_COUNT, STATUS_START, decode_status, encode_control
from edge_inspect.plc.several import SeveralWires, Wire, open_several
from edge_inspect.plc.signals import Control
from edge_inspect.plc.unwired import Unwired
from edge_inspect.testing import check_plc

Inspect = Callable[..., Inspection]
LONG_MS = 60_000.0
WITHIN_S = 30.0
LATER_NS = 10**12
ENABLED = Control(trigger_enable=True, buffer_results_enable=True)
TRIGGER = Control(trigger_enable=True, buffer_results_enable=True, trigger=True)


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.001)


@contextmanager
def client_of(plc: ModbusPlc) -> Iterator[ModbusTcpClient]:
    with ModbusTcpClient("127.0.0.1", port=plc.bound_port, timeout=2.0, retries=1) as client:
        yield client


def write(client: ModbusTcpClient, control: Control) -> None:
    assert not client.write_registers(CONTROL_START, encode_control(control), device_id=1).isError()


def read(client: ModbusTcpClient) -> dict[str, int | float]:
    return decode_status(client.read_holding_registers(STATUS_START, count=STATUS_COUNT, device_id=1).registers)


@contextmanager
def modbus_wires(*, may_change_job: bool = False, deadline_ms: float = LONG_MS) -> Iterator[tuple[SeveralWires, list[ModbusPlc]]]:
    """Two Modbus wires as one, and each of them."""
    opened: list[ModbusPlc] = []

    @contextmanager
    def opener() -> Iterator[ModbusPlc]:
        with open_modbus(deadline_ms=deadline_ms, port=0) as plc:
            opened.append(plc)
            yield plc

    with open_several(
        Wire(name="first", opener=opener), [Wire(name="plc 2 modbus", opener=opener, may_change_job=may_change_job)]
    ) as wires:
        yield wires, opened


class Broken(Unwired):
    """A wire that hangs, fails or refuses, as it is told."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.error: PlcError | None = None
        self.said: list[Any] = []

    def begin(self, deadline_ns: int) -> int:
        self.free.wait(WITHIN_S)
        self.said.append("begin")
        return 7

    def emit(self, inspection: Inspection) -> None:
        self.free.wait(WITHIN_S)
        if self.error is not None:
            raise self.error
        self.said.append((inspection.acquisition, inspection.verdict))


def test_the_wires_together_keep_the_promises_of_one() -> None:
    @contextmanager
    def opened() -> Iterator[SeveralWires]:
        with modbus_wires(deadline_ms=1000) as (wires, _):
            yield wires

    check_plc(opened)


def test_a_trigger_of_the_master_gives_both_plcs_the_same_result(inspection_of: Inspect) -> None:
    with modbus_wires() as (wires, (master, other)), client_of(master) as first, client_of(other) as second:
        wires.ready(True)
        write(first, ENABLED)
        write(first, TRIGGER)
        request = wires.poll(WITHIN_S)
        assert request is not None
        wires.exposed(request.acquisition)
        verdict = inspection_of(request.acquisition, Verdict.NG)
        wires.emit(verdict)
        wires.followers[0].emit(verdict)
        eventually(lambda: read(second)["results_valid"])
        seen, mirrored = read(first), read(second)
        for name in ("result_code", "score", "threshold", "sequence", "inspection_id"):
            assert seen[name] == mirrored[name], name
        assert (seen["result_code"], mirrored["exposure_complete"]) == (2, 1)


def test_a_missed_trigger_that_the_follower_has_not_heard_of_is_a_fault_there_too(inspection_of: Inspect) -> None:
    with modbus_wires() as (wires, (_, other)), client_of(other) as second:
        wires.followers[0].emit(inspection_of(9, Verdict.FAULT))
        eventually(lambda: read(second)["result_code"] == 3)


def test_a_trigger_on_a_follower_is_a_fault_on_it_at_the_deadline_and_none_on_the_line() -> None:
    with modbus_wires(deadline_ms=30) as (wires, (master, other)), client_of(other) as second:
        wires.ready(True)
        write(second, ENABLED)
        eventually(lambda: read(second)["trigger_ready"])
        write(second, TRIGGER)
        eventually(lambda: read(second)["result_code"] == 3)
        assert wires.poll(0) is None
        assert master.counters.triggers == 0


def test_a_job_change_on_a_follower_fails_unless_the_station_file_allows_it() -> None:
    with modbus_wires() as (wires, (_, other)), client_of(other) as second:
        wires.answer(PlcRequest(kind=RequestKind.JOB_CHANGE, received_ns=0, job=4), job=4)
        write(second, Control(execute_command=True, job=2))
        eventually(lambda: read(second)["command_failed"])
        assert read(second)["current_job"] == 4
        assert wires.poll(0) is None


def test_a_job_change_on_a_follower_that_may_is_answered_there_and_named_on_the_master() -> None:
    with modbus_wires(may_change_job=True) as (wires, (master, other)), client_of(master) as first, client_of(other) as second:
        write(first, Control(execute_command=True, job=1))
        mine = wires.poll(WITHIN_S)
        write(second, Control(execute_command=True, job=2))
        asked: list[PlcRequest] = []
        eventually(lambda: asked.extend(filter(None, [wires.poll(0)])) or asked)
        assert asked[0].job == 2
        wires.answer(asked[0], job=2)
        eventually(lambda: read(second)["command_completed"])
        assert (read(first)["command_executing"], read(first)["current_job"]) == (1, 2), "the master's own command still waits"
        assert mine is not None
        wires.answer(mine, job=2, error="refused")
        assert read(first)["command_failed"] == 1


def test_a_wire_that_hangs_delays_neither_the_verdict_nor_another_wire_and_is_told(inspection_of: Inspect) -> None:
    hanging, other, master = Broken(), Broken(), Broken()
    master.free.set()
    other.free.set()
    wires = SeveralWires(master)
    wires.followers = (Follower(hanging, name="plc 2 mqtt", queue=20), Follower(other, name="plc 3 opcua"))
    try:
        told = []
        for number in range(1, 51):
            wires.begin(LATER_NS)
            wires.emit(inspection_of(7))
            for follower in wires.followers:
                try:
                    follower.emit(inspection_of(7))
                except OutputError as error:
                    told.append((number, str(error)))
        eventually(lambda: len(other.said) == 100)
        assert len(master.said) == 100, "the verdicts of the master were there at once"
        assert told[0][0] > 10
        dropped = wires.followers[0].dropped
        assert dropped in {79, 80}, "20 wait, and one may be in the telling"
        assert told[-1][1].startswith(f"plc 2 mqtt: {dropped} events dropped so far, 20 are waiting")
    finally:
        hanging.free.set()
        assert all(follower.drain(WITHIN_S) for follower in wires.followers)


def test_what_a_follower_could_not_tell_is_an_alarm_until_it_works_again(inspection_of: Inspect) -> None:
    wire = Broken()
    wire.free.set()
    follower = Follower(wire, name="plc 2 modbus")
    wire.error = PlcError("the PLC is away; check the cable")
    with suppress(OutputError):
        follower.emit(inspection_of(1))
    eventually(lambda: follower._trouble)
    with pytest.raises(OutputError, match="the PLC is away"):
        follower.emit(inspection_of(2))
    wire.error = DeadlineMissed("too late")
    with suppress(OutputError):
        follower.emit(inspection_of(3))
    eventually(lambda: follower.late)
    wire.error = None
    with suppress(OutputError):
        follower.emit(inspection_of(4))
    eventually(lambda: not follower._trouble)
    follower.emit(inspection_of(5))
    assert follower.drain(WITHIN_S)
    assert wire.said[-1] == (7, Verdict.OK)


def test_a_wire_that_hangs_at_the_end_is_left_and_said_in_the_log(
    inspection_of: Inspect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspect.plc.several.DRAIN_S", 0.05)
    closed = []
    hanging = Broken()

    @contextmanager
    def opener() -> Iterator[Broken]:
        yield hanging
        closed.append(True)

    with open_several(Wire(name="plc", opener=lambda: nullcontext(Unwired())), [Wire(name="plc mqtt", opener=opener)]) as wires:
        follower = wires.followers[0]
        follower.begin(1, LATER_NS)
        follower.begin(2, LATER_NS)
    assert not closed, "closing a wire under the thread that uses it would do worse"
    assert "plc mqtt: stopped; 1 events were not told" in caplog.text
    hanging.free.set()
    follower._thread.join(WITHIN_S)
    assert isinstance(follower._left_open, ExitStack)
    follower._left_open.close()


def test_parts_begun_and_never_answered_are_forgotten_in_the_end() -> None:
    wire = Broken()
    wire.free.set()
    follower = Follower(wire, name="plc", queue=3)
    for number in range(10):
        follower.begin(number, LATER_NS)
        eventually(partial(lambda seen: len(wire.said) == seen, number + 1))
    follower.exposed(0)
    assert follower.drain(WITHIN_S)
    assert list(follower._counts) == [7, 8, 9]


def test_why_a_job_change_was_refused_says_what_to_write() -> None:
    assert "may_change_job: true" in NO_JOBS


def test_what_a_person_should_look_at_is_shown_on_every_wire_that_has_bits_for_it() -> None:
    with modbus_wires() as (wires, opened), client_of(opened[0]) as first, client_of(opened[1]) as second:
        wires.notice(Notices(check_light=True, recalibrate=True))
        for client in (first, second):
            eventually(lambda client=client: read(client)["check_light"] == read(client)["recalibrate"] == 1)
        wires.notice(Notices())
        for client in (first, second):
            eventually(lambda client=client: read(client)["check_light"] == 0)


def test_a_wire_without_such_bits_is_left_alone() -> None:
    with open_several(
        Wire(name="first", opener=lambda: nullcontext(Unwired())), [Wire(name="b", opener=lambda: nullcontext(Unwired()))]
    ) as wires:
        wires.notice(Notices(check_light=True))
