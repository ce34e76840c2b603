"""Mutated Modbus requests against the real server: what one costs must be its own connection and nothing else."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pymodbus.client import ModbusTcpClient

from edge_inspect.plc.modbus import ModbusPlc, open_modbus
from edge_inspect.plc.registers import STATUS_COUNT, STATUS_START, decode_status

PER_CONNECTION = 50
ANSWER_WITHIN_S = 0.005
"""A request with a wrong length gets no answer until what it promised has come: what is sent next is taken for its rest [s]."""
LOOK_EVERY = 1000
FUNCTIONS = (1, 2, 3, 4, 5, 6, 7, 8, 11, 15, 16, 17, 20, 21, 22, 23, 24, 43, 0, 127, 128, 255)
ADDRESSES = (0, 1, 2, 3, 47, 48, 99, 100, 106, 131, 132, 1600, 65_535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """What came of it.

    Attributes:
        requests: how many were sent.
        connections: over how many connections.
        answered: how many got an answer, a refusal included.
        cut: how many cost their connection.
        refused_to_answer: looks of an honest client that got no sound answer; must be 0.
        files_more: file descriptors of this process at the end beyond those at the first look.
        alive: the server's thread still serves.
    """

    requests: int
    connections: int
    answered: int
    cut: int
    refused_to_answer: int
    files_more: int
    alive: bool

    @property
    def clean(self) -> bool:
        """Whether nothing but single connections was harmed."""
        return self.alive and not self.refused_to_answer and self.files_more < PER_CONNECTION


def mutated(chance: random.Random) -> bytes:
    """One request: sound, or wrong in its header, length, function, address, count or bytes."""
    function, address = chance.choice(FUNCTIONS), chance.choice(ADDRESSES)
    body = bytes([function]) + struct.pack(">HH", address, chance.choice((0, 1, 3, 32, 125, 2000, 65_535, 0xFF00)))
    if function in {15, 16, 23} or chance.random() < 0.2:
        data = chance.randbytes(chance.randrange(12))
        body += bytes([chance.choice((len(data), chance.randrange(256)))]) + data
    length = chance.choice((len(body) + 1, len(body) + 1, len(body) + 1, chance.randrange(65_536)))
    packet = bytearray(
        struct.pack(">HHHB", chance.randrange(65_536), chance.choice((0, 0, 0, 1)), length, chance.choice((1, 1, 1, 0, 7, 255)))
    )
    packet += body
    while chance.random() < 0.3:
        packet[chance.randrange(len(packet))] = chance.randrange(256)
    return bytes(packet[: chance.randrange(1, len(packet))] if chance.random() < 0.1 else packet)


@dataclass(slots=True)
class Thrown:
    """What was thrown so far."""

    requests: int = 0
    connections: int = 0
    answered: int = 0
    cut: int = 0

    def throw(self, port: int, packets: list[bytes]) -> None:
        """Send them one after another, over a new connection wherever one was cut."""
        left = deque(packets)
        while left:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                peer.settimeout(ANSWER_WITHIN_S)
                self.connections += 1
                while left and self._send(peer, left.popleft()):
                    pass

    def _send(self, peer: socket.socket, packet: bytes) -> bool:
        """Whether the connection is still there after it."""
        self.requests += 1
        try:
            peer.sendall(packet)
            is_there = bool(peer.recv(1024))
        except TimeoutError:
            return True
        except OSError:
            is_there = False
        self.answered += is_there
        self.cut += not is_there
        return is_there


def fuzz(requests: int, *, seed: int = 0, each: Callable[[int], None] = lambda _: None) -> Fuzzed:
    """Open a server, throw `requests` at it over many connections, and look at it as an honest client all the while.

    Args:
        requests: how many.
        seed: another seed gives other requests.
        each: called with the number of requests after every connection.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    silent = 0
    files = -1
    thrown = Thrown()
    with open_modbus(deadline_ms=1000, port=0, connections=100) as plc:
        stop = threading.Event()
        station = threading.Thread(target=_work, args=(plc, stop))
        station.start()
        while thrown.requests < requests:
            count = min(PER_CONNECTION, requests - thrown.requests)
            thrown.throw(plc.bound_port, [mutated(chance) for _ in range(count)])
            if thrown.requests % LOOK_EVERY < PER_CONNECTION:
                silent += not _answers(plc.bound_port)
                files = _files() if files < 0 else files
            each(count)
        silent += not _answers(plc.bound_port)
        more, alive = _files() - files, plc.is_open
        stop.set()
        station.join()
    return Fuzzed(**asdict(thrown), refused_to_answer=silent, files_more=more, alive=alive)


def _work(plc: ModbusPlc, stop: threading.Event) -> None:
    """A station that takes whatever the requests have asked for and answers nothing: the deadline does."""
    plc.ready(True)
    while not stop.is_set():
        request = plc.poll(0.05)
        if request is not None and request.job:
            plc.answer(request, job=0, error="")


def _answers(port: int) -> bool:
    """Whether an honest client reads a whole and sound status block."""
    with ModbusTcpClient("127.0.0.1", port=port, timeout=5.0, retries=1) as client:
        reply = client.read_holding_registers(STATUS_START, count=STATUS_COUNT, device_id=1)
    if reply.isError():
        return False
    status = decode_status(reply.registers)
    counted = status["delivered"] + status["overrun"] + status["waiting"]
    return status["inspection_id"] == status["result_id"] and counted <= status["triggers"]


def _files() -> int:
    time.sleep(0.05)  # the server closes what has just been cut
    return len(list(Path("/proc/self/fd").iterdir()))
