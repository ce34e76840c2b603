"""The OPC UA wire: the station as a server by OPC 40100-1 (machine vision). Address space, methods and set-up are in docs/opcua.md.

asyncua and the nodeset take seconds to load, so they are loaded in the wire's thread beside the opening of the engine; the address
is taken, and certificates are read, before `open_opcua` returns.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from edge_inspect.datatypes import Deed, Inspection, Outcome, Peer
from edge_inspect.errors import ConfigError, PlcError, PluginError
from edge_inspect.plc.opcua_made import Made, ResultTap
from edge_inspect.plc.peers import Guard, networks_of, why_not_bound
from edge_inspect.plc.shared import SharedHandshake
from edge_inspect.plc.signals import Control, Result
from edge_inspect.protocols import needs
from edge_inspect.time_left import THE_END

if TYPE_CHECKING:
    from edge_inspect.plc.opcua_server import OpcUaServer

PASSWORD_VARIABLE = "EDGE_INSPECT_OPCUA_PASSWORD"  # noqa: S105 - the name of it
CLOSE_WITHIN_S = 10.0
UNTOLD = 256
"""Results kept for a server that is still loading, or busy; the oldest give way."""
BACKLOG = 16
EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - to be told apart

logger = logging.getLogger(__name__)


@needs(lambda _options: _refuse_without_asyncua())
@contextmanager
def open_opcua(
    *,
    deadline_ms: float,
    pki: Path,
    host: str = "127.0.0.1",
    port: Annotated[int, Field(ge=0, le=65_535)] = 4840,
    names: tuple[str, ...] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    username: str | None = None,
    password_file: Path | None = None,
    unencrypted_reading: bool = False,
    allow: tuple[str, ...] = (),
    connections: Annotated[int, Field(ge=1, le=100)] = 8,
    idle_s: Annotated[float, Field(ge=5, le=86_400)] = 120.0,
    results: Annotated[int, Field(ge=1, le=10_000)] = 100,
) -> Iterator[OpcUaPlc]:
    """Listen for OPC UA clients. Needs the extra `opcua`.

    Args:
        deadline_ms: time from a trigger of the PLC until FAULT is said for it [ms]; given by the station, not by the file.
        pki: folder of certificates: `own`, `trusted`, `rejected`, `users`, `crl`; made where it is missing.
        host: address of this machine to listen on; 0.0.0.0 for all of them.
        port: TCP port; 0 takes a free one (`bound_port` tells it).
        names: further host names and addresses by which clients reach the station, for the certificate that it makes itself.
        certificate: the station's certificate, where it shall not make its own.
        key: its private key (RSA, PEM).
        username: who may write and call methods that change something; None leaves that to the certificates in `pki/users`.
        password_file: file whose first line is the password (a systemd credential is one); None takes EDGE_INSPECT_OPCUA_PASSWORD.
        unencrypted_reading: clients without encryption and certificate may connect too; they only read.
        allow: addresses and networks that may connect, as `[10.0.0.7, 10.0.1.0/24]`; empty for everybody.
        connections: how many may be connected at once; one more is cut.
        idle_s: a connection that says nothing for so long is closed [s]; also the longest session timeout.
        results: how many results are kept for GetResultById and its like.

    Yields:
        The wire. Clients can connect a few seconds later.

    Raises:
        PluginError: asyncua is not installed.
        ConfigError: certificates, password or `allow` cannot be used.
        PlcError: the address or port cannot be listened on.
    """
    _refuse_without_asyncua()
    from edge_inspect.plc.opcua_pki import Pki, load_own

    if (certificate is None) is not (key is None):
        raise ConfigError("plc: opcua: certificate and key go together; give both, or none and the station makes its own")
    folders = Pki(pki)
    names = names if host in EVERYWHERE else (host, *names)
    own = folders.own(names=names) if certificate is None or key is None else load_own(certificate, key)
    account = username, password_of(username, password_file)
    guard = Guard(networks=networks_of(allow, wire="opcua"), connections=connections, idle_s=idle_s)
    plc = OpcUaPlc(
        deadline_ms=deadline_ms,
        bound=bind(host, port),
        host=socket.gethostname() if host in EVERYWHERE else host,
        pki=folders,
        own=own,
        account=account,
        guard=guard,
        unencrypted_reading=unencrypted_reading,
        results=results,
    )
    try:
        yield plc
    finally:
        plc.close()


def _refuse_without_asyncua() -> None:
    """Loading it takes a second, and is the wire's thread's; that it is there is told at once."""
    if importlib.util.find_spec("asyncua") is None:
        raise PluginError("plc: opcua needs asyncua; install the extra: pip install 'edge-inspect[opcua]'")


class OpcUaPlc(SharedHandshake):
    """A `protocols.Plc` on OPC UA.

    Attributes:
        bound_port: the port it listens on.
        serving: set once clients can connect, or never will.
        dropped: results made while the server was not there to keep them.
        continuous: parts come that nobody has triggered on this wire: a job is a run of them, and no single one can be started.
    """

    def __init__(
        self, *, deadline_ms: float, bound: socket.socket, host: str, account: tuple[str | None, str | None], guard: Guard, **options: Any
    ) -> None:
        super().__init__(deadline_ms=deadline_ms, wire="opcua", results=ResultTap(self._keep))
        self.bound_port: int = bound.getsockname()[1]
        self.serving = threading.Event()
        self.continuous = False
        self.dropped = self._count = 0
        self._inspections: dict[int, Inspection] = {}
        self._untold: deque[Made] = deque()
        self._server: OpcUaServer | None = None
        self._thread = threading.Thread(
            target=self._run,
            name="opcua",
            daemon=True,
            args=(bound, {"url": f"opc.tcp://{host}:{self.bound_port}/", "account": account, "guard": guard, **options}),
        )
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether the wire serves, or is about to."""
        return not self._is_closed and self._thread.is_alive()

    def begin(self, deadline_ns: int) -> int:
        """Tell the wire that the camera saw a part by itself; its acquisition. From the first one on the state is ContinuousExecution."""
        with self._changed:
            self.continuous = True
            return super().begin(deadline_ns)

    def emit(self, inspection: Inspection) -> None:
        """Publish the verdict of `inspection.acquisition`; the PLC's next look shows it.

        Raises:
            DeadlineMissed: the wire has already said FAULT for this acquisition.
            PlcError: the wire is closed, or nobody asked for this acquisition or it has its verdict already.
        """
        with self._changed:
            self._inspections[inspection.acquisition] = replace(inspection, evidence=None)
            try:
                super().emit(inspection)
            finally:
                self._inspections.pop(inspection.acquisition, None)

    def close(self) -> None:
        """Stop listening and wake whoever waits in `poll`."""
        super().close()
        self._thread.join(THE_END.at_most(CLOSE_WITHIN_S))

    # ---- what the server uses ----

    def trigger_where_ready(self, control: Control, *, by: Peer) -> int | None:
        """Trigger one part, where it would not be missed; its acquisition, or None."""
        with self._changed:
            self.write(control, by=by)
            if self.continuous or not self.status().trigger_ready:
                return None
            self.write(replace(control, trigger=True), by=by)
            acquisition = self.status().acquisition_id
            self.write(control, by=by)
            return acquisition

    def made(self) -> list[Made]:
        """Results made since the last call."""
        with self._changed:
            made = list(self._untold)
            self._untold.clear()
            return made

    def refused(self, deed: Deed, by: Peer, why: str) -> None:
        """Somebody was turned away."""
        logger.warning("OPC UA: %s %s was refused: %s", by.address, by.user, why)
        self.note(deed, Outcome.REFUSED, by=by, reason=why)

    def _keep(self, result: Result) -> None:
        """Called under the lock with each result, whoever made it."""
        self._count += 1
        if len(self._untold) >= UNTOLD:
            self._untold.popleft()
            self.dropped += 1
        inspection = self._inspections.get(result.acquisition)
        self._untold.append(Made(count=self._count, result=result, inspection=inspection, job=self._handshake.job))

    def _tell(self) -> None:
        super()._tell()
        if self._server is not None:
            self._server.wake()

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise PlcError(f"plc: opcua: the wire on port {self.bound_port} is closed; open it again")

    # ---- the thread ----

    def _run(self, bound: socket.socket, options: dict[str, Any]) -> None:
        try:
            asyncio.run(self._serve(bound, options))
        except Exception:  # whatever it was, the station is told at its next poll, and the log says why
            logger.exception("OPC UA: the server has ended")
        finally:
            self._server = None
            bound.close()
            self.serving.set()

    async def _serve(self, bound: socket.socket, options: dict[str, Any]) -> None:
        from edge_inspect.plc.opcua_server import OpcUaServer, settings_of

        server = OpcUaServer(self, settings_of(**options), bound)
        self._server = server
        await server.serve(self.serving.set)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        PlcError: the address or port cannot be had, and why.
    """
    bound = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address[0], port, *address[2:]))
        bound.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        if bound is not None:
            bound.close()
        raise PlcError(f"plc: opcua: cannot listen on {host} port {port}: {why_not_bound(error)}") from error
    return bound


def password_of(username: str | None, file: Path | None) -> str | None:
    """The password of a user: the file's first line, or of the environment; None without a user.

    Raises:
        ConfigError: there is none.
    """
    if username is None:
        return None
    if file is None:
        password = os.environ.get(PASSWORD_VARIABLE, "")
    else:
        try:
            password = (file.read_text(encoding="utf-8").splitlines() or [""])[0]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"plc: opcua: password_file: {file} cannot be read: {error}; check the path and the permissions") from error
    if not password:
        raise ConfigError(f"plc: opcua: username: {username} has no password; give password_file, or set {PASSWORD_VARIABLE}")
    return password
