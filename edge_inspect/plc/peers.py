"""Which peers may connect to a server of the station, how many at once, and for how long without a word. Knows no wire."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from edge_inspect.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the server lets in.

    Attributes:
        networks: peers that may connect; empty for all.
        connections: how many may be connected at once.
        idle_s: a connection that says nothing for so long is closed [s]; 0 never.
    """

    networks: tuple[Network, ...] = ()
    connections: int = 16
    idle_s: float = 0.0

    def why_refused(self, peer: str, connected: int) -> str:
        """Why a peer may not come in beside those that are `connected`; "" if it may."""
        address = ipaddress.ip_address(peer.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if self.networks and not any(address in network for network in self.networks):
            return "its address is not among `allow`"
        return f"{connected} are connected already" if connected >= self.connections else ""


def networks_of(allow: Sequence[str], *, wire: str) -> tuple[Network, ...]:
    """Addresses and networks (`10.0.0.7`, `10.0.0.0/24`) as a person writes them; `wire` is for the message.

    Raises:
        ConfigError: one of them is none.
    """
    try:
        return tuple(ipaddress.ip_network(one, strict=False) for one in allow)
    except ValueError as error:
        raise ConfigError(f"plc: {wire}: allow: {error}; write addresses or networks, as 10.0.0.7 or 10.0.0.0/24") from error


def why_not_bound(error: OSError | OverflowError) -> str:
    """Why an address or port cannot be listened on, and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    return {
        errno.EADDRINUSE: "another program uses it; stop that one, or give another port",
        errno.EACCES: "ports below 1024 need a privilege; give CAP_NET_BIND_SERVICE to the service, or a port from 1024 on",
        errno.EADDRNOTAVAIL: "this machine does not have that address; give one of its own, or 0.0.0.0 for all",
        socket.EAI_NONAME: "no such host is known; give an address of this machine, or 0.0.0.0 for all",
    }.get(number or 0, f"{error}; give an address of this machine and a port from 0 to 65535")
