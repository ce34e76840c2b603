"""The Modbus TCP wire: the station as a server, the PLC as its client. The map is in registers.py and docs/modbus.md.

Two threads meet in the shared handshake: the station's and the server's (each request of the PLC).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from edge_inspect.datatypes import Deed, Outcome, Peer
from edge_inspect.errors import PlcError
from edge_inspect.plc.modbus_server import ModbusServer
from edge_inspect.plc.peers import Guard, networks_of
from edge_inspect.plc.registers import decode_control, encode_status
from edge_inspect.plc.shared import SharedHandshake

Port = Annotated[int, Field(ge=0, le=65_535)]
Unit = Annotated[int, Field(ge=0, le=247)]


@contextmanager
def open_modbus(
    *,
    deadline_ms: float,
    host: str = "127.0.0.1",
    port: Port = 502,
    unit: Unit = 1,
    allow: tuple[str, ...] = (),
    connections: Annotated[int, Field(ge=1, le=1000)] = 16,
    idle_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0,
) -> Iterator[ModbusPlc]:
    """Listen for the PLC.

    Args:
        deadline_ms: time from a trigger of the PLC until FAULT is said for it [ms]; given by the station, not by the file.
        host: address of this machine to listen on; 0.0.0.0 for all of them. Modbus has no password: use the PLC's network.
        port: TCP port; 0 takes a free one (`bound_port` tells it). Ports below 1024 need a privilege.
        unit: unit (slave) number to answer to; 0 answers to every one.
        allow: addresses and networks that may connect, as `[10.0.0.7, 10.0.1.0/24]`; empty for everybody.
        connections: how many may be connected at once; one more is cut.
        idle_s: a connection that says nothing for so long is closed [s]; 0 never. Longer than the PLC's slowest poll.

    Yields:
        The wire. Ready stays off until the station says `ready(True)`.

    Raises:
        ConfigError: `allow` names no network.
        PlcError: the address or port cannot be listened on.
    """
    guard = Guard(networks=networks_of(allow, wire="modbus"), connections=connections, idle_s=idle_s)
    plc = ModbusPlc(deadline_ms=deadline_ms, host=host, port=port, unit=unit, guard=guard)
    try:
        yield plc
    finally:
        plc.close()


class ModbusPlc(SharedHandshake):
    """A `protocols.Plc` on Modbus TCP.

    Attributes:
        bound_port: the port it listens on.
    """

    def __init__(self, *, deadline_ms: float, host: str, port: int, unit: int, guard: Guard) -> None:
        super().__init__(deadline_ms=deadline_ms, wire="modbus")
        self._server = ModbusServer(
            host=host,
            port=port,
            unit=unit,
            read=self._status_registers,
            write=self._control_registers,
            refused=self._refused,
            guard=guard,
        )
        self.bound_port = self._server.port

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._server.clients

    @property
    def connections(self) -> int:
        """How often a client has connected."""
        return self._server.connections

    @property
    def is_open(self) -> bool:
        """Whether the server's thread is alive."""
        return self._server.serving

    def close(self) -> None:
        """Stop listening and wake whoever waits in `poll`."""
        self._server.close()
        super().close()

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise PlcError(f"plc: modbus: the wire on port {self.bound_port} is closed; open it again")

    def _status_registers(self) -> list[int]:
        return encode_status(self.status())

    def _control_registers(self, registers: list[int], peer: str) -> None:
        self.write(decode_control(registers), by=Peer(peer))

    def _refused(self, deed: Deed, peer: str, why: str) -> None:
        self.note(deed, Outcome.REFUSED, by=Peer(peer), reason=why)
