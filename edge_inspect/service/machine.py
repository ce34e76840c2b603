"""Which machine this is: what an acceptance is bound to, and in which power mode it runs."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

ASKED_S = 5.0
"""Longest wait for `nvpmodel` [s]."""

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


def power_mode() -> str | None:
    """A Jetson's power mode, as `nvpmodel -q` tells it; None on other machines. Not run on a Jetson."""
    program = shutil.which("nvpmodel")
    if program is None:
        return None
    try:
        said = subprocess.run([program, "-q"], capture_output=True, text=True, check=True, timeout=ASKED_S)  # noqa: S603 - found on the path
    except (OSError, subprocess.SubprocessError):
        return None
    return " ".join(said.stdout.split()) or None


def _named(cpuinfo: str) -> str | None:
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    return told.get("model name") or told.get("Model")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip("\0\n ")
    except OSError:
        return ""
