"""What the tests of the OPC UA wire share: certificates of clients, a station behind the wire, a client that is encrypted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.cert_gen import dump_private_key_as_pem, generate_private_key, generate_self_signed_app_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_inspect.datatypes import Inspection, Latency, Region, RequestKind, Verdict
from edge_inspect.errors import DeadlineMissed
from edge_inspect.plc.opcua import OpcUaPlc, open_opcua

WITHIN_S = 30.0
UP_WITHIN_S = 120.0
"""A server takes seconds of one core to come up, and tests share theirs."""
LONG_MS = 60_000.0
SCORE, THRESHOLD = 12.375, 2.5
USER, PASSWORD = "plc", "a long word"


@dataclass(frozen=True)
class Identity:
    """A client's certificate and key.

    Attributes:
        certificate: DER file.
        key: PEM file.
        uri: application URI in it.
    """

    certificate: Path
    key: Path
    uri: str


def identity(folder: Path, name: str, *, days: int = 30, usage: Any = ExtendedKeyUsageOID.CLIENT_AUTH) -> Identity:
    folder.mkdir(parents=True, exist_ok=True)
    private = generate_private_key()
    uri = f"urn:{name}"
    made = generate_self_signed_app_certificate(private, name, {}, [x509.UniformResourceIdentifier(uri)], [usage], days=days)
    one = Identity(folder / f"{name}.der", folder / f"{name}.pem", uri)
    one.certificate.write_bytes(made.public_bytes(Encoding.DER))
    one.key.write_bytes(dump_private_key_as_pem(private))
    return one


def inspection_of(acquisition: int, verdict: Verdict = Verdict.NG) -> Inspection:
    region = Region(left=11, top=22, right=33, bottom=44, centre_x=22.0, centre_y=33.0, area_px=484.0, area_mm2=None, peak=13.0, mean=12.0)
    return Inspection(
        sequence=70_000 + acquisition,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=verdict,
        reason="a scratch",
        score=SCORE,
        threshold=THRESHOLD,
        regions=(region,) if verdict is Verdict.NG else (),
        recipe="cell",
        engine_sha256="",
        calibration_id="",
        latency=Latency(infer=4_000_000),
    )


def verdict_of(acquisition: int) -> Verdict:
    """Every other part is good."""
    return Verdict.NG if acquisition % 2 else Verdict.OK


@dataclass
class Laboratory:
    """A wire with a station behind it.

    Attributes:
        plc: the wire.
        pki: its folder.
        engine: what the station's engine does with each part.
        jobs: jobs there are.
    """

    plc: OpcUaPlc
    pki: Path
    engine: Callable[[], object] = lambda: None
    jobs: tuple[int, ...] = (0, 1, 2)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.plc.bound_port}/"

    def trust(self, one: Identity) -> None:
        (self.pki / "trusted" / one.certificate.name).write_bytes(one.certificate.read_bytes())


@contextmanager
def laboratory(folder: Path, *, deadline_ms: float = LONG_MS, **options: Any) -> Iterator[Laboratory]:
    """A wire on a free port, serving, with a station's thread that answers triggers and job changes."""
    password = folder / "password"
    password.write_text(PASSWORD)
    pki = folder / "pki"
    options = {"username": USER, "password_file": password, "port": 0} | options
    stop = threading.Event()
    with open_opcua(deadline_ms=deadline_ms, pki=pki, **options) as plc:
        lab = Laboratory(plc, pki)
        station = threading.Thread(target=_work, args=(lab, stop), daemon=True)
        station.start()
        try:
            assert plc.serving.wait(UP_WITHIN_S), "the server never came up"
            yield lab
        finally:
            stop.set()
            station.join(WITHIN_S)


def _work(lab: Laboratory, stop: threading.Event) -> None:
    job = 0
    lab.plc.ready(True)
    while not stop.is_set():
        request = lab.plc.poll(0.01)
        if request is None:
            continue
        if request.kind is RequestKind.JOB_CHANGE:
            wanted = request.job
            job = wanted if wanted in lab.jobs else job
            lab.plc.answer(request, job=job, error="" if job == wanted else f"there is no job {wanted}")
        elif request.kind is RequestKind.TRIGGER:
            lab.engine()
            try:
                lab.plc.emit(replace(inspection_of(request.acquisition), verdict=verdict_of(request.acquisition)))
            except DeadlineMissed:
                continue


async def client(lab: Laboratory, one: Identity | None, *, user: str = "", password: str = "") -> Client:
    """A client that is not connected yet: encrypted where it has an identity."""
    made = Client(lab.url, timeout=WITHIN_S, watchdog_intervall=WITHIN_S)  # by itself it gives up on a machine that is busy for a second
    if one is not None:
        made.application_uri = one.uri
        await made.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=str(one.certificate),
            private_key=str(one.key),
            server_certificate=str(lab.pki / "own" / "certificate.der"),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
    if user:
        made.set_user(user)
        made.set_password(password)
    return made


def node(text: str) -> ua.NodeId:
    """A node of the station."""
    return ua.NodeId(text, 2)


async def value(connected: Client, text: str) -> Any:
    return await connected.get_node(node(text)).read_value()


async def write(connected: Client, **levels: bool | int) -> None:
    """Write control variables in one request."""
    nodes = [connected.get_node(node(f"Control.{name}")) for name in levels]
    kinds = {bool: ua.VariantType.Boolean, int: ua.VariantType.UInt16}
    await connected.write_values(nodes, [ua.DataValue(ua.Variant(level, kinds[type(level)])) for level in levels.values()])


async def eventually(is_so: Callable[[], Awaitable[object]]) -> None:
    until = time.monotonic() + WITHIN_S
    while not await is_so():
        assert time.monotonic() < until, "it never came to be so"
        await asyncio.sleep(0.01)


async def call(connected: Client, path: str, *arguments: Any) -> Any:
    parent, _, _ = path.rpartition(".")
    return await connected.get_node(node(f"VisionSystem.{parent}")).call_method(node(f"VisionSystem.{path}"), *arguments)
