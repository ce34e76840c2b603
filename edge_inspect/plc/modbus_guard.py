"""Who may connect to the Modbus server, how many at once, and for how long without a word.

Modbus has no password. What is refused here is refused before its first byte is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler

from edge_inspect.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the server lets in.

    Attributes:
        networks: peers that may connect; empty for all.
        connections: how many may be connected at once.
        idle_s: a connection that says nothing for so long is closed [s]; 0 never.
    """

    networks: tuple[Network, ...] = ()
    connections: int = 16
    idle_s: float = 0.0

    def why_refused(self, peer: str, connected: int) -> str:
        """Why a peer may not come in beside those that are `connected`; "" if it may."""
        address = ipaddress.ip_address(peer.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if self.networks and not any(address in network for network in self.networks):
            return "its address is not among `allow`"
        return f"{connected} are connected already" if connected >= self.connections else ""


def networks_of(allow: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks (`10.0.0.7`, `10.0.0.0/24`) as a person writes them.

    Raises:
        ConfigError: one of them is none.
    """
    try:
        return tuple(ipaddress.ip_network(one, strict=False) for one in allow)
    except ValueError as error:
        raise ConfigError(f"plc: modbus: allow: {error}; write addresses or networks, as 10.0.0.7 or 10.0.0.0/24") from error


class GuardedServer(ModbusTcpServer):
    """pymodbus's server behind a guard."""

    def __init__(self, *words: Any, guard: Guard, **options: Any) -> None:
        super().__init__(*words, **options)
        self.guard = guard

    def callback_new_connection(self) -> ServerRequestHandler:
        """Called by pymodbus for each connection."""
        return GuardedConnection(self, self.trace_packet, self.trace_pdu, self.trace_connect)  # type: ignore[no-untyped-call]


class GuardedConnection(ServerRequestHandler):
    """One connection; a refused one is cut at once and never counted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or cut it."""
        peer = transport.get_extra_info("peername")[0]
        others = self.server.active_connections
        why = self.server.guard.why_refused(peer, len(others) - 1)
        if why:
            logger.warning("Modbus: %s was refused: %s", peer, why)
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

    def _wait_for_a_word(self) -> None:
        self._stop_waiting()
        if self.server.guard.idle_s:
            self._idle = self.loop.call_later(self.server.guard.idle_s, self.transport.abort)  # type: ignore[attr-defined]

    def _stop_waiting(self) -> None:
        idle: asyncio.TimerHandle | None = getattr(self, "_idle", None)
        if idle is not None:
            idle.cancel()
