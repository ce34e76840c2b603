"""Certificates of the OPC UA wire: the station's own, those it trusts, those it has turned away. Folders are in docs/opcua.md.

A client is trusted when its certificate lies in `trusted`, or a certificate authority there has signed it. The folders are read
again for every session, so that moving a file from `rejected` to `trusted` is all a technician does.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_inspect.durable import replace_file, write_file
from edge_inspect.errors import ConfigError

FOLDERS = ("own", "trusted", "rejected", "users", "crl")
APPLICATION = "edge-inspect"
REJECTED_KEPT = 64
"""A stranger must not fill the disk with certificates."""
VALID_DAYS = 3650
WARN_DAYS = 30
LEAST_KEY_BITS = 2048
"""Basic256Sha256 and its successors allow 2048 to 4096."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """What the station shows of itself.

    Attributes:
        certificate: DER.
        key: PEM, not encrypted.
        uri: its application URI.
    """

    certificate: bytes
    key: bytes
    uri: str

    def __repr__(self) -> str:
        """Without the key."""
        return f"OwnCertificate({self.uri})"


class Pki:
    """The folders of certificates below one.

    Args:
        folder: made, with those in it, where it is missing.

    Raises:
        ConfigError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            for name in FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise ConfigError(f"plc: opcua: pki: {folder} cannot be made: {error}; check the path and the permissions") from error

    def own(self, *, names: tuple[str, ...], application: str = APPLICATION) -> OwnCertificate:
        """The station's certificate and key; made at the first start.

        Args:
            names: host names and addresses by which clients reach the station, for a certificate that is made.
            application: whose certificate it is, likewise; a client made here has another name than the station.

        Raises:
            ConfigError: they cannot be read or written, or do not belong together.
        """
        certificate, key = self.folder / "own" / "certificate.der", self.folder / "own" / "key.pem"
        if not certificate.exists() and not key.exists():
            _make(certificate, key, names, application)
        return load_own(certificate, key)

    def is_trusted(self, certificate: x509.Certificate) -> bool:
        """Whether it, or an authority that has signed it, lies in `trusted`, and no list in `crl` revokes it.

        Raises:
            ValueError: a list in `crl` cannot be read.
        """
        if self._is_revoked(certificate):
            return False
        trusted = list(_certificates(self.folder / "trusted"))
        return certificate in trusted or _is_signed_by_one_of(certificate, [one for one in trusted if _is_authority(one)])

    def is_user(self, certificate: x509.Certificate) -> bool:
        """Whether it lies in `users`."""
        return certificate in _certificates(self.folder / "users") and not self._is_revoked(certificate)

    def trust(self, other: OwnCertificate) -> None:
        """Put the certificate of somebody made here on the list."""
        certificate = x509.load_der_x509_certificate(other.certificate)
        (self.folder / "trusted" / f"{_file_name(certificate)}.der").write_bytes(other.certificate)

    def put_aside(self, certificate: x509.Certificate) -> Path | None:
        """Keep a certificate that was turned away in `rejected`; None where there is no room left for it."""
        place = self.folder / "rejected" / f"{_file_name(certificate)}.der"
        try:
            if not place.exists():
                if sum(1 for _ in place.parent.iterdir()) >= REJECTED_KEPT:
                    return None
                place.write_bytes(certificate.public_bytes(Encoding.DER))
        except OSError as error:
            logger.warning("OPC UA: %s was not kept: %s", place.name, error)
            return None
        return place

    def _is_revoked(self, certificate: x509.Certificate) -> bool:
        return any(
            revoked.issuer == certificate.issuer and revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
            for revoked in _revocations(self.folder / "crl")
        )


def load_own(certificate: Path, key: Path) -> OwnCertificate:
    """Read a certificate and its key.

    Raises:
        ConfigError: they cannot be read, do not belong together, or lack an application URI.
    """
    try:
        loaded = _certificate_of(certificate.read_bytes())
        secret = key.read_bytes()
        private = load_pem_private_key(secret, None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"plc: opcua: {certificate} or {key} cannot be used: {error}; give a DER or PEM file and its key") from error
    if not isinstance(private, RSAPrivateKey) or private.public_key() != loaded.public_key():
        raise ConfigError(f"plc: opcua: {key} is not the RSA key of {certificate}; give the two that belong together")
    uris = _uris(loaded)
    if not uris:
        raise ConfigError(f"plc: opcua: {certificate} names no application URI (subjectAltName URI:urn:...); have it made with one")
    _warn_before_it_ends(loaded, certificate)
    return OwnCertificate(certificate=loaded.public_bytes(Encoding.DER), key=secret, uri=uris[0])


def common_name(certificate: x509.Certificate) -> str:
    """The name in it, for people; "" without one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def is_strong(certificate: x509.Certificate) -> bool:
    """Whether its key is RSA of at least `LEAST_KEY_BITS`."""
    key = certificate.public_key()
    return isinstance(key, RSAPublicKey) and key.key_size >= LEAST_KEY_BITS


def _make(certificate: Path, key: Path, names: tuple[str, ...], application: str) -> None:
    from asyncua.crypto.cert_gen import dump_private_key_as_pem, generate_private_key, generate_self_signed_app_certificate

    host = socket.gethostname()
    private = generate_private_key()
    made = generate_self_signed_app_certificate(
        private,
        f"{application}@{host}"[:64],
        {},
        [x509.UniformResourceIdentifier(f"urn:{host}:{application}"), *map(_general_name, dict.fromkeys((host, *names)))],
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
        days=VALID_DAYS,
    )
    try:
        key.touch(mode=0o600, exist_ok=False)
        write_file(key, dump_private_key_as_pem(private))
        replace_file(certificate, made.public_bytes(Encoding.DER))
    except OSError as error:
        raise ConfigError(f"plc: opcua: pki: {certificate.parent} cannot be written: {error}; check the permissions") from error
    logger.info("OPC UA: a certificate of our own was made: %s", certificate)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _warn_before_it_ends(certificate: x509.Certificate, path: Path) -> None:
    left = certificate.not_valid_after_utc - datetime.now(timezone.utc)
    if left < timedelta(days=WARN_DAYS):
        logger.warning(
            "OPC UA: %s ends on %s, and clients will then refuse the station; delete it and its key, start again, and have the clients "
            "trust the new one",
            path,
            certificate.not_valid_after_utc.date(),
        )


def _certificates(folder: Path) -> list[x509.Certificate]:
    found = []
    for path in sorted(folder.iterdir()):
        try:
            found.append(_certificate_of(path.read_bytes()))
        except (OSError, ValueError) as error:
            logger.warning("OPC UA: %s is no certificate and is left out: %s", path, error)
    return found


def _revocations(folder: Path) -> list[x509.CertificateRevocationList]:
    """Nobody is let in past a list that cannot be read."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            data = path.read_bytes()
            found.append(x509.load_pem_x509_crl(data) if data.startswith(b"-----") else x509.load_der_x509_crl(data))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is no list of revoked certificates and nobody is let in past it: {error}") from error
    return found


def _certificate_of(data: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(data) if data.lstrip().startswith(b"-----") else x509.load_der_x509_certificate(data)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _is_signed_by_one_of(certificate: x509.Certificate, authorities: list[x509.Certificate]) -> bool:
    from asyncua.crypto.truststore import TrustStore

    if not authorities:
        return False
    policy = TrustStore([], []).policy_builder
    try:
        policy.store(x509.verification.Store(authorities)).build_client_verifier().verify(certificate, [])
    except x509.verification.VerificationError:
        return False
    return True


def _file_name(certificate: x509.Certificate) -> str:
    """As the field names them: the common name for people, the thumbprint to be one of a kind."""
    name = re.sub(r"[^A-Za-z0-9@._-]", "_", common_name(certificate))[:40].lstrip(".")
    return f"{name or 'client'} [{certificate.fingerprint(SHA1()).hex()}]"  # noqa: S303 - a name, as OPC UA has it
