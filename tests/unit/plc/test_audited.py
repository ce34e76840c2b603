"""Every control action of a Modbus wire is told with who asked for it, and routine traffic is not."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace

import pytest
from pymodbus.client import ModbusTcpClient

from edge_inspect.datatypes import Action, Deed, Inspection, Outcome, Peer, RequestKind
from edge_inspect.field.plc_memory import PlcMemory
from edge_inspect.plc.modbus import ModbusPlc, open_modbus
from edge_inspect.plc.modbus_client import open_modbus_client
from edge_inspect.plc.modbus_guard import malformed
from edge_inspect.plc.registers import CONTROL_START, STATUS_COUNT, STATUS_START, decode_status, encode_control
from edge_inspect.plc.several import Wire, open_several
from edge_inspect.plc.shared import NOTES_KEPT, SharedHandshake
from edge_inspect.plc.signals import Control
from edge_inspect.plc.unwired import Unwired
from edge_inspect.protocols import Audited

WITHIN_S = 30.0
LONG_MS = 60_000.0
ENABLED = Control(trigger_enable=True, buffer_results_enable=True)
Said = list[tuple[Deed, Outcome, str, str]]


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.001)


class Peered:
    """A wire, how its PLC writes to it, and what it has said."""

    def __init__(self, plc: SharedHandshake, put: Callable[[Control], None], wire: str, peer: str) -> None:
        self.plc, self._put, self.wire, self.peer = plc, put, wire, peer
        self.actions: list[Action] = []
        plc.audit_to(self.actions.append)

    def write(self, control: Control) -> None:
        self._put(control)

    def said(self, *, more_than: int = 0) -> Said:
        eventually(lambda: len(self.actions) > more_than)
        assert {(action.wire, action.by) for action in self.actions} == {(self.wire, Peer(self.peer))}
        return [(action.deed, action.outcome, action.subject, action.reason) for action in self.actions[more_than:]]


@contextmanager
def as_server() -> Iterator[Peered]:
    with open_modbus(deadline_ms=LONG_MS, port=0) as plc, ModbusTcpClient("127.0.0.1", port=plc.bound_port, timeout=5.0) as client:

        def put(control: Control) -> None:
            assert not client.write_registers(CONTROL_START, encode_control(control), device_id=1).isError()

        yield Peered(plc, put, "modbus", "127.0.0.1")


@contextmanager
def as_client() -> Iterator[Peered]:
    with PlcMemory() as memory, open_modbus_client(deadline_ms=LONG_MS, host="127.0.0.1", port=memory.port, timeout_ms=2000) as plc:
        yield Peered(plc, memory.write, "modbus-client", f"127.0.0.1 port {memory.port}")


@pytest.fixture(params=[as_server, as_client], ids=["modbus", "modbus-client"])
def wire(request: pytest.FixtureRequest) -> Iterator[Peered]:
    with request.param() as peered:
        yield peered


def test_what_a_plc_switches_is_told(wire: Peered) -> None:
    assert isinstance(wire.plc, Audited)
    wire.write(ENABLED)
    assert wire.said() == [(Deed.TRIGGER_ENABLE, Outcome.DONE, "on", ""), (Deed.RESULTS_BUFFER, Outcome.DONE, "on", "")]
    steps: list[tuple[Control, Said]] = [
        (replace(ENABLED, set_offline=True), [(Deed.ONLINE, Outcome.DONE, "off", "")]),
        (ENABLED, [(Deed.ONLINE, Outcome.DONE, "on", "")]),
        (replace(ENABLED, clear_error=True), [(Deed.SOFT_RESET, Outcome.DONE, "", "")]),
        (Control(buffer_results_enable=True), [(Deed.TRIGGER_ENABLE, Outcome.DONE, "off", "")]),
        (Control(), [(Deed.RESULTS_BUFFER, Outcome.DONE, "off", "")]),
    ]
    for control, told in steps:
        before = len(wire.actions)
        wire.write(control)
        assert wire.said(more_than=before) == told


@pytest.mark.parametrize("error", ["", "job 4 is not in the station file"], ids=["done", "refused"])
def test_a_job_change_is_told_as_it_is_wanted_and_as_it_is_done_or_refused(wire: Peered, error: str) -> None:
    wire.write(replace(ENABLED, execute_command=True, job=4))
    request = wire.plc.poll(WITHIN_S)
    assert request is not None
    wire.plc.answer(request, job=0 if error else 4, error=error)
    assert [said for said in wire.said() if said[0] is Deed.JOB] == [
        (Deed.JOB, Outcome.WANTED, "job 4", ""),
        (Deed.JOB, Outcome.REFUSED if error else Outcome.DONE, "job 4", error),
    ]


def test_a_command_while_another_executes_is_told_as_refused(wire: Peered) -> None:
    wire.write(replace(ENABLED, execute_command=True, job=3))
    eventually(lambda: any(action.deed is Deed.JOB for action in wire.actions))
    wire.write(ENABLED)
    eventually(lambda: wire.plc._written == ENABLED)
    before = len(wire.actions)
    wire.write(replace(ENABLED, execute_command=True, job=5))
    assert wire.said(more_than=before) == [(Deed.JOB, Outcome.REFUSED, "job 5", "another command is executing")]


def test_triggers_and_acknowledgements_are_no_actions(wire: Peered, inspection_of: Callable[..., Inspection]) -> None:
    wire.write(ENABLED)
    before = len(wire.said())
    wire.plc.ready(True)
    for number in range(1, 4):
        wire.write(replace(ENABLED, trigger=True))
        eventually(lambda: (request := wire.plc.poll(0.1)) is not None and request.kind is RequestKind.TRIGGER)
        wire.plc.emit(inspection_of(number))
        wire.write(replace(ENABLED, results_ack=True))
        eventually(lambda number=number: wire.plc.counters.delivered == number)
        wire.write(ENABLED)
        eventually(lambda: wire.plc._written == ENABLED)
    wire.write(replace(ENABLED, set_offline=True))
    assert [deed for deed, *_ in wire.said(more_than=before)] == [Deed.ONLINE]


def test_what_came_before_anybody_listened_is_told_as_soon_as_somebody_does() -> None:
    with open_modbus(deadline_ms=LONG_MS, port=0) as plc:
        for number in range(NOTES_KEPT + 3):
            plc.note(Deed.JOB, Outcome.WANTED, by=Peer("10.0.0.7"), subject=f"job {number}")
        heard: list[Action] = []
        plc.audit_to(heard.append)
        plc.audit_to(heard.append)
        assert [action.subject for action in heard] == [f"job {number}" for number in range(3, NOTES_KEPT + 3)]


# what is refused


@contextmanager
def listened(**options: object) -> Iterator[tuple[ModbusPlc, list[Action]]]:
    with open_modbus(deadline_ms=LONG_MS, port=0, **options) as plc:  # type: ignore[arg-type]
        actions: list[Action] = []
        plc.audit_to(actions.append)
        yield plc, actions


def refused(deed: Deed, reason: str) -> Action:
    return Action(deed=deed, outcome=Outcome.REFUSED, by=Peer("127.0.0.1"), wire="modbus", reason=reason)


def test_a_connection_that_is_refused_is_told() -> None:
    with listened(allow=("192.0.2.0/24",)) as (plc, actions), socket.create_connection(("127.0.0.1", plc.bound_port)):
        eventually(lambda: actions)
    assert actions == [refused(Deed.CONNECTION, "its address is not among `allow`")]


def test_a_connection_too_many_is_told() -> None:
    with listened(connections=1) as (plc, actions), socket.create_connection(("127.0.0.1", plc.bound_port)):
        eventually(lambda: plc.clients == 1)
        with socket.create_connection(("127.0.0.1", plc.bound_port)):
            eventually(lambda: actions)
    assert actions == [refused(Deed.CONNECTION, "1 are connected already")]


def test_a_write_beside_the_control_registers_is_answered_and_told() -> None:
    with listened() as (plc, actions), ModbusTcpClient("127.0.0.1", port=plc.bound_port, timeout=5.0) as client:
        assert client.write_registers(STATUS_START, [1], device_id=1).isError()
        assert client.read_holding_registers(500, count=1, device_id=1).isError()
        assert not client.read_holding_registers(STATUS_START, count=1, device_id=1).isError()
    assert [action.reason for action in actions] == [
        "function 16 was answered with exception 2",
        "function 3 was answered with exception 2",
    ]


SOUND = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, STATUS_START, STATUS_COUNT)


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (struct.pack(">HHHBB", 1, 7, 6, 1, 3), "protocol 7, Modbus is 0"),
        (struct.pack(">HHHBB", 1, 0, 0, 1, 3), "length 0, a request has 2 to 254"),
        (struct.pack(">HHHBB", 1, 0, 60_000, 1, 3), "length 60000, a request has 2 to 254"),
        (b"GET / HTTP/1.1\r\n", "protocol 21536, Modbus is 0"),
    ],
)
def test_a_packet_that_is_no_modbus_costs_its_own_connection_and_is_told(packet: bytes, why: str) -> None:
    with listened() as (plc, actions), socket.create_connection(("127.0.0.1", plc.bound_port)) as honest:
        with socket.create_connection(("127.0.0.1", plc.bound_port)) as peer:
            peer.settimeout(WITHIN_S)
            peer.sendall(packet)
            with suppress(ConnectionResetError):
                assert peer.recv(100) == b""
        honest.sendall(SOUND)
        answer = honest.recv(9 + 2 * STATUS_COUNT, socket.MSG_WAITALL)
        registers = struct.unpack(f">{STATUS_COUNT}H", answer[9:])
        assert decode_status(registers)["waiting"] == 0
    assert actions == [refused(Deed.REQUEST, f"malformed: {why}; its connection was cut")]


def test_a_packet_that_has_only_begun_is_waited_for() -> None:
    assert [malformed(SOUND[:count]) for count in range(len(SOUND) + 1)] == [""] * (len(SOUND) + 1)
    with listened() as (plc, actions), socket.create_connection(("127.0.0.1", plc.bound_port)) as peer:
        for byte in SOUND:
            peer.sendall(bytes([byte]))
        assert len(peer.recv(9 + 2 * STATUS_COUNT, socket.MSG_WAITALL)) == 9 + 2 * STATUS_COUNT
    assert actions == []


# several wires


def test_each_of_several_wires_is_listened_to_and_one_that_says_nothing_is_no_trouble() -> None:
    heard: list[Action] = []
    wires = [
        Wire(name="one", opener=lambda: open_modbus(deadline_ms=LONG_MS, port=0)),
        Wire(name="two", opener=lambda: open_modbus(deadline_ms=LONG_MS, port=0)),
    ]
    with open_several(wires[0], wires[1:]) as several:
        several.audit_to(heard.append)
        for plc in (several.master, several.followers[0].plc):
            assert isinstance(plc, ModbusPlc)
            plc.note(Deed.REBIRTH, Outcome.WANTED, by=Peer("somebody"))
    assert len(heard) == 2
    with open_several(Wire(name="plc", opener=lambda: nullcontext(Unwired())), ()) as alone:
        alone.audit_to(heard.append)
