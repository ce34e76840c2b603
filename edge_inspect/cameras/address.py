"""The password of a camera's address, kept out of the station file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from edge_inspect.cameras.redaction import redacted
from edge_inspect.errors import ConfigError


def with_password(source: str | int, file: Path | None, where: str) -> str | int:
    """The source with the password in the file's first line put behind its user; without a file as it is.

    Args:
        source: an address as `rtsp://viewer@10.0.0.7/stream`.
        file: whose first line is the password.
        where: the camera, for messages.

    Raises:
        ConfigError: the address names no user or has a password already, or the file cannot be read or holds none.
    """
    if file is None:
        return source
    parts = urlsplit(str(source))
    if not parts.username or parts.password is not None:
        raise ConfigError(
            f"{where}: password_file: the source must name a user and no password, as rtsp://viewer@10.0.0.7/stream; "
            f"got {redacted(str(source))}"
        )
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(_first_line(file, where), safe='')}@{host}"))


def _first_line(file: Path, where: str) -> str:
    try:
        password = (file.read_text(encoding="utf-8").splitlines() or [""])[0]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: password_file: {file} cannot be read: {error}; check the path and the permissions") from error
    if not password:
        raise ConfigError(f"{where}: password_file: {file} holds no password; write it into its first line")
    return password
