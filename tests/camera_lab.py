"""A real network of two private namespaces, with Aravis's own GigE Vision cameras at its far end. Nothing leaves it.

The caller's thread, and every thread and process it starts, is moved into the near namespace: its discovery broadcasts stay there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FAKE = "arv-fake-gv-camera-0.8"
_CLONE_NEWNET = 0x40000000


def missing() -> str:
    """Why the laboratory cannot be had here; "" when it can."""
    for tool in (FAKE, "ip", "unshare"):
        if shutil.which(tool) is None:
            return f"needs {tool}: apt install aravis-tools iproute2"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        return "needs the right to make a network namespace"
    with suppress(OSError):
        ctypes.CDLL("libaravis-0.8.so.0")
        return ""
    return "needs libaravis-0.8-0"


class Laboratory:
    """Two namespaces and the cable between them."""

    def __init__(self, line: str, far: str) -> None:
        self.line, self.far = line, far
        self.cameras: list[FakeCamera] = []

    def camera(self, serial: str, address: str = "10.99.0.2") -> FakeCamera:
        """Start a camera at the far end."""
        camera = FakeCamera(self.far, serial, address)
        camera.start()
        self.cameras.append(camera)
        return camera

    def cable(self, state: str) -> None:
        """`down` pulls it out at the camera, `up` puts it in."""
        _run("ip", "-n", self.far, "link", "set", "far", state)

    @contextmanager
    def loss(self, probability: float) -> Iterator[None]:
        """Lose image packets at random on their way."""
        rule = ["OUTPUT", "-p", "udp", "-m", "length", "--length", "1000:65535", "-m", "statistic", "--mode", "random"]
        drop = [*rule, "--probability", str(probability), "-j", "DROP"]
        _run("ip", "netns", "exec", self.far, "iptables", "-A", *drop)
        try:
            yield
        finally:
            _run("ip", "netns", "exec", self.far, "iptables", "-D", *drop)

    @contextmanager
    def bandwidth(self, rate: str) -> Iterator[None]:
        """Let no more through than this (`200mbit`)."""
        _run(
            "ip",
            "netns",
            "exec",
            self.far,
            "tc",
            "qdisc",
            "add",
            "dev",
            "far",
            "root",
            "tbf",
            "rate",
            rate,
            "burst",
            "64kb",
            "latency",
            "50ms",
        )
        try:
            yield
        finally:
            _run("ip", "netns", "exec", self.far, "tc", "qdisc", "del", "dev", "far", "root")


class FakeCamera:
    """One camera, a process at the far end."""

    def __init__(self, namespace: str, serial: str, address: str) -> None:
        self._namespace, self.serial, self._address = namespace, serial, address
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Switch it on."""
        command = ["ip", "netns", "exec", self._namespace, FAKE, "-i", self._address, "-s", self.serial]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        assert self._process.poll() is None, "the camera ended at once"

    def signal(self, number: int) -> None:
        """Stop it (SIGSTOP), let it go on (SIGCONT)."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Switch it off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """Build the network, enter it, and leave nothing of it behind."""
    line, far = f"ei-line-{os.getpid()}", f"ei-far-{os.getpid()}"
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    lab = Laboratory(line, far)
    try:
        _build(line, far)
        _enter(Path("/run/netns") / line)
        yield lab
    finally:
        _set_namespace(home)
        os.close(home)
        for camera in lab.cameras:
            camera.kill()
        for name in (line, far):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _build(line: str, far: str) -> None:
    for name in (line, far):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "link", "add", "near", "netns", line, "type", "veth", "peer", "name", "far", "netns", far)
    _run("ip", "-n", line, "addr", "add", "10.99.0.1/24", "dev", "near")
    for address in ("10.99.0.2/24", "10.99.0.3/24"):
        _run("ip", "-n", far, "addr", "add", address, "dev", "far")
    _run("ip", "-n", line, "link", "set", "near", "mtu", "9000", "up")
    _run("ip", "-n", far, "link", "set", "far", "mtu", "9000", "up")


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    _set_namespace(descriptor)
    os.close(descriptor)


def _set_namespace(descriptor: int) -> None:
    """`os.setns` came with Python 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
