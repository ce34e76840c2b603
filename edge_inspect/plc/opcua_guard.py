"""What the OPC UA wire lets in: peers, channels, sessions, people. asyncua decides none of that by itself.

asyncua 2.1 opens a channel without security although none was configured, checks the certificate that a client *says* it has and not
the one it has proved, hands a session to whoever names its number, and registers foreign servers for anybody. Each is refused here,
and tests/integration/test_opcua_attacks.py tries them.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import PermissionRuleset, User, UserRole
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.crypto.validator import CertificateValidator
from asyncua.crypto.validator import CertificateValidatorOptions as Check
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import UaProcessor
from cryptography import x509

from edge_inspect.datatypes import Deed, Peer
from edge_inspect.plc.opcua_pki import Pki, common_name, is_strong
from edge_inspect.plc.opcua_services import ANYBODY, CREATE_SESSION, DISCOVERY, NEVER, SESSION_LESS, WRITE

RSA_15 = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
"""Encryption of a password that leaks it to whoever may ask often enough (Bleichenbacher 1998)."""
FASTEST_PUBLISHING_MS = 10.0
Refused = Callable[[Deed, Peer, str], None]
CHECKS = Check.TIME_RANGE | Check.URI | Check.KEY_USAGE | Check.EXT_KEY_USAGE | Check.PEER_CLIENT

logger = logging.getLogger(__name__)


@dataclass
class Person(User):  # type: ignore[misc]
    """Who a session belongs to.

    Attributes:
        may_control: whether it may write and call methods that change something.
    """

    may_control: bool = False


ANONYMOUS = Person(role=UserRole.User, name="anonymous")
CHANNEL: ContextVar[GuardedProcessor] = ContextVar("CHANNEL")
"""Whose request is being answered, for methods and writes."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks now.

    Attributes:
        person: who is logged in.
        peer: the same for the audit record.
        refused: tells of a refusal.
    """

    person: Person
    peer: Peer
    refused: Refused


def caller() -> Caller:
    """Whose request is being answered."""
    channel = CHANNEL.get()
    return Caller(channel.person, channel.who(), channel.keeper.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The one name and password that may control; None for neither. It does not show the password."""

    username: str | None
    password: str | None

    def __repr__(self) -> str:
        """Without the password."""
        return f"Account({self.username!r})"

    def fits(self, username: str | None, password: str | None) -> bool:
        """Whether this is it, in a time that tells nothing."""
        if not self.username or not self.password:
            return False
        given = f"{username}\0{password}".encode()
        return hmac.compare_digest(given, f"{self.username}\0{self.password}".encode())


class Doorkeeper:
    """Decides about clients and people; also asyncua's user manager.

    Args:
        pki: the certificates.
        account: name and password that may control.
        unencrypted_reading: channels without security may read.
        refused: told of each refusal: of what, whom and why.
    """

    def __init__(self, *, pki: Pki, account: Account, unencrypted_reading: bool, refused: Refused) -> None:
        self.unencrypted_reading = unencrypted_reading
        self.refused = refused
        self._pki = pki
        self._account = account
        self._validator = CertificateValidator(CHECKS)

    async def admit(self, channel: GuardedProcessor, params: ua.CreateSessionParameters) -> None:
        """Let a client open a session, or raise.

        Raises:
            ServiceError: why it may not; asyncua tells the client.
        """
        proved = channel.proved
        if proved is None:
            return
        if params.ClientCertificate != proved:
            raise self._no(channel, "the certificate is not the one of its channel", ua.StatusCodes.BadCertificateInvalid)
        try:
            certificate = x509.load_der_x509_certificate(proved)
            is_trusted, strong = self._pki.is_trusted(certificate), is_strong(certificate)
        except ValueError as error:
            raise self._no(channel, str(error), ua.StatusCodes.BadCertificateInvalid) from error
        if not is_trusted:
            place = self._pki.put_aside(certificate)
            why = f"its certificate is not trusted; to trust it, move {place} to trusted" if place else "its certificate is not trusted"
            raise self._no(channel, why, ua.StatusCodes.BadCertificateUntrusted)
        if not strong:
            raise self._no(channel, "its key is no RSA of 2048 bits", ua.StatusCodes.BadCertificatePolicyCheckFailed)
        try:
            await self._validator.validate(certificate, params.ClientDescription)
        except ServiceError as error:
            raise self._no(channel, ua.StatusCode(error.code).name, error.code) from error

    def check_token(self, channel: GuardedProcessor, token: Any) -> None:
        """Let a kind of log-in pass, or raise: without encryption nobody has a name, and no password is sent the old way.

        Raises:
            ServiceError: it does not pass.
        """
        named = isinstance(token, (ua.UserNameIdentityToken, ua.X509IdentityToken))
        if named and channel.proved is None:
            raise self._no(channel, "it came without encryption", ua.StatusCodes.BadIdentityTokenRejected)
        if isinstance(token, ua.UserNameIdentityToken) and token.EncryptionAlgorithm == RSA_15:
            raise self._no(channel, "its password is encrypted with RSA 1.5", ua.StatusCodes.BadIdentityTokenRejected)

    def get_user(self, _iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None) -> Person | None:
        """Called by asyncua at a log-in; `certificate` is a person's, never the client's."""
        channel = CHANNEL.get()
        if certificate is not None:
            return self._by_certificate(channel, x509.load_der_x509_certificate(certificate))
        if username is None:
            return ANONYMOUS
        if self._account.fits(username, password):
            return Person(role=UserRole.User, name=username, may_control=True)
        self.refused(Deed.CONNECTION, channel.who(username), "log-in: wrong name or password")
        return None

    def _by_certificate(self, channel: GuardedProcessor, certificate: x509.Certificate) -> Person | None:
        name = common_name(certificate) or "certificate"
        if self._pki.is_user(certificate):
            return Person(role=UserRole.User, name=name, may_control=True)
        self.refused(Deed.CONNECTION, channel.who(name), f"log-in: the person's certificate is not in {self._pki.folder / 'users'}")
        return None

    def _no(self, channel: GuardedProcessor, why: str, code: int) -> ServiceError:
        self.refused(Deed.CONNECTION, channel.who(), why)
        return ServiceError(code)


class Rules(PermissionRuleset):  # type: ignore[misc]
    """Which services a person may use."""

    def check_validity(self, user: User, action_type: ua.NodeId, body: Any) -> bool:  # noqa: ARG002 - asyncua's signature
        """Reading for everybody, writing for those who may control, changing the address space for nobody."""
        return action_type in ANYBODY or (action_type == WRITE and getattr(user, "may_control", False))


class GuardedSession(InternalSession):  # type: ignore[misc]
    """A session: let in by the doorkeeper, and one with the handshake.

    `keeper`, `before_reading` and `after_writing` are set by `opcua_server`.
    """

    keeper: Doorkeeper
    before_reading: Callable[[], Any]
    after_writing: Callable[[], Any]
    admitted = False

    async def create_session(self, params: ua.CreateSessionParameters, sockname: Any = None) -> ua.CreateSessionResult:
        """Let the client in, or raise."""
        await self.keeper.admit(CHANNEL.get(), params)
        self.admitted = True
        return await super().create_session(params, sockname)

    def activate_session(self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None) -> ua.ActivateSessionResult:  # noqa: ARG002
        """Log a person in; the client's own certificate makes nobody a person."""
        if not self.admitted:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        self.keeper.check_token(CHANNEL.get(), params.UserIdentityToken)
        return super().activate_session(params, None)

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """All values of one read are from one instant, now."""
        await self.before_reading()
        values: list[ua.DataValue] = await super().read(params)
        return values

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """All values of one write are one word of the PLC."""
        results: list[ua.StatusCode] = await super().write(params)
        await self.after_writing()
        return results

    async def create_subscription(
        self, params: ua.CreateSubscriptionParameters, callback: Any, request_callback: Any = None
    ) -> ua.CreateSubscriptionResult:
        """A client may not keep the thread busy by asking for every microsecond."""
        params.RequestedPublishingInterval = max(params.RequestedPublishingInterval, FASTEST_PUBLISHING_MS)
        result: ua.CreateSubscriptionResult = await super().create_subscription(params, callback, request_callback)
        return result

    async def transfer_subscriptions(self, params: ua.TransferSubscriptionsParameters, callback: Any) -> list[ua.TransferResult]:  # noqa: ARG002
        """A subscription ends with its session, so there is none to be had; a client that hears so makes it anew."""
        gone = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
        return [ua.TransferResult(gone, []) for _ in params.SubscriptionIds]

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """A notification once more; a client that reconnects asks until it hears that there is none, which asyncua never says.

        Raises:
            ServiceError: there is none.
        """
        message: ua.NotificationMessage = super().republish(params)
        if not message.NotificationData:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return message


class GuardedProcessor(UaProcessor):  # type: ignore[misc]
    """One channel. A session lives and dies with the connection that opened it."""

    keeper: Doorkeeper

    def who(self, user: str = "") -> Peer:
        """The client for the audit record; `user` is who wants to log in, else it is who has."""
        return Peer(str(self.name[0]), user or ("" if self.session is None else self.person.name or ""))

    @property
    def proved(self) -> bytes | None:
        """Certificate (DER) whose key the client has shown to have; None without security."""
        policy = self._connection.security_policy
        return None if isinstance(policy, SecurityPolicyNone) else policy.peer_certificate

    @property
    def person(self) -> Person:
        """Who is logged in."""
        user = None if self.session is None else self.session.user
        return user if isinstance(user, Person) else ANONYMOUS

    async def _process_message(self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        CHANNEL.set(self)
        if typeid in NEVER:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        if self.proved is None and not self.keeper.unencrypted_reading and typeid not in DISCOVERY:
            raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
        if typeid == CREATE_SESSION and self.session is not None:
            await self.session.close_session(True)
        if typeid not in SESSION_LESS | DISCOVERY and not self._may(typeid, body):
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied)
        return bool(await super()._process_message(typeid, requesthdr, seqhdr, body))

    def _may(self, typeid: ua.NodeId, body: Any) -> bool:
        """Ask the rules, which asyncua does only on channels of its own list."""
        if RULES.check_validity(self.person, typeid, body):
            return True
        self.keeper.refused(
            Deed.REQUEST, self.who(), f"{'a write' if typeid == WRITE else f'service {typeid.Identifier}'}: it may only read"
        )
        return False

    def _should_close_session_on_transport_loss(self) -> bool:
        return True


RULES = Rules()
