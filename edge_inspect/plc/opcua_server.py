"""The OPC UA server in its own loop: the address space mirrors the handshake, what the PLC writes and calls goes into it.

Everything here runs in one thread, so that nothing of a client's is seen half: a read is from one instant, a write is one word.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from asyncua import ua
from asyncua.common.utils import ServiceError

from edge_inspect.datatypes import Deed, Peer
from edge_inspect.plc.opcua_events import Events
from edge_inspect.plc.opcua_guard import RULES, Account, Doorkeeper, GuardedProcessor, GuardedSession, caller
from edge_inspect.plc.opcua_listener import GuardedInternals, GuardedServer
from edge_inspect.plc.opcua_made import Made
from edge_inspect.plc.opcua_methods import Methods, not_supported
from edge_inspect.plc.opcua_model import Model, add_last_result, build_model, state_values
from edge_inspect.plc.opcua_pki import OwnCertificate, Pki
from edge_inspect.plc.opcua_results import Ids, ResultRing, result_data, vision
from edge_inspect.plc.opcua_signals import TYPES, Value, control_rows, control_values, job_or_level, status_values, writes
from edge_inspect.plc.peers import Guard
from edge_inspect.plc.registers import STATUS
from edge_inspect.plc.signals import Control, Status
from edge_inspect.plc.states import MachineState, machine_state
from edge_inspect.time_left import THE_END

LOOK_EVERY_S = 0.01
"""Longest time from a missed deadline until subscribers are told; a read sees it at once [s]."""
STOP_WITHIN_S = 3.0
STARTED_REMEMBERED = 64
"""Parts of which is remembered what the client called them."""
POLICIES = [
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the server is told.

    Attributes:
        pki: folders of certificates.
        own: the station's own.
        account: who may control.
        guard: who may connect.
        unencrypted_reading: channels without security may read.
        results: how many are kept.
        url: where clients find it.
    """

    pki: Pki
    own: OwnCertificate
    account: Account
    guard: Guard
    unencrypted_reading: bool
    results: int
    url: str


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector off, and then from what was made: the address space lives as long as the process.

    Half a million objects of it would otherwise stop every thread, the line's too, for the length of each full collection.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def settings_of(*, account: tuple[str | None, str | None], **options: Any) -> Settings:
    """Settings from what the factory was given."""
    return Settings(account=Account(username=account[0], password=account[1]), **options)


class Wire(Protocol):
    """The handshake behind the server."""

    continuous: bool

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""

    def status(self) -> Status:
        """What the PLC sees now."""

    def write(self, control: Control, *, by: Peer | None = None) -> None:
        """Take what the PLC has written; `by` is who, None for the wire itself."""

    def trigger_where_ready(self, control: Control, *, by: Peer) -> int | None:
        """Trigger one part, where it would not be missed; its acquisition, or None."""

    def made(self) -> list[Made]:
        """Results made since the last call."""

    def refused(self, deed: Deed, by: Peer, why: str) -> None:
        """Somebody was turned away."""


class OpcUaServer:
    """One start of the server."""

    def __init__(self, wire: Wire, settings: Settings, bound: socket.socket) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # what it would log is answered to the peer or told by us
        self.ring = ResultRing(settings.results)
        self.run = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        self.control = Control()
        self._wire, self._settings, self._bound = wire, settings, bound
        self._pending: dict[str, Value] = {}
        self._shown: dict[str, Value] = {}
        self._levels: dict[str, Value] = {}
        self.state: MachineState | None = None
        self._started: dict[int, Ids] = {}
        self._asked: int | None = None
        self._news, self._loop = asyncio.Event(), asyncio.get_running_loop()

    def wake(self) -> None:
        """There is news; called in any thread."""
        self._loop.call_soon_threadsafe(self._news.set)

    async def serve(self, opened: Callable[[], None]) -> None:
        """Build, serve until the wire is closed, stop; `opened` is called once clients can connect."""
        with uncollected():
            self._server = server = await self._prepare()
            self._model = model = await build_model(server)
        self._last_result = await add_last_result(server, model, vision("ResultDataType")())
        self._events = await Events.prepare(server, model)
        self._link(model)
        await self.carry()
        if not self._wire.is_open:
            return
        await server.start()
        opened()
        try:
            while self._wire.is_open:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), LOOK_EVERY_S)
                self._news.clear()
                await self.carry()
        finally:
            await asyncio.wait_for(server.stop(), THE_END.at_most(STOP_WITHIN_S))

    async def carry(self) -> None:
        """Show everything as it is now: results, then the handshake, then the state."""
        for made in self._wire.made():
            await self._tell(made)
        status = self._wire.status()
        await self._answer_job(status)
        for name, value in writes(self._shown, values := status_values(status)):
            await self._write(self._status_nodes[name], value, self._status_types[name])
        self._shown = values
        await self._show_levels()
        state = machine_state(status, continuous=self._wire.continuous)
        if state is not self.state:
            for node, shown in state_values(self._model, state):
                await self._server.write_attribute_value(node, shown)
            if self.state is not None:
                await self._events.state_changed(self.state, state)
            self.state = state

    # ---- what the methods use ----

    def status(self) -> Status:
        """What the PLC sees now."""
        return self._wire.status()

    async def say(self, **levels: bool | int) -> None:
        """Change levels of the control words."""
        self.control = replace(self.control, **levels)  # type: ignore[arg-type]
        self._wire.write(self.control, by=caller().peer)
        await self.carry()

    async def pulse(self, level: str) -> None:
        """Let one of them rise, from low, and fall."""
        for value in (False, True, False):
            await self.say(**{level: value})

    def trigger(self, ids: Ids) -> int | None:
        """Trigger one part where the station is ready; its acquisition, or None."""
        self.control = replace(self.control, trigger=False)
        acquisition = self._wire.trigger_where_ready(self.control, by=caller().peer)
        if acquisition is not None:
            self._started[acquisition] = ids
            while len(self._started) > STARTED_REMEMBERED:
                self._started.pop(next(iter(self._started)))
        return acquisition

    async def change_job(self, job: int) -> None:
        """Ask for a job; an event tells when it runs, or that it does not."""
        self._asked = job
        await self.say(execute_command=True, job=job)

    # ---- making it ----

    async def _prepare(self) -> GuardedServer:
        settings = self._settings
        keeper = Doorkeeper(
            pki=settings.pki, account=settings.account, unencrypted_reading=settings.unencrypted_reading, refused=self._wire.refused
        )
        session = type(
            "Session",
            (GuardedSession,),
            {"keeper": keeper, "before_reading": lambda _: self.carry(), "after_writing": lambda _: self._take()},
        )
        processor = type("Processor", (GuardedProcessor,), {"keeper": keeper})
        server = GuardedServer(GuardedInternals(keeper=keeper, guard=settings.guard, session=session), self._bound, processor)
        await server.init()
        await server.set_application_uri(settings.own.uri)
        server.set_server_name("edge-inspect")
        server.product_uri = "urn:edge-inspect"
        server.set_endpoint(settings.url)
        await server.load_certificate(settings.own.certificate, "der")
        await server.load_private_key(settings.own.key, format="pem")
        unencrypted = [ua.SecurityPolicyType.NoSecurity] if settings.unencrypted_reading else []
        server.set_security_policy([*POLICIES, *unencrypted], RULES)
        return server

    def _link(self, model: Model) -> None:
        self._status_nodes = {row.name: model.status(row) for row in STATUS}
        self._status_types = {row.name: ua.VariantType[TYPES[row.kind]] for row in STATUS}
        for name in control_rows():
            self._server.set_attribute_value_setter(model.control(name), self._setter(name))
        table = Methods(self).table()
        for path, nodeid in model.methods.items():
            self._server.link_method(self._server.get_node(nodeid), table.get(path, not_supported))

    # ---- what the PLC writes ----

    def _setter(self, name: str) -> Callable[..., None]:
        row = control_rows()[name]

        def put(node: Any, attribute: ua.AttributeIds, value: ua.DataValue) -> None:
            wanted = None if value.Value is None else job_or_level(row, value.Value.Value)
            if wanted is None:
                self._pending.clear()
                raise ServiceError(ua.StatusCodes.BadOutOfRange)
            node.attributes[attribute].value = value
            self._pending[row.name] = self._levels[name] = wanted

        return put

    async def _take(self) -> None:
        """All that one request has written, at once."""
        pending, self._pending = self._pending, {}
        if pending:
            self.control = replace(self.control, **pending)  # type: ignore[arg-type]
            self._wire.write(self.control, by=caller().peer)
        await self.carry()

    # ---- what the PLC sees ----

    async def _tell(self, made: Made) -> None:
        self.ring.add(data := result_data(made, run=self.run, ids=self._started.pop(made.result.acquisition, Ids())))
        await self._server.write_attribute_value(self._last_result, ua.DataValue(ua.Variant(data, ua.VariantType.ExtensionObject)))
        await self._events.result_ready(data)

    async def _answer_job(self, status: Status) -> None:
        """A job that a method has asked for."""
        if self._asked is None or status.command_executing:
            return
        job, self._asked = self._asked, None
        done = status.command_completed and status.current_job == job
        self.control = replace(self.control, execute_command=False)
        self._wire.write(self.control)
        await self._events.recipe_prepared(job, done=done)

    async def _show_levels(self) -> None:
        """The control variables show what counts, also where a method has changed it or a write was refused."""
        for name, value in control_values(self.control).items():
            if self._levels.get(name) != value:
                self._levels[name] = value
                kind = ua.VariantType.Boolean if isinstance(value, bool) else ua.VariantType.UInt16
                shown = self._server.iserver.aspace[self._model.control(name)].attributes[ua.AttributeIds.Value]
                shown.value = ua.DataValue(ua.Variant(value, kind))
                for handle, subscriber in list(shown.datachange_callbacks.items()):
                    await subscriber(handle, shown.value)

    async def _write(self, nodeid: ua.NodeId, value: Value, kind: ua.VariantType) -> None:
        now = datetime.now(timezone.utc)
        await self._server.write_attribute_value(nodeid, ua.DataValue(ua.Variant(value, kind), SourceTimestamp=now, ServerTimestamp=now))
