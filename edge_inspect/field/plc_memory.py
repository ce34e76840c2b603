"""The memory of a PLC that is a Modbus server, as the station's client wire meets it: a peer for trials and tests."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_inspect.errors import PlcError
from edge_inspect.field.plc_ledger import Values
from edge_inspect.plc.modbus_server import silence_pymodbus
from edge_inspect.plc.registers import CONTROL_COUNT, CONTROL_START, STATUS_COUNT, STATUS_START, decode_status, encode_control
from edge_inspect.plc.signals import Control

REGISTERS = STATUS_START + STATUS_COUNT


class PlcMemory:
    """Holding registers behind a Modbus server; a context manager.

    Attributes:
        port: the TCP port it listens on.
        control_reads: how often the station has read the control block.
    """

    def __init__(self, *, port: int = 0, registers: int = REGISTERS) -> None:
        """Listen on 127.0.0.1.

        Args:
            port: TCP port; 0 takes a free one.
            registers: how many holding registers the PLC has.

        Raises:
            PlcError: the port cannot be listened on.
        """
        silence_pymodbus()
        self._words = [0] * registers
        self.port = port
        self.control_reads = 0
        self._start()

    def __enter__(self) -> PlcMemory:
        """It listens already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Switch the PLC off."""
        self.close()

    def read(self) -> Values:
        """What the station has written, by the names of the register map."""
        return decode_status(self._words[STATUS_START : STATUS_START + STATUS_COUNT])

    def write(self, control: Control) -> None:
        """Set what the station reads."""
        self._words[CONTROL_START : CONTROL_START + CONTROL_COUNT] = encode_control(control)

    def forget(self) -> None:
        """Clear what a station has written, as a PLC's program does when the heartbeat stops."""
        self._words[STATUS_START : STATUS_START + STATUS_COUNT] = [0] * STATUS_COUNT

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def restart(self) -> None:
        """Close every connection and listen again on the same port; the memory stays."""
        self.close()
        self._start()

    def _start(self) -> None:
        self._opened: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(self.port)), name="PLC memory", daemon=True)
        self._thread.start()
        self.port = self._opened.result()

    async def _serve(self, port: int) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        everything = SimData(0, count=len(self._words), datatype=DataType.REGISTERS)
        server = ModbusTcpServer([SimDevice(0, [everything], action=self._answer)], address=("127.0.0.1", port))
        try:
            await server.serve_forever(background=True)
        except RuntimeError:
            self._opened.set_exception(PlcError(f"fake PLC: cannot listen on 127.0.0.1 port {port}; another program uses it"))
            return
        self._opened.set_result(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
        await self._closing.wait()
        await server.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)

    async def _answer(
        self, _function: int, _start: int, address: int, _count: int, registers: list[int], values: list[int] | list[bool] | None
    ) -> None:
        """Called by pymodbus for each request, after it has refused addresses that are not there."""
        for offset, value in enumerate(values or (), start=address):
            self._words[offset] = int(value)
        self.control_reads += values is None
        registers[:] = self._words
