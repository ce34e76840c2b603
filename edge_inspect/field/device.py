"""Which machine a measurement was taken on: a number without it compares with nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_inspect.field.nvidia import gpu_facts
from edge_inspect.service.machine import power_mode, processor

PACKAGES = ("edge-inspect", "numpy", "opencv-python-headless", "openvino", "onnxruntime", "tensorrt", "tensorrt-rtx")
_PROC = Path("/proc")
_SYS = Path("/sys/devices/system/cpu")
_THERMAL = Path("/sys/class/thermal")


def device_facts(*, proc: Path = _PROC, cpus: Path = _SYS, thermal: Path = _THERMAL) -> dict[str, object]:
    """Processor, board, cores, clocks, governor, power mode, temperature, GPU, load, memory and versions; None for what this machine
    does not tell.

    Args:
        proc: where the kernel tells about processes.
        cpus: where the kernel tells about processors.
        thermal: where the kernel tells about temperatures.
    """
    return {
        "cpu": processor(proc=proc),
        "board": _text(proc / "device-tree/model"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "clock_mhz": _line(proc / "cpuinfo", "cpu MHz") or _mhz(cpus / "cpu0/cpufreq/scaling_cur_freq"),
        "clock_max_mhz": _mhz(cpus / "cpu0/cpufreq/scaling_max_freq"),
        "governor": _text(cpus / "cpu0/cpufreq/scaling_governor"),
        "power_mode": power_mode(),
        "temperature_c": _hottest_c(thermal),
        "gpu": gpu_facts(),
        "nvidia_driver": _text(proc / "driver/nvidia/version"),
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


def most_resident_bytes() -> int:
    """Most memory that this process ever had in RAM [bytes]."""
    return 1024 * int((_line(_PROC / "self/status", "VmHWM") or "0").split()[0])


def child_processes() -> tuple[int, ...]:
    """Ids of the processes that this one has started and that run, such as TensorRT's worker."""
    lists = [_text(path) or "" for path in _PROC.glob("self/task/*/children")]
    return tuple(int(word) for text in lists for word in text.split())


def _hottest_c(thermal: Path) -> float | None:
    """The highest temperature of all zones [C]."""
    told = [_text(path) or "" for path in thermal.glob("thermal_zone*/temp")]
    return max((int(text) / 1e3 for text in told if text.lstrip("-").isdigit()), default=None)


def _mhz(path: Path) -> str | None:
    kilohertz = _text(path)
    return f"{int(kilohertz) / 1e3:.0f}" if kilohertz and kilohertz.isdigit() else None


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
