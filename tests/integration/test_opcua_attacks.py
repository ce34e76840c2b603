"""What somebody on the network may try with the OPC UA wire, and what it costs: one connection, and nothing of anybody else's."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("asyncua", reason="asyncua is not installed (extra opcua)")

from asyncua import Client, ua
from asyncua.crypto import uacrypto
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.opcua_lab import PASSWORD, USER, WITHIN_S, Identity, Laboratory, client, eventually, identity, laboratory, node, value, write

HELLO = b"HELF" + struct.pack("<IIIIII", 32 + 12, 0, 65536, 65536, 0, 0) + struct.pack("<i", 12) + b"opc.tcp://x/"
SEED = 20261127
FUZZED = 400
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def me(clients: Path) -> Identity:
    return identity(clients, "me")


@pytest.fixture(scope="module")
def stranger(clients: Path) -> Identity:
    return identity(clients, "stranger")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, me: Identity) -> Iterator[Laboratory]:
    """One for all tests that leave it as it was: a server takes seconds to come up."""
    with laboratory(tmp_path_factory.mktemp("lab"), connections=4) as built:
        built.trust(me)
        yield built


@pytest.fixture(scope="module")
def open_lab(tmp_path_factory: pytest.TempPathFactory, me: Identity) -> Iterator[Laboratory]:
    """One that lets clients read without encryption."""
    with laboratory(tmp_path_factory.mktemp("open_lab"), unencrypted_reading=True) as built:
        built.trust(me)
        yield built


async def open_channel(one: Client) -> Client:
    await one.connect_socket()
    await one.send_hello()
    await one.open_secure_channel()
    return one


async def ask_for_a_session(one: Client, *, certificate: bytes | None, uri: str) -> None:
    params = ua.CreateSessionParameters()
    params.ClientDescription.ApplicationUri = uri
    params.ClientDescription.ApplicationType = ua.ApplicationType.Client
    params.ClientNonce = bytes(32)
    params.ClientCertificate = certificate
    params.EndpointUrl = one.server_url.geturl()
    params.SessionName = "me"
    params.RequestedSessionTimeout = 10_000
    await one.uaclient.create_session(params)


def triggering() -> ua.WriteRequest:
    request = ua.WriteRequest()
    one = ua.WriteValue()
    one.NodeId, one.AttributeId = node("Control.SetOffline"), ua.AttributeIds.Value
    one.Value = ua.DataValue(ua.Variant(True, ua.VariantType.Boolean))
    request.Parameters.NodesToWrite = [one]
    return request


async def is_online(lab: Laboratory) -> bool:
    return lab.plc.status().online


def test_a_channel_without_security_finds_endpoints_and_nothing_else(lab: Laboratory) -> None:
    async def attack(lab: Laboratory) -> None:
        one = await open_channel(await client(lab, None))
        try:
            assert {end.SecurityMode for end in await one.get_endpoints()} == {ua.MessageSecurityMode.SignAndEncrypt}
            with pytest.raises(ua.UaStatusCodeError, match="BadSecurityPolicyRejected"):
                await ask_for_a_session(one, certificate=None, uri="urn:me")
            with pytest.raises(ua.UaStatusCodeError, match="BadServiceUnsupported"):
                await one.uaclient.register_server(ua.RegisteredServer(ServerUri="urn:evil", ServerNames=[ua.LocalizedText("evil")]))
        finally:
            one.disconnect_socket()

    asyncio.run(attack(lab))


@pytest.mark.parametrize("shown", ["the certificate of somebody who is trusted", "none"])
def test_only_the_certificate_whose_key_a_client_has_shown_counts(lab: Laboratory, me: Identity, stranger: Identity, shown: str) -> None:
    async def attack(lab: Laboratory) -> None:
        one = await open_channel(await client(lab, stranger))
        try:
            certificate = me.certificate.read_bytes() if shown != "none" else None
            with pytest.raises(ua.UaStatusCodeError, match="BadCertificateInvalid"):
                await ask_for_a_session(one, certificate=certificate, uri=me.uri)
        finally:
            one.disconnect_socket()

    asyncio.run(attack(lab))


@pytest.mark.parametrize("encrypted", [True, False])
def test_nobody_takes_a_session_over_by_its_number(open_lab: Laboratory, me: Identity, encrypted: bool) -> None:
    async def attack(lab: Laboratory) -> None:
        victim = await client(lab, me, user=USER, password=PASSWORD)
        async with victim:
            await write(victim, BufferResultsEnable=True)
            thief = await open_channel(await client(lab, me if encrypted else None))
            try:
                thief.uaclient.protocol.authentication_token = victim.uaclient.protocol.authentication_token
                request = ua.ActivateSessionRequest()
                request.Parameters.UserIdentityToken = ua.AnonymousIdentityToken(PolicyId="anonymous")
                request.Parameters.ClientSignature = ua.SignatureData(Signature=b"guessed")
                for wanted in (request, triggering()):
                    with pytest.raises(ua.UaStatusCodeError, match=r"BadSessionIdInvalid|BadUserAccessDenied"):
                        await thief.uaclient.protocol.send_request(wanted)
            finally:
                thief.disconnect_socket()
            await write(victim, TriggerEnable=True)
        assert await is_online(lab)

    asyncio.run(attack(open_lab))


def test_where_reading_without_encryption_is_allowed_nobody_has_a_name_there(open_lab: Laboratory) -> None:
    async def attack(lab: Laboratory) -> None:
        async with await client(lab, None) as reader:
            assert await value(reader, "Status.Online") is True
            with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                await write(reader, SetOffline=True)
        named = await client(lab, None, user=USER, password=PASSWORD)
        with pytest.raises(ua.UaError):  # asyncua's client finds no endpoint that takes a password there
            await named.connect()
        one = await open_channel(await client(lab, None))
        try:
            await ask_for_a_session(one, certificate=None, uri="urn:me")
            params = ua.ActivateSessionParameters()
            params.UserIdentityToken = ua.UserNameIdentityToken(PolicyId="username", UserName=USER, Password=PASSWORD.encode())
            params.ClientSignature = ua.SignatureData()
            with pytest.raises(ua.UaStatusCodeError, match="BadIdentityTokenRejected"):
                await one.uaclient.activate_session(params)
        finally:
            one.disconnect_socket()

    asyncio.run(attack(open_lab))
    assert open_lab.plc.status().online


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"days": 0}, "BadCertificateTimeInvalid"),
        ({"usage": ExtendedKeyUsageOID.SERVER_AUTH}, "BadCertificateUseNotAllowed"),
        ({}, "BadCertificateUriInvalid"),
    ],
)
def test_a_trusted_certificate_must_still_be_one_of_a_client(lab: Laboratory, tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    async def attack(lab: Laboratory, one: Identity) -> None:
        opened = await client(lab, one)
        if not changed:
            opened.application_uri = "urn:another"
        with pytest.raises(ua.UaStatusCodeError, match=why):
            await opened.connect()

    odd = identity(tmp_path / "clients", "odd", **changed)
    lab.trust(odd)
    asyncio.run(attack(lab, odd))


def test_a_revoked_certificate_is_refused_and_a_list_that_cannot_be_read_lets_nobody_in(lab: Laboratory, me: Identity) -> None:
    async def attack(lab: Laboratory) -> None:
        async with await client(lab, me) as reader:
            assert await value(reader, "Status.Online") is True
        (lab.pki / "crl" / "authority.crl").write_bytes(revocations(me))
        with pytest.raises(ua.UaStatusCodeError, match="BadCertificateUntrusted"):
            await (await client(lab, me)).connect()
        (lab.pki / "crl" / "authority.crl").write_bytes(b"no list")
        with pytest.raises(ua.UaStatusCodeError, match="BadCertificateInvalid"):
            await (await client(lab, me)).connect()
        (lab.pki / "crl" / "authority.crl").unlink()

    asyncio.run(attack(lab))


def revocations(one: Identity) -> bytes:
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate = x509.load_der_x509_certificate(one.certificate.read_bytes())
    now = datetime.now(timezone.utc)
    revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now).build()
    builder = x509.CertificateRevocationListBuilder().issuer_name(certificate.subject).last_update(now).next_update(now + timedelta(days=1))
    key: Any = load_pem_private_key(one.key.read_bytes(), None)
    return builder.add_revoked_certificate(revoked).sign(key, SHA256()).public_bytes(Encoding.DER)


def test_a_persons_certificate_may_control_where_it_lies_in_users(lab: Laboratory, me: Identity, stranger: Identity) -> None:
    async def go(lab: Laboratory) -> None:
        (lab.pki / "users" / "me.der").write_bytes(me.certificate.read_bytes())
        named = await client(lab, me)
        await named.load_client_certificate(str(me.certificate))
        await named.load_private_key(str(me.key))
        async with named:
            await write(named, TriggerEnable=True)
        unknown = await client(lab, me)
        await unknown.load_client_certificate(str(stranger.certificate))
        await unknown.load_private_key(str(stranger.key))
        with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
            await unknown.connect()

    asyncio.run(go(lab))
    assert lab.plc.status().trigger_ready


def test_nothing_but_the_control_variables_can_be_written_and_nothing_can_be_added(lab: Laboratory, me: Identity) -> None:
    async def attack(lab: Laboratory) -> None:
        async with await client(lab, me, user=USER, password=PASSWORD) as named:
            writable = [found for found in await every_variable(named) if await may_be_written(found)]
            assert {one.nodeid.Identifier.split(".")[0] for one in writable} == {"Control"}
            assert len(writable) == 8
            with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                await named.nodes.objects.add_variable(node("mine"), "2:mine", 1)
            with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                await named.delete_nodes([named.get_node(node("Control.Trigger"))])

    asyncio.run(attack(lab))


async def every_variable(connected: Client) -> list[Any]:
    found: dict[Any, Any] = {}
    waiting = [connected.nodes.objects]
    while waiting:
        for one in await waiting.pop().get_references(direction=ua.BrowseDirection.Forward):
            if one.ReferenceTypeId.Identifier not in {ua.ObjectIds.HasComponent, ua.ObjectIds.HasProperty, ua.ObjectIds.Organizes}:
                continue
            if one.NodeId not in found:
                found[one.NodeId] = one.NodeClass
                waiting.append(connected.get_node(one.NodeId))
    return [connected.get_node(nodeid) for nodeid, kind in found.items() if kind == ua.NodeClass.Variable]


async def may_be_written(found: Any) -> bool:
    levels: set[Any] = await found.get_access_level()
    return ua.AccessLevel.CurrentWrite in levels


def test_odd_values_are_refused_and_the_request_that_held_them_does_nothing(lab: Laboratory, me: Identity) -> None:
    async def attack(lab: Laboratory) -> None:
        async with await client(lab, me, user=USER, password=PASSWORD) as named:
            for odd in (
                ua.DataValue(ua.Variant([True, False], ua.VariantType.Boolean)),
                ua.DataValue(ua.Variant(None), ua.StatusCode(ua.StatusCodes.BadInternalError)),
            ):
                nodes = [named.get_node(node("Control.SetOffline")), named.get_node(node("Control.Trigger"))]
                with pytest.raises(ua.UaStatusCodeError, match="BadOutOfRange"):
                    await named.write_values(nodes, [ua.DataValue(ua.Variant(True)), odd])
            with pytest.raises(ua.UaStatusCodeError, match="BadTypeMismatch"):
                await named.get_node(node("Control.Trigger")).write_value(ua.Variant("on", ua.VariantType.String))
            assert await value(named, "Control.SetOffline") is False
        assert lab.plc.status().online

    asyncio.run(attack(lab))


# ---- bytes ----


def connect(lab: Laboratory) -> socket.socket:
    return socket.create_connection(("127.0.0.1", lab.plc.bound_port), timeout=WITHIN_S)


def is_cut(one: socket.socket) -> bool:
    one.settimeout(WITHIN_S)
    try:
        while one.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"HELF" + struct.pack("<I", 0xFFFF_FFF0) + b"x" * 100,
        b"HELF" + struct.pack("<I", 3),
        b"MSGF" + struct.pack("<I", 100) + b"x" * 92,
        HELLO + b"OPNF" + struct.pack("<II", 24, 0) + b"x" * 12,
        HELLO + b"OPNC" + struct.pack("<II", 24, 0) + b"\xff" * 12,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_nonsense_costs_its_connection(lab: Laboratory, sent: bytes) -> None:
    with connect(lab) as one:
        one.sendall(sent)
        assert is_cut(one)
    assert serves(lab)


def serves(lab: Laboratory) -> bool:
    async def look() -> bool:
        one = await open_channel(await client(lab, None))
        try:
            return len(await one.get_endpoints()) == 3
        finally:
            one.disconnect_socket()

    return asyncio.run(look())


@pytest.mark.slow
def test_bytes_changed_at_random_cost_their_connections_and_nothing_else(lab: Laboratory, me: Identity) -> None:
    """Real openings of a channel, mutated; a client that is connected all the while reads on."""
    dice = random.Random(SEED)

    async def attack(lab: Laboratory) -> None:
        recorded = await recording(lab)
        async with await client(lab, me) as reader:
            for _ in range(FUZZED):
                with connect(lab) as one:
                    try:
                        one.sendall(mutated(recorded, dice))
                        one.shutdown(socket.SHUT_WR)
                    except ConnectionError:
                        pass
                    await asyncio.to_thread(is_cut, one)
            assert await value(reader, "Status.Online") is True

    asyncio.run(attack(lab))
    assert lab.plc.is_open
    assert serves(lab)


async def recording(lab: Laboratory) -> bytes:
    """What a client sends to open a channel and a session."""
    sent = bytearray()
    one = await client(lab, None)
    await one.connect_socket()
    transport = one.uaclient.protocol.transport
    plain: Callable[[bytes], None] = transport.write

    def kept(data: bytes) -> None:
        sent.extend(data)
        plain(data)

    transport.write = kept  # type: ignore[method-assign]
    await one.send_hello()
    await one.open_secure_channel()
    await one.get_endpoints()
    with pytest.raises(ua.UaStatusCodeError):
        await ask_for_a_session(one, certificate=None, uri="urn:me")
    one.disconnect_socket()
    return bytes(sent)


def mutated(recorded: bytes, dice: random.Random) -> bytes:
    data = bytearray(recorded)
    for _ in range(dice.randint(1, 12)):
        at = dice.randrange(len(data))
        kind = dice.randrange(3)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at : at + dice.randint(1, 8)]
        else:
            data[at:at] = dice.randbytes(dice.randint(1, 8))
    return bytes(data)


def test_too_many_connections_are_cut_and_a_silent_one_is_closed(tmp_path: Path) -> None:
    with laboratory(tmp_path, connections=2, idle_s=5.0) as lab:
        with connect(lab) as first, connect(lab) as second:
            time.sleep(0.2)
            with connect(lab) as third:
                assert is_cut(third)
            assert is_cut(first)
            assert is_cut(second)
        assert serves(lab)


def test_a_peer_that_is_not_allowed_is_cut(tmp_path: Path) -> None:
    with laboratory(tmp_path, allow=("192.0.2.0/24",)) as lab, connect(lab) as one:
        assert is_cut(one)


def test_rejected_certificates_do_not_fill_the_disk(tmp_path: Path, me: Identity) -> None:
    from cryptography import x509

    from edge_inspect.plc.opcua_pki import REJECTED_KEPT, Pki

    pki = Pki(tmp_path / "pki")
    certificate = x509.load_der_x509_certificate(me.certificate.read_bytes())
    kept = pki.put_aside(certificate)
    assert kept is not None
    assert uacrypto.x509_from_der(kept.read_bytes()) == certificate
    assert pki.put_aside(certificate) == kept
    for number in range(REJECTED_KEPT):
        (tmp_path / "pki" / "rejected" / f"{number}.der").touch()
    kept.unlink()
    assert pki.put_aside(certificate) is None


def test_a_client_that_takes_nothing_delays_neither_the_verdict_nor_another(lab: Laboratory, me: Identity) -> None:
    """It subscribes to everything and then asks for nothing any more."""

    async def go(lab: Laboratory) -> None:
        async with await client(lab, me, user=USER, password=PASSWORD) as named:
            await write(named, TriggerEnable=True)
            frozen = await client(lab, me)
            await frozen.connect()
            subscription = await frozen.create_subscription(10, Deaf())
            await subscription.subscribe_data_change([frozen.get_node(node("Status.ResultId")), frozen.get_node(node("Status.Heartbeat"))])
            frozen.uaclient.protocol.transport.pause_reading()
            before = await value(named, "Status.AcquisitionId")
            for count in range(before + 1, before + 11):
                await write(named, Trigger=True)

                async def has_come(wanted: int = count) -> bool:
                    return bool(await value(named, "Status.InspectionId") == wanted)

                await eventually(has_come)
                await write(named, Trigger=False)
            frozen.disconnect_socket()

    asyncio.run(go(lab))


class Deaf:
    def datachange_notification(self, *_: object) -> None:
        """Does not listen."""
