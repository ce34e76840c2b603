"""What nvidia-smi tells of the GPU; None where there is no nvidia-smi (a Jetson has none before JetPack 6) or it does not answer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

_ANSWERS_WITHIN_S = 5.0
_FACTS = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "temperature.gpu", "power.limit", "memory.total")


def gpu_facts() -> dict[str, str] | None:
    """Name, driver, clocks [MHz], temperature [C], power limit [W] and memory [MiB] of the first GPU, as text."""
    rows = _asked(f"--query-gpu={','.join(_FACTS)}")
    return dict(zip(_FACTS, rows[0], strict=False)) if rows else None


def gpu_watts() -> float | None:
    """Power that the GPUs draw now [W]."""
    rows = _asked("--query-gpu=power.draw")
    try:
        return sum(float(row[0]) for row in rows) if rows else None
    except ValueError:
        return None


def gpu_memory_mb(processes: Iterable[int]) -> float | None:
    """Memory on the GPU of these processes [MB]; None where nobody tells."""
    wanted = {str(process) for process in processes}
    rows = _asked("--query-compute-apps=pid,used_memory")
    try:
        return None if rows is None else sum(float(row[1]) * 1.048576 for row in rows if row[0] in wanted)
    except (ValueError, IndexError):
        return None


def _asked(query: str) -> list[list[str]] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603 - the program found on the path, with our own words
            [program, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True, timeout=_ANSWERS_WITHIN_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return [[word.strip() for word in line.split(",")] for line in said.stdout.splitlines() if line.strip()]
