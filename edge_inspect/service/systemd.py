"""What systemd hears of the station: ready, reloading, stopping, one line for the operator, and that the loop still turns.

The protocol is one datagram of `KEY=value` lines to the socket named in `NOTIFY_SOCKET` (sd_notify(3)). The loop itself feeds
the watchdog, once a cycle: an idle line feeds it, a hung inference does not. Nothing here ever waits for systemd; without
`NOTIFY_SOCKET` (started by hand, in a test) nothing is sent.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

STARTING_S = 30.0
"""How much longer systemd is asked to wait, again and again, while the station waits for its camera [s]."""

LONGEST_LINE = 500
"""Longest `STATUS=` line [characters]; what is cut off stands in the status file."""


class Systemd:
    """One service as systemd sees it."""

    def __init__(self, address: str = "", *, watchdog_s: float | None = None) -> None:
        """Nothing is sent yet.

        Args:
            address: of the notify socket; "@name" is in the abstract namespace, "" is none.
            watchdog_s: `WatchdogSec=` [s]; None where no watchdog runs.
        """
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._feed_every_s = STARTING_S / 4 if watchdog_s is None else watchdog_s / 4
        self._watched = watchdog_s is not None
        self._fed_s = float("-inf")
        self._ready = False
        self._said = ""
        self._owed: list[str] = []

    def say(self, line: str) -> None:
        """Show one line in `systemctl status`; the same line is not sent twice."""
        if line != self._said:
            self._said = line
            self._send(_status(line))

    def ready(self, line: str) -> None:
        """Everything is up: what waits for this service may go on, and the watchdog runs from here."""
        self._ready, self._said = True, line
        self._owe(f"READY=1\n{_status(line)}")

    def reloading(self, line: str) -> None:
        """New files are being read; `ready` ends it."""
        self._said = line
        self._owe(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\n{_status(line)}")

    def stopping(self, line: str) -> None:
        """The last parts are being finished."""
        self._said = line
        self._owe(f"STOPPING=1\n{_status(line)}")

    def beat(self) -> None:
        """Called by the loop once a cycle: feeds the watchdog, or asks for more time while not ready, at a quarter of its time."""
        self._settle()
        now_s = time.monotonic()
        if now_s - self._fed_s < self._feed_every_s:
            return
        self._fed_s = now_s
        if not self._ready:
            self._send(f"EXTEND_TIMEOUT_USEC={int(STARTING_S * 1e6)}")
        elif self._watched:
            self._send("WATCHDOG=1")

    def _owe(self, message: str) -> None:
        """Send something that must arrive: what systemd cannot take now, it gets at a later beat."""
        self._owed.append(message)
        self._settle()

    def _settle(self) -> None:
        while self._owed and self._send(self._owed[0]):
            self._owed.pop(0)

    def _send(self, message: str) -> bool:
        """Whether it was taken; a station that nobody watches has told everybody."""
        if not self._address:
            return True
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as wire:
            wire.setblocking(False)
            wire.connect(self._address)
            wire.send(message.encode("utf-8", errors="backslashreplace"))
            return True
        return False


def systemd_from_environment(environment: MutableMapping[str, str] = os.environ) -> Systemd:
    """What started us, and how it watches. The variables are taken away: no child may speak in our name."""
    address = environment.pop("NOTIFY_SOCKET", "")
    watchdog_us = environment.pop("WATCHDOG_USEC", "")
    watched = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not (watched and watchdog_us.isdecimal() and int(watchdog_us)):
        return Systemd(address)
    return Systemd(address, watchdog_s=int(watchdog_us) / 1e6)


def _status(line: str) -> str:
    """A status is one line; a longer text would be read as further keys."""
    text = " ".join(line.split())
    return f"STATUS={text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + '…'}"
