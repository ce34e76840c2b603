"""Which machine this is: what an acceptance is bound to."""

from __future__ import annotations

import platform
from pathlib import Path

_PROC = Path("/proc")


def device(*, proc: Path = _PROC) -> dict[str, str]:
    """Architecture and processor; for a board that has a name, such as a Jetson, that name.

    Args:
        proc: where the kernel tells about processors and boards.
    """
    return {"machine": platform.machine(), "processor": processor(proc=proc) or "unknown"}


def processor(*, proc: Path = _PROC) -> str | None:
    """Name of the board where it has one, else of the processor; None where the kernel tells neither."""
    board = _text(proc / "device-tree/model")
    return board or _named(_text(proc / "cpuinfo"))


def _named(cpuinfo: str) -> str | None:
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    return told.get("model name") or told.get("Model")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip("\0\n ")
    except OSError:
        return ""
