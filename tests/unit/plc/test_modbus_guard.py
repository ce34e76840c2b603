"""Who is let in to the Modbus server: its real server, and sockets that are refused, too many or silent."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from pymodbus.client import ModbusTcpClient

from edge_inspect.errors import ConfigError
from edge_inspect.plc.modbus import ModbusPlc, open_modbus
from edge_inspect.plc.peers import Guard, networks_of
from edge_inspect.plc.registers import STATUS_START

WITHIN_S = 30.0


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.001)


def reads(plc: ModbusPlc) -> bool:
    with ModbusTcpClient("127.0.0.1", port=plc.bound_port, timeout=5.0, retries=0) as client:
        return not client.read_holding_registers(STATUS_START, count=1, device_id=1).isError()


def is_cut(peer: socket.socket) -> bool:
    peer.settimeout(WITHIN_S)
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("allow", "peer", "let_in"),
    [
        ([], "192.0.2.1", True),
        (["10.0.0.7"], "10.0.0.7", True),
        (["10.0.0.7"], "10.0.0.8", False),
        (["192.0.2.0/24", "10.0.0.9/24"], "10.0.0.200", True),
        (["10.0.0.0/24"], "::ffff:10.0.0.3", True),
        (["10.0.0.0/24"], "fe80::1%eth0", False),
        (["fe80::/10"], "fe80::1%eth0", True),
    ],
)
def test_a_peer_is_let_in_by_its_address(allow: list[str], peer: str, let_in: bool) -> None:
    assert (Guard(networks=networks_of(allow, wire="modbus")).why_refused(peer, 0) == "") is let_in


def test_what_is_no_network_is_told() -> None:
    with pytest.raises(ConfigError, match=r"allow: 'the plc'.*write addresses or networks"), open_modbus(deadline_ms=1, allow=("the plc",)):
        pytest.fail("opened")


def test_a_stranger_is_cut_before_its_first_byte_and_never_counted(caplog: pytest.LogCaptureFixture) -> None:
    with open_modbus(deadline_ms=1000, port=0, allow=("192.0.2.0/24",)) as plc:
        with socket.create_connection(("127.0.0.1", plc.bound_port)) as stranger:
            assert is_cut(stranger)
        assert plc.clients == 0
    assert "127.0.0.1 was refused: its address is not among `allow`" in caplog.text


def test_one_connection_too_many_is_cut_and_there_is_room_again_when_another_goes() -> None:
    with open_modbus(deadline_ms=1000, port=0, connections=2) as plc:
        address = ("127.0.0.1", plc.bound_port)
        with socket.create_connection(address), socket.create_connection(address):
            eventually(lambda: plc.clients == 2)
            with socket.create_connection(address) as third:
                assert is_cut(third)
            assert plc.clients == 2
        eventually(lambda: plc.clients == 0)
        assert reads(plc)


def test_a_connection_that_says_nothing_is_closed_and_one_that_talks_is_not() -> None:
    with open_modbus(deadline_ms=1000, port=0, idle_s=0.3) as plc:
        with socket.create_connection(("127.0.0.1", plc.bound_port)) as silent:
            assert is_cut(silent)
        eventually(lambda: plc.clients == 0)
        assert reads(plc)
