"""Which machine a measurement was taken on: a number without it compares with nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_inspect.service.machine import processor

PACKAGES = ("edge-inspect", "numpy", "opencv-python-headless", "openvino", "onnxruntime")
_PROC = Path("/proc")
_SYS = Path("/sys/devices/system/cpu")


def device_facts(*, proc: Path = _PROC, cpus: Path = _SYS) -> dict[str, object]:
    """Processor, cores, clock governor, load, memory and versions; None for what this machine does not tell.

    Args:
        proc: where the kernel tells about processes.
        cpus: where the kernel tells about processors.
    """
    return {
        "cpu": processor(proc=proc),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "governor": _text(cpus / "cpu0/cpufreq/scaling_governor"),
        "load_1min": os.getloadavg()[0],
        "memory": _line(proc / "meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def resident_bytes() -> int:
    """Memory of this process that is in RAM now [bytes]."""
    pages = int((_PROC / "self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip("\0\n ")
    except OSError:
        return None


def _line(path: Path, key: str) -> str | None:
    for line in (_text(path) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
