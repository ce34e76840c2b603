"""Plan, sidecar, compiled warp and timing cache on the disk, and what is to be known of the device that they are built on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from edge_inspect.durable import replace_file
from edge_inspect.errors import EngineError
from edge_inspect.runtimes.tensorrt_plan import Gpu, kernel_file, sidecar_file
from edge_inspect.runtimes.tensorrt_worker import gpu_facts
from edge_inspect.workshop.tensorrt_build import BuiltPlan

TIMING = ".timing"
_NVPMODEL_TIMEOUT_S = 10


def write_plan(plan: Path, built: BuiltPlan) -> None:
    """Write them all; the sidecar comes last, so that a cut leaves no valid plan.

    Raises:
        EngineError: they cannot be written.
    """
    try:
        sidecar_file(plan).unlink(missing_ok=True)
        replace_file(plan, built.plan)
        if built.warp:
            replace_file(kernel_file(plan), built.warp)
        else:
            kernel_file(plan).unlink(missing_ok=True)
        if built.timing_cache:
            replace_file(plan.with_suffix(TIMING), built.timing_cache)
        replace_file(sidecar_file(plan), (built.sidecar.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise EngineError(f"{plan}: cannot be written: {error.strerror}; check space and permissions") from error


def read_timing_cache(plan: Path) -> bytes:
    """What an earlier build of this plan left; empty where there is none."""
    cache = plan.with_suffix(TIMING)
    return cache.read_bytes() if cache.exists() else b""


def read_gpu(cuda: Any, device: int = 0) -> Gpu:
    """The GPU here, through `pycuda.driver`.

    Raises:
        EngineError: there is none, or its driver does not answer.
    """
    try:
        cuda.init()
        return Gpu(**gpu_facts(cuda, cuda.Device(device)))
    except cuda.Error as error:
        raise EngineError(f"no usable GPU here ({error}); build on the target, with its driver loaded") from error


def read_power_mode(command: str = "nvpmodel") -> str | None:
    """The power mode of a Jetson, such as MAXN; None on a machine that has none or does not tell."""
    if shutil.which(command) is None:
        return None
    try:
        told = subprocess.run([command, "-q"], capture_output=True, text=True, timeout=_NVPMODEL_TIMEOUT_S, check=False).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    modes = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("NV Power Mode")]
    return modes[0] if modes else None
