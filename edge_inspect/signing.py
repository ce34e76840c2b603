"""Who made a model folder: an Ed25519 signature over its manifest, which names the hash of every file.

`manifest.json.sig` holds the signature of the manifest's bytes in base64. Keys are PEM files, as openssl writes them. The package
`cryptography` (extra `sign`) is imported only where something is signed or verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.durable import replace_file, sync_folder, write_file
from edge_inspect.errors import ConfigError, EngineError, UntrustedModel

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_ENDING = ".sig"
PUBLIC_ENDING = ".pub"
PRIVATE_MODE = 0o600
"""Nobody but its owner reads a private key, whatever the umask."""


def signature_file(manifest: Path) -> Path:
    """Where the signature of a manifest lies."""
    return manifest.with_name(manifest.name + SIGNATURE_ENDING)


def refuse_without_cryptography() -> None:
    """Say which extra signatures need.

    Raises:
        ConfigError: the package cryptography is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigError("signatures need the package cryptography, which is not installed: pip install 'edge-inspect[sign]'") from error


def make_key_pair(private: Path) -> Path:
    """Make a new private key, mode 0600, and the public one beside it; nothing that is there already is replaced.

    Returns:
        the file of the public key: the private one's name, ending in .pub.

    Raises:
        ConfigError: cryptography is not installed, one of the files is there already, or it cannot be written.
    """
    refuse_without_cryptography()
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = private.with_suffix(PUBLIC_ENDING)
    for path in (private, public):
        if path.exists():
            raise ConfigError(f"{path}: is there already, and a lost key cannot be made again; name another file, or leave out --new-key")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    try:
        _write_secret(private, secret)
        write_file(public, key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo))
        sync_folder(private.parent)
    except OSError as error:
        raise ConfigError(f"{private}: the keys cannot be written: {error.strerror}; check the path and the permissions") from error
    return public


def sign_manifest(manifest: Path, private: Path) -> str:
    """Write the signature beside the manifest.

    Returns:
        fingerprint of the key that signed.

    Raises:
        ConfigError: cryptography is not installed, or the file is no private key of Ed25519.
        EngineError: the manifest cannot be read, or the signature cannot be written.
    """
    key = _private_key(private)
    try:
        signature = key.sign(manifest.read_bytes())
        replace_file(signature_file(manifest), base64.b64encode(signature) + b"\n")
    except OSError as error:
        raise EngineError(f"{manifest.parent}: cannot be signed: {error.strerror}; check space and permissions") from error
    return _fingerprint(key.public_key())


def demand_signature(manifest: Path, content: bytes, public: Path) -> None:
    """Refuse a manifest that the owner of this key has not signed as it stands.

    Args:
        manifest: its file; the signature lies beside it.
        content: what was read from it, and is used from here on.
        public: file of the public key.

    Raises:
        ConfigError: cryptography is not installed, or the file is no public key of Ed25519.
        UntrustedModel: the signature is missing, is none, or is of another manifest or key.
    """
    key = _public_key(public)
    file = signature_file(manifest)
    signature = _read_signature(file, public)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature as error:
        raise UntrustedModel(
            f"{file}: does not fit the manifest and the key {public}: the manifest was changed since (as `build`, `teach`, `export` do), "
            "or another key signed it; if the change is yours, sign it again (edge-inspect sign), else do not trust this model"
        ) from error


def fingerprint_of(public: Path) -> str:
    """First 16 digits of the SHA-256 of a public key, by which people compare keys.

    Raises:
        ConfigError: cryptography is not installed, or the file is no public key of Ed25519.
    """
    return _fingerprint(_public_key(public))


def _fingerprint(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _write_secret(path: Path, secret: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, PRIVATE_MODE)
        file.write(secret)
        file.flush()
        os.fsync(descriptor)


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the key cannot be read: {error.strerror}; check the path and the permissions") from error


def _private_key(path: Path) -> Ed25519PrivateKey:
    refuse_without_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read_key(path)
    try:
        key: object = load_pem_private_key(content, password=None)
    except TypeError as error:
        raise ConfigError(
            f"{path}: is encrypted; decrypt it into a file only you can read (openssl pkey -in FILE -out OTHER) and name that"
        ) from error
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is no private key of Ed25519 in PEM; make one with --new-key")
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    refuse_without_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read_key(path)
    try:
        key: object = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: is no public key of Ed25519 in PEM; name the .pub file that `edge-inspect sign --new-key` made")
    return key


def _read_signature(file: Path, public: Path) -> bytes:
    try:
        return base64.b64decode(file.read_bytes().strip(), validate=True)
    except OSError as error:
        raise UntrustedModel(
            f"{file}: cannot be read: {error.strerror}; the key {public} was named, so the model must be signed: sign it where it was made "
            "(edge-inspect sign), and copy the signature with the folder"
        ) from error
    except binascii.Error as error:
        raise UntrustedModel(f"{file}: is no signature in base64; sign the model again (edge-inspect sign)") from error
