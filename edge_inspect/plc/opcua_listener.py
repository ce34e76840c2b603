"""The socket side of the OPC UA server: who may connect, for how long without a word, and what a malformed packet costs.

A connection that sends nonsense is closed, and nothing else happens. asyncua alone would log it and go on, and keep what comes
without an end in memory.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer

from edge_inspect.datatypes import Deed, Peer
from edge_inspect.plc.opcua_guard import GuardedProcessor, GuardedSession, Person
from edge_inspect.plc.peers import Guard

HEADER_BYTES = 8
LONGEST_CHUNK = 65_535
"""Largest piece of a message that is taken from a client [bytes]; OPC 10000-6 asks for 8192 at least."""
LONGEST_MESSAGE = 1 << 20
BEGINNINGS = frozenset({b"HEL", b"OPN", b"MSG", b"CLO", b"ERR"})
ACTIVATE_WITHIN_S = 10.0
SHORTEST_SESSION_MS = 5000.0
SUBSCRIPTIONS_EACH = 8
QUEUE = 256
"""Notifications kept for one monitored item, and answers kept for one subscription that does not acknowledge."""


class GuardedInternals(InternalServer):  # type: ignore[misc]
    """asyncua's inside with bounds, and with sessions that belong to one connection."""

    def __init__(self, *, keeper: Any, guard: Guard, session: type[GuardedSession]) -> None:
        super().__init__(user_manager=keeper)
        self.guard, self.session_class = guard, session
        self.allow_remote_admin = False
        self.max_connections = guard.connections
        self.max_pending_activation_seconds = ACTIVATE_WITHIN_S
        self.max_subscriptions = SUBSCRIPTIONS_EACH * guard.connections
        self.max_unacked_messages_per_subscription = self.max_monitored_item_queue_size = QUEUE
        self.max_pending_messages_per_connection = QUEUE
        self.max_session_timeout_ms = 1000 * (guard.idle_s or 3600)
        self.min_session_timeout_ms = SHORTEST_SESSION_MS

    def create_session(self, name: Any, user: Any = None, external: bool = False) -> GuardedSession:
        """One that the doorkeeper looks after."""
        return self.session_class(self, self.aspace, self.subscription_service, name, user=user or Person(), external=external)

    def register_external_session(self, session: Any) -> None:
        """Nobody can take a session over by its number, so nobody need find it by that."""

    def lookup_external_session(self, auth_token: Any) -> None:
        """None: a session ends with its connection, and a client opens another."""


class GuardedProtocol(OPCUAProtocol):  # type: ignore[misc]
    """One connection."""

    processor_class: type[GuardedProcessor]
    _idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or cut it."""
        peer = transport.get_extra_info("peername")[0]
        if why := self.iserver.guard.why_refused(peer, len(self.clients)):
            self.iserver.user_manager.refused(Deed.CONNECTION, Peer(peer), why)
            transport.abort()  # type: ignore[attr-defined]
            return
        super().connection_made(transport)
        self.processor = self.processor_class(self.iserver, transport, self.limits)
        self.processor.set_policies(self.policies)
        self._wait_for_a_word()

    def connection_lost(self, ex: BaseException | None) -> None:
        """Nobody waits for a word any more."""
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(ex)

    def data_received(self, data: bytes) -> None:
        """Take what has come; close at the first piece that cannot be one."""
        if self.transport is None or self.transport.is_closing():
            return
        self._wait_for_a_word()
        super().data_received(data)
        rest = self._buffer
        if rest and not (rest[:3] in {beginning[: len(rest)] for beginning in BEGINNINGS} and _length(rest) <= LONGEST_CHUNK):
            self._close("it does not speak OPC UA")

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        try:
            return bool(await super()._process_one_msg(header, buf))
        except Exception as error:  # noqa: BLE001 - whatever asyncua raises at a peer's bytes costs that peer its connection
            self._close(f"{type(error).__name__} at its message")
            return False

    def _close(self, why: str) -> None:
        self.iserver.user_manager.refused(Deed.REQUEST, Peer(self.peer_name[0]), f"malformed: {why}; its connection was cut")
        if self.transport is not None:
            self.transport.abort()

    def _wait_for_a_word(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self.iserver.guard.idle_s and self.transport is not None:
            self._idle = asyncio.get_running_loop().call_later(self.iserver.guard.idle_s, self.transport.abort)


def _length(packet: bytes) -> int:
    return int.from_bytes(packet[4:HEADER_BYTES], "little") if len(packet) >= HEADER_BYTES else 0


class Listener(BinaryServer):  # type: ignore[misc]
    """Listens on a socket that is bound already."""

    def __init__(
        self, internals: GuardedInternals, bound: socket.socket, limits: TransportLimits, processor: type[GuardedProcessor]
    ) -> None:
        super().__init__(internals, *bound.getsockname()[:2], limits)
        self._bound = bound
        self._protocol = type("Protocol", (GuardedProtocol,), {"processor_class": processor})

    def _make_protocol(self) -> GuardedProtocol:
        made: GuardedProtocol = self._protocol(
            iserver=self.iserver, policies=self._policies, clients=self.clients, closing_tasks=self.closing_tasks, limits=self.limits
        )
        return made

    async def start(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.get_running_loop().create_server(self._make_protocol, sock=self._bound)
        self.cleanup_task = asyncio.create_task(self._close_task_loop())


class GuardedServer(Server):  # type: ignore[misc]
    """asyncua's server on our listener."""

    def __init__(self, internals: GuardedInternals, bound: socket.socket, processor: type[GuardedProcessor]) -> None:
        super().__init__(iserver=internals)
        self._bound, self._processor = bound, processor
        self.limits = TransportLimits(
            max_recv_buffer=LONGEST_CHUNK,
            max_send_buffer=LONGEST_CHUNK,
            max_chunk_count=LONGEST_MESSAGE // LONGEST_CHUNK + 1,
            max_message_size=LONGEST_MESSAGE,
        )
        self.application_type = ua.ApplicationType.Server

    async def start(self) -> None:
        """Begin to serve."""
        await self._setup_server_nodes()
        for endpoint in self.iserver.endpoints:
            if endpoint.SecurityMode == ua.MessageSecurityMode.None_:
                endpoint.UserIdentityTokens = [one for one in endpoint.UserIdentityTokens if one.TokenType == ua.UserTokenType.Anonymous]
        await self.iserver.start()
        self.bserver = Listener(self.iserver, self._bound, self.limits, self._processor)
        self.bserver.set_policies(self._policies)
        await self.bserver.start()
