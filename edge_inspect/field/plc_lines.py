"""How a fake PLC reaches the station: as a Modbus client of it, or as a Modbus server whose memory the station writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edge_inspect.errors import PlcError
from edge_inspect.field.plc_ledger import Values
from edge_inspect.field.plc_memory import PlcMemory
from edge_inspect.plc.modbus_server import silence_pymodbus
from edge_inspect.plc.registers import CONTROL_START, STATUS_COUNT, STATUS_START, decode_status, encode_control
from edge_inspect.plc.signals import Control

TIMEOUT_S = 0.5
"""pymodbus waits 3 s four times by default: 12 s for a frozen station."""
RECONNECT_MOST_S = 1.0
SEEN_WITHIN_S = 1.0
"""A station that is away sees nothing; the PLC goes on [s]."""


class PlcLine(Protocol):
    """Both blocks of the register map, as a PLC has them.

    Attributes:
        where: the station's address or the PLC's own, for messages.
    """

    where: str

    def read(self) -> Values:
        """The status block by names; raises PlcError."""

    def write(self, control: Control) -> None:
        """Set the control block; raises PlcError."""

    def hang_up(self) -> None:
        """Cut the connection; the next call makes a new one."""

    def forget(self) -> None:
        """The station has died: nothing it has shown counts any more."""

    def close(self) -> None:
        """Cut it for good."""


class ModbusLine:
    """A connection to a station that is a Modbus server."""

    def __init__(self, host: str, port: int, unit: int) -> None:
        silence_pymodbus()
        self.where = f"{host} port {port}"
        self._unit = unit
        self._client = ModbusTcpClient(host, port=port, timeout=TIMEOUT_S, retries=1, reconnect_delay_max=RECONNECT_MOST_S)

    def read(self) -> Values:
        """The status block by names.

        Raises:
            PlcError: the connection broke.
        """
        reply = self._reply(lambda: self._client.read_holding_registers(STATUS_START, count=STATUS_COUNT, device_id=self._unit))
        return decode_status(reply.registers)

    def write(self, control: Control) -> None:
        """Set the control block.

        Raises:
            PlcError: the connection broke.
        """
        self._reply(lambda: self._client.write_registers(CONTROL_START, encode_control(control), device_id=self._unit))

    def hang_up(self) -> None:
        """Cut the connection; the next call connects anew."""
        self._client.close()  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        """Nothing is kept here of what a station has shown; its connection is gone."""
        self.hang_up()

    def close(self) -> None:
        """Cut the connection."""
        self.hang_up()

    def _reply(self, request: Callable[[], ModbusPDU]) -> ModbusPDU:
        try:
            reply = request()
        except (ModbusException, OSError) as error:
            raise PlcError(f"fake PLC: no answer from {self.where}: {error}; is a station with plc: modbus running there?") from error
        if reply.isError():
            raise PlcError(f"fake PLC: {self.where} refused a request: {reply}; give the unit and port of an edge-inspect station")
        return reply


class MemoryLine:
    """A Modbus server that a station with `kind: modbus-client` reads and writes.

    Attributes:
        port: the port it listens on.
    """

    def __init__(self, port: int = 0) -> None:
        """Listen.

        Raises:
            PlcError: the port cannot be listened on.
        """
        self._memory = PlcMemory(port=port)
        self.port = self._memory.port
        self.where = f"127.0.0.1 port {self.port} (the PLC)"

    def read(self) -> Values:
        """What the station has written."""
        return self._memory.read()

    def write(self, control: Control) -> None:
        """Set what the station reads, and hold it until the station must have seen it: two levels within one scan are no edge."""
        self._memory.write(control)
        seen, until = self._memory.control_reads, time.monotonic() + SEEN_WITHIN_S
        while self._memory.control_reads < seen + 2 and time.monotonic() < until:
            time.sleep(0.0005)

    def hang_up(self) -> None:
        """Cut every connection; the memory stays, and the server is there again at once."""
        self._memory.restart()

    def forget(self) -> None:
        """Clear what the dead station has written; a new one writes the whole block."""
        self._memory.forget()

    def close(self) -> None:
        """Switch the PLC off."""
        self._memory.close()
