"""Log lines for journald, by its own protocol where it can be reached: a level, an event's id and its fields beside the text.

The protocol: one datagram of `KEY=value` lines to its socket, where a value of several lines is preceded by its length
(systemd.io/JOURNAL_NATIVE_PROTOCOL). What cannot be sent goes to standard error, each line with its level, as sd-daemon(3) has it.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from edge_inspect.events import KEY

SOCKET = Path("/run/systemd/journal/socket")
LONGEST_MESSAGE = 48_000
"""Of a datagram that any kernel takes whole [bytes]; a longer text is cut."""

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class JournalHandler(logging.StreamHandler):  # type: ignore[type-arg]  # not subscriptable before Python 3.11
    """Sends each record to journald, and to the stream where that fails."""

    def __init__(self, stream: TextIO, *, address: Path = SOCKET, identifier: str = "edge-inspect") -> None:
        """Nothing is sent yet.

        Args:
            stream: standard error.
            address: journald's socket.
            identifier: what `journalctl -t` asks for.
        """
        super().__init__(stream)
        self.setFormatter(JournalFormatter("%(levelname)s %(name)s: %(message)s"))
        self._address = str(address)
        self._identifier = identifier
        self._wire: socket.socket | None = None
        self._text = logging.Formatter("%(name)s: %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            self._opened().sendto(datagram(self._fields(record)), self._address)
        except OSError:
            super().emit(record)

    def close(self) -> None:
        """Close the socket."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None
        super().close()

    def _opened(self) -> socket.socket:
        """Opened once: where descriptors run out, lines still come through."""
        if self._wire is None:
            self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._wire.setblocking(False)  # a journal that is full or gone holds up no part
        return self._wire

    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        given: dict[str, Any] = getattr(record, KEY, {})
        return {
            "MESSAGE": self._text.format(record).removeprefix("edge_inspect."),
            "PRIORITY": str(priority_of(record.levelno)),
            "SYSLOG_IDENTIFIER": self._identifier,
            "LOGGER": record.name,
            **given,
        }


class JournalFormatter(logging.Formatter):
    """Begins each line with `<priority>`, as sd-daemon(3) has it; a trace is many lines of one priority."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines of one record."""
        return with_priority(super().format(record), record.levelno)


def datagram(fields: Mapping[str, str]) -> bytes:
    """The fields as journald reads them."""
    return b"".join(map(_field, fields, fields.values()))


def priority_of(level: int) -> int:
    """Syslog's priority of a level of `logging`."""
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)


def with_priority(text: str, level: int) -> str:
    """Each line of a text with the priority of a level of `logging`."""
    priority = priority_of(level)
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))


def is_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to the stream goes to journald: systemd names device and inode of its socket."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


def _field(name: str, value: str) -> bytes:
    content = value.encode("utf-8", errors="backslashreplace")[:LONGEST_MESSAGE]
    if b"\n" not in content:
        return name.encode("ascii") + b"=" + content + b"\n"
    return name.encode("ascii") + b"\n" + struct.pack("<Q", len(content)) + content + b"\n"
