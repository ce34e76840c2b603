"""A Modbus TCP server in its own thread that shows one list of registers and hands over what is written. Knows no handshake.

The registers are asked for when a client reads, all at once, so a reader never sees half of an old and half of a new
result, and nothing has to be copied to the server in time. A write is handed over before it is answered.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge_inspect.errors import PlcError
from edge_inspect.plc.modbus_guard import PEER, GuardedServer, Refused, refuse_silently
from edge_inspect.plc.peers import Guard, why_not_bound
from edge_inspect.plc.registers import CONTROL_COUNT, CONTROL_START, STATUS_COUNT, STATUS_START
from edge_inspect.time_left import THE_END

EVERY_UNIT = 0
EVERYBODY = Guard()
NOT_SIGNIFICANT_UNIT = 255
"""A client that talks to a station directly may send it (Modbus Messaging on TCP/IP Implementation Guide 1.0b, 4.4.1.2)."""
COIL_FUNCTIONS = frozenset({1, 2, 5, 15})
KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""A PLC that lost its power says no goodbye: its connection is given up after 45 s [s, s, count]."""
CLOSE_WITHIN_S = 5.0
SHUT_TRIES = 100
"""A client that asks without pause must not keep the server open; each try lets its request finish."""

logger = logging.getLogger(__name__)


class ModbusServer:
    """Serves until it is closed.

    Attributes:
        port: the port it listens on.
        clients: how many clients are connected.
        connections: how often one has connected.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        unit: int,
        read: Callable[[], list[int]],
        write: Callable[[list[int], str], None],
        refused: Refused = refuse_silently,
        guard: Guard = EVERYBODY,
    ) -> None:
        """Listen.

        Args:
            host: address to listen on.
            port: its port; 0 takes a free one.
            unit: number to answer to; 0 answers to every one.
            read: gives the status registers. It and the others are called in the server's thread.
            write: takes the control registers and the address of who wrote them.
            refused: hears of connections and requests that were refused.
            guard: who may connect.

        Raises:
            PlcError: the address cannot be listened on, and why.
        """
        silence_pymodbus()
        _try_to_bind(host, port)
        self._where = (host, port)
        self._read, self._write = read, write
        self._guard, self._refused = guard, refused
        self._control = [0] * CONTROL_COUNT
        self._devices = _devices(unit, self._answer)
        self._opened: Future[int] = Future()
        self.clients = self.connections = 0
        self._thread = threading.Thread(target=self._run, name="modbus", daemon=True)
        self._thread.start()
        self.port = self._opened.result()

    @property
    def serving(self) -> bool:
        """Whether its thread is alive."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Close every connection and the thread; a second call does nothing."""
        if self.serving:
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(THE_END.at_most(CLOSE_WITHIN_S))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:  # whatever goes wrong, the station must not wait for a server that does not come
            if not self._opened.done():
                self._opened.set_exception(PlcError(_sentence(*self._where, "the server did not start; see the traceback in the log")))

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        server = GuardedServer(
            self._devices, address=self._where, trace_connect=self._count_client, guard=self._guard, refused=self._refused
        )
        try:
            await server.serve_forever(background=True)
        except RuntimeError:  # pymodbus tells the reason only to its log; `_try_to_bind` has excluded the usual ones
            self._opened.set_exception(PlcError(_sentence(*self._where, "it was taken a moment ago; try again")))
            return
        self._opened.set_result(_prepare_listener(server))
        await self._closing.wait()
        await _shut(server)

    def _count_client(self, connected: bool) -> None:
        self.clients += 1 if connected else -1
        self.connections += connected
        logger.info("Modbus client %s, now %d", "connected" if connected else "gone", self.clients)

    async def _answer(
        self, function: int, _start: int, address: int, _count: int, registers: list[int], values: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        """Called by pymodbus for each request, after it has refused addresses that are not in the map."""
        if values is not None:
            self._take(function, address, [int(value) for value in values])
        registers[CONTROL_START : CONTROL_START + CONTROL_COUNT] = self._control
        registers[STATUS_START : STATUS_START + STATUS_COUNT] = self._read()
        return None

    def _take(self, function: int, address: int, values: list[int]) -> None:
        for offset, value in enumerate(values, start=address - (CONTROL_START * 16 if function in COIL_FUNCTIONS else CONTROL_START)):
            if function in COIL_FUNCTIONS:
                register, bit = divmod(offset, 16)
                self._control[register] = self._control[register] & ~(1 << bit) | value << bit
            else:
                self._control[offset] = value
        self._write(self._control, PEER.get())


def silence_pymodbus() -> None:
    """What it would log is either answered to the peer or raised by us; whoever wants it sets the level before."""
    log = logging.getLogger("pymodbus")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL + 1)


def _devices(unit: int, answer: Callable[..., object]) -> list[SimDevice]:
    if unit == EVERY_UNIT:
        return [_device(EVERY_UNIT, answer)]
    return [_device(one, answer) for one in sorted({unit, NOT_SIGNIFICANT_UNIT})] + [_stranger()]


def _device(unit: int, answer: Callable[..., object]) -> SimDevice:
    control = SimData(CONTROL_START, count=CONTROL_COUNT, datatype=DataType.REGISTERS)
    status = SimData(STATUS_START, count=STATUS_COUNT, datatype=DataType.REGISTERS, readonly=True)
    return SimDevice(unit, [control, status], use_bit_addressing=True, action=answer)  # type: ignore[arg-type]


def _stranger() -> SimDevice:
    """Answers for every unit that is not here; without it pymodbus answers *device failure* and logs a traceback."""
    everything = SimData(0, count=65_536, datatype=DataType.REGISTERS)
    return SimDevice(EVERY_UNIT, [everything], use_bit_addressing=True, action=_no_such_unit)


async def _no_such_unit(*_request: object) -> ExcCodes:
    return ExcCodes.GATEWAY_NO_RESPONSE


async def _shut(server: ModbusTcpServer) -> None:
    """Close at an instant when nothing is being accepted: asyncio leaks the socket of a connection caught half-way."""
    for _ in range(SHUT_TRIES):
        if not (others := asyncio.all_tasks() - {asyncio.current_task()}):
            break
        await asyncio.gather(*others, return_exceptions=True)
    await server.shutdown()  # type: ignore[no-untyped-call]
    await asyncio.sleep(0)  # lets the transports finish closing


def _prepare_listener(server: ModbusTcpServer) -> int:
    """Connections inherit the keep-alive of the listening sockets (Linux). Returns the port."""
    for listener in server.transport.sockets:  # type: ignore[attr-defined]
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        port: int = listener.getsockname()[1]
    return port


def _try_to_bind(host: str, port: int) -> None:
    """Find out why, since pymodbus does not say."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address[0], port, *address[2:]))
            probe.listen(1)
    except (OSError, OverflowError) as error:
        raise PlcError(_sentence(host, port, why_not_bound(error))) from error


def _sentence(host: str, port: int, why: str) -> str:
    return f"plc: modbus: cannot listen on {host} port {port}: {why}"
