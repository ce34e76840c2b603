"""Who may connect to the Modbus server, how many at once, for how long without a word; and what becomes of a packet that is none.

Modbus has no password. A peer is refused before its first byte is read. A header that is none of Modbus costs its connection: what comes
after it could not be told apart any more. A request that is refused is answered and told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler

from edge_inspect.datatypes import Deed
from edge_inspect.plc.peers import Guard

HEADER = 6
LENGTHS = range(2, 255)
"""Length field of a request: unit and function at least, 253 bytes of PDU at most (Modbus Messaging Guide 1.0b, 3.1.3)."""
PEER: ContextVar[str] = ContextVar("PEER", default="")
"""Address of whoever made the request that is being answered."""
Refused = Callable[[Deed, str, str], None]
"""Called with what was refused, the peer's address, and why."""
logger = logging.getLogger(__name__)


def refuse_silently(deed: Deed, peer: str, why: str) -> None:
    """Nobody wants to know."""


class GuardedServer(ModbusTcpServer):
    """pymodbus's server behind a guard."""

    def __init__(self, *words: Any, guard: Guard, refused: Refused, **options: Any) -> None:
        super().__init__(*words, **options)
        self.guard = guard
        self.refused = refused

    def callback_new_connection(self) -> ServerRequestHandler:
        """Called by pymodbus for each connection."""
        return GuardedConnection(self, self.trace_packet, self.trace_pdu, self.trace_connect)  # type: ignore[no-untyped-call]


class GuardedConnection(ServerRequestHandler):
    """One connection; a refused one is cut at once and never counted."""

    peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or cut it."""
        self.peer = transport.get_extra_info("peername")[0]
        others = self.server.active_connections
        why = self.server.guard.why_refused(self.peer, len(others) - 1)
        if why:
            logger.warning("Modbus: %s was refused: %s", self.peer, why)
            self.server.refused(Deed.CONNECTION, self.peer, why)
            others.pop(self.unique_id)
            transport.abort()  # type: ignore[attr-defined]
            return
        super().connection_made(transport)
        self._wait_for_a_word()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for a word any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A word has come."""
        self._wait_for_a_word()
        super().data_received(data)

    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        """Decode what has come so far; the connection is cut where it cannot be a request."""
        if why := malformed(data):
            self.server.refused(Deed.REQUEST, self.peer, f"malformed: {why}; its connection was cut")
            self.transport.abort()  # type: ignore[attr-defined]
            return len(data)
        used: int = super().callback_data(data, addr)
        return used

    async def handle_request(self) -> None:
        """Answer one request, in the name of this peer."""
        PEER.set(self.peer)
        await super().handle_request()  # type: ignore[no-untyped-call]

    def server_send(self, pdu: ModbusPDU | None, addr: tuple[Any, ...] | None) -> None:
        """Send an answer; a refusal is told."""
        if isinstance(pdu, ExceptionResponse):
            self.server.refused(
                Deed.REQUEST, self.peer, f"function {pdu.function_code & 0x7F} was answered with exception {pdu.exception_code}"
            )
        super().server_send(pdu, addr)  # type: ignore[no-untyped-call]

    def _wait_for_a_word(self) -> None:
        self._stop_waiting()
        if self.server.guard.idle_s:
            self._idle = self.loop.call_later(self.server.guard.idle_s, self.transport.abort)  # type: ignore[attr-defined]

    def _stop_waiting(self) -> None:
        idle: asyncio.TimerHandle | None = getattr(self, "_idle", None)
        if idle is not None:
            idle.cancel()


def malformed(data: bytes) -> str:
    """What in the header cannot be Modbus; "" where nothing is wrong as far as it has come."""
    if len(data) < HEADER:
        return ""
    protocol, length = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
    if protocol:
        return f"protocol {protocol}, Modbus is 0"
    return "" if length in LENGTHS else f"length {length}, a request has {LENGTHS[0]} to {LENGTHS[-1]}"
