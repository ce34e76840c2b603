"""The connection of a fake PLC to a station that is an OPC UA server: signed, encrypted, each side's certificate trusted by the other.

It knows the station by its name space only, as a real client does: methods by their path, results by the event and by the list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from asyncua import Client, ua
from asyncua.common.events import get_filter_from_event_type
from asyncua.common.subscription import Subscription
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509

from edge_inspect.errors import PlcError
from edge_inspect.plc.opcua_events import ERROR, RECIPE_PREPARED, RESULT_READY
from edge_inspect.plc.opcua_methods import FILTERS
from edge_inspect.plc.opcua_model import AUTOMATIC, MACHINE_VISION, OURS, SYSTEM
from edge_inspect.plc.opcua_pki import OwnCertificate, Pki
from edge_inspect.plc.opcua_results import vision

PUBLISHED_EVERY_MS = 10
AGAIN_S = 0.1
NAMED = {"MeasId": "MeasIdDataType", "PartId": "PartIdDataType", "ProductId": "ProductIdDataType", "JobId": "JobIdDataType"}
BROKEN = (ConnectionError, OSError, asyncio.TimeoutError, ua.UaError)
"""What asyncua raises when a connection ends under a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to reach a station.

    Attributes:
        host: its address.
        port: its port.
        pki: certificates of the client; `own` is made where it is missing, the station's must lie in `trusted`.
        username: who may control.
        password: of that user.
        timeout_s: longest wait for a connection and for an answer [s].
    """

    host: str = "127.0.0.1"
    port: int = 4840
    pki: Pki
    username: str
    password: str
    timeout_s: float = 5.0

    @property
    def url(self) -> str:
        """Where the station is found."""
        return f"opc.tcp://{self.host}:{self.port}/"

    def own(self) -> OwnCertificate:
        """The client's certificate and key; made at the first call."""
        return self.pki.own(names=(), application="edge-inspect-fake-plc")

    def __repr__(self) -> str:
        """Without the password."""
        return f"Way({self.url}, {self.username!r})"


class OpcUaLink:
    """One client, connected again and again; every call but `hang_up` and `cut` raises PlcError when the connection has broken.

    Args:
        way: how to reach the station.
        heard: called with each event.
    """

    def __init__(self, way: Way, heard: Callable[[Any], None]) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # connections are broken on purpose here
        self._way, self._heard = way, heard
        self._client: Client | None = None
        self._subscription: Subscription | None = None
        self._filter: ua.EventFilter | None = None

    @property
    def is_up(self) -> bool:
        """Whether it was connected and has not hung up."""
        return self._client is not None

    async def connect(self, *, within_s: float | None = None) -> None:
        """Connect, and subscribe to the vision system's events.

        Args:
            within_s: how long a station that does not listen yet is asked again [s]; None takes the timeout.

        Raises:
            PlcError: nobody answers, or one side refuses the other.
        """
        until = asyncio.get_running_loop().time() + (self._way.timeout_s if within_s is None else within_s)
        while True:
            try:
                return await self._connect()
            except (OSError, asyncio.TimeoutError) as error:
                if asyncio.get_running_loop().time() > until:
                    raise PlcError(f"fake PLC: no OPC UA server answers at {self._way.url}: {error}; does the station run?") from error
                await asyncio.sleep(AGAIN_S)
            except BROKEN as error:
                raise PlcError(f"fake PLC: {self._way.url} refuses: {error}; see its log, and docs/opcua.md, step by step") from error

    async def subscribe(self) -> None:
        """Hear results and answers to job changes as events; nothing happens where they are heard already."""
        if self._subscription is not None:
            return
        async with self._told("a subscription"):
            client = self._up()
            if self._filter is None:
                types = [client.get_node(ua.NodeId(number, self._vision)) for number in (RESULT_READY, RECIPE_PREPARED, ERROR)]
                self._filter = await get_filter_from_event_type(types)
            self._subscription = await client.create_subscription(PUBLISHED_EVERY_MS, self)
            await self._subscription.subscribe_events(self._node(SYSTEM), evfilter=self._filter)

    async def unsubscribe(self) -> None:
        """Hear nothing any more."""
        async with self._told("the end of a subscription"):
            if self._subscription is not None:
                await self._subscription.delete()
                self._subscription = None

    def event_notification(self, event: Any) -> None:
        """Called by asyncua."""
        self._heard(event)

    async def call(self, path: str, *words: Any) -> Any:
        """Call a method by its path below the vision system; what it answers."""
        async with self._told(path):
            above = path.rpartition(".")[0]
            return await self._up().get_node(self._node(f"{SYSTEM}.{above}")).call_method(self._node(f"{SYSTEM}.{path}"), *words)

    async def start_single_job(self, part: str, *, recipe: str = "") -> tuple[str, int]:
        """Trigger; the job's id and the error."""
        ids = (_id("MeasIdDataType"), _id("PartIdDataType", part), _id("RecipeIdExternalDataType", recipe), _id("ProductIdDataType"))
        job, error = await self.call(f"{AUTOMATIC}.StartSingleJob", *ids, ua.Variant([], ua.VariantType.Variant, is_array=True))
        return job.Id or "", int(error)

    async def start_and_cut(self, part: str, *, first: bool) -> None:
        """Trigger, and cut the connection before the answer is heard; with `first` already before the trigger is out."""
        if first:
            await self.cut()
        call = asyncio.ensure_future(self.start_single_job(part))
        await asyncio.sleep(0)  # the request goes out
        await self.cut()
        with suppress(PlcError):
            await call

    async def prepare_recipe(self, recipe: str) -> tuple[bool, int]:
        """Ask for a job; whether it runs already, and the error."""
        words = (_id("RecipeIdExternalDataType", recipe), _id("RecipeIdInternalDataType"))
        _, done, error = await self.call("RecipeManagement.PrepareRecipe", *words)
        return bool(done), int(error)

    async def results(self, *, part: str = "") -> Iterable[Any]:
        """Results that the station still keeps, oldest first: all, or those of one part."""
        ids = [_id(_kind(name), part if name == "PartId" else "") for name in FILTERS]
        numbers = [ua.Variant(0, ua.VariantType.UInt32)] * 2
        path = "ResultManagement.GetResultListFiltered"
        *_, handle, found, _ = await self.call(path, ua.Variant(0, ua.VariantType.Int32), *ids, *numbers, 0)
        await self.call("ResultManagement.ReleaseResultHandle", ua.Variant(handle, ua.VariantType.UInt32))
        return list(reversed(found or []))

    async def status(self, name: str) -> Any:
        """One of the plain variables below `Status`."""
        async with self._told(f"Status.{name}"):
            return await self._up().get_node(self._node(f"Status.{name}")).read_value()

    async def hang_up(self) -> None:
        """Close session and connection as one should."""
        client, self._client, self._subscription = self._client, None, None
        if client is not None:
            with suppress(*BROKEN):
                await asyncio.wait_for(client.disconnect(), self._way.timeout_s)

    async def cut(self) -> None:
        """Break the connection without a word; the session is left to the station."""
        protocol = None if self._client is None else self._client.uaclient.protocol
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()
            await asyncio.sleep(0)
        await self.hang_up()

    # ---- connecting ----

    async def _connect(self) -> None:
        await self.hang_up()
        own = self._way.own()
        client = Client(self._way.url, timeout=self._way.timeout_s, watchdog_intervall=self._way.timeout_s)
        client.application_uri = own.uri
        client.set_user(self._way.username)
        client.set_password(self._way.password)
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=own.certificate,
            private_key=CertProperties(own.key, "PEM"),
            server_certificate=await self._trusted(client),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        await client.connect()
        self._client = client
        self._ours, self._vision = [await client.get_namespace_index(one) for one in (OURS, MACHINE_VISION)]
        if self._filter is None:
            await client.load_data_type_definitions()
        await self.subscribe()

    async def _trusted(self, client: Client) -> bytes:
        """The station's certificate, if it is to be trusted; else it is put aside, as the station does with ours."""
        endpoints = await client.connect_and_get_server_endpoints()
        policy, mode = SecurityPolicyBasic256Sha256.URI, ua.MessageSecurityMode.SignAndEncrypt
        shown: bytes = client.find_endpoint(endpoints, mode, policy).ServerCertificate
        certificate = x509.load_der_x509_certificate(shown)
        if not self._way.pki.is_trusted(certificate):
            place = self._way.pki.put_aside(certificate)
            raise PlcError(f"fake PLC: the station's certificate is not trusted; compare it, and move {place} to trusted")
        return shown

    def _node(self, text: str) -> ua.NodeId:
        return ua.NodeId(text, self._ours)

    def _up(self) -> Client:
        if self._client is None:
            raise PlcError(f"fake PLC: not connected to {self._way.url}; see the station's log")
        return self._client

    @asynccontextmanager
    async def _told(self, what: str) -> AsyncIterator[None]:
        try:
            yield
        except BROKEN as error:
            raise PlcError(f"fake PLC: {self._way.url} did not answer {what}: {error}; see its log") from error


def _kind(name: str) -> str:
    """The data type of a filter of GetResultListFiltered."""
    if name in NAMED:
        return NAMED[name]
    side = "External" if name.startswith("External") else "Internal"
    return f"RecipeId{side}DataType" if "Recipe" in name else "ConfigurationIdDataType"


def _id(kind: str, text: str = "") -> ua.Variant:
    return ua.Variant(vision(kind)(Id=text), ua.VariantType.ExtensionObject)
