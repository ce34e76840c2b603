"""A TensorRT plan and its sidecar: what it was built from, with what, for which GPU; checked before anything loads it.

`NAME.plan` is what TensorRT wrote, `NAME.plan.json` what stands here, `NAME.plan.warp` the GPU's warp compiled for that GPU.
A plan fits one version of TensorRT and one kind of GPU; any other answers with a refusal at best.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.config import first_mistake
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import ModelFolder, Precision
from edge_inspect.runtimes.gpu_warp import KERNEL_FILE

SIDECAR = ".json"
KERNEL = ".warp"
BUILD_AGAIN = "build it again on this device (edge-inspect build)"


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Gpu(_Recorded):
    """A GPU, as CUDA tells of it.

    `compute_capability` is major.minor, `driver` the CUDA version that the driver serves, such as 12.4.
    """

    name: str
    compute_capability: str = Field(pattern=r"^\d+\.\d$")
    driver: str


class CompiledWarp(_Recorded):
    """What `NAME.plan.warp` was compiled from and by, and what it is."""

    compiler: str
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    code_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class PlanSidecar(_Recorded):
    """What stands in `NAME.plan.json`.

    `gpu` is None for a plan that was built ahead of time, for the capabilities in `ahead_of_time`; `onnx_sha256` is of the
    file in the model folder, also where its input was made float first (`float_input`); `build_s` is in seconds; `warp` is
    None where no compiler was at hand: frames are then warped on the CPU; `tensor_names` are the plan's own, where they are not
    the graph's.
    """

    format: Literal[1] = 1
    module: str
    tensorrt: str
    gpu: Gpu | None
    ahead_of_time: tuple[str, ...]
    power_mode: str | None
    precision: Precision
    weakly_typed: bool
    float_input: bool
    workspace_mb: int = Field(gt=0)
    onnx_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    plan_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    build_s: float = Field(ge=0, allow_inf_nan=False)
    warp: CompiledWarp | None = None
    via: Literal["onnx", "torch-tensorrt"] = "onnx"
    tensor_names: dict[str, str] = {}
    software: str
    built_at: AwareDatetime

    @property
    def made_of(self) -> dict[str, str]:
        """As `protocols.Identified`; the GPU here has been found to be this one."""
        gpu = {} if self.gpu is None else {"gpu": f"{self.gpu.name} ({self.gpu.compute_capability})", "driver": self.gpu.driver}
        return {self.module: self.tensorrt, "plan_sha256": self.plan_sha256, **gpu}


def sidecar_file(plan: Path) -> Path:
    """Where the sidecar of a plan lies."""
    return plan.with_name(plan.name + SIDECAR)


def kernel_file(plan: Path) -> Path:
    """Where the compiled warp of a plan lies."""
    return plan.with_name(plan.name + KERNEL)


def load_plan(plan: Path, model: ModelFolder) -> PlanSidecar:
    """Read the sidecar; verify that the plan is the one it tells of, of the precision asked for, and was built from this model.

    Raises:
        EngineError: either cannot be read, the plan is another one, of another precision, or built from another model.
    """
    sidecar = _read_sidecar(sidecar_file(plan))
    found = _sha256_of(plan)
    if found != sidecar.plan_sha256:
        raise EngineError(
            f"{plan}: is not the plan that was built: hash {found[:12]}, its sidecar says {sidecar.plan_sha256[:12]}; {BUILD_AGAIN}"
        )
    if sidecar.onnx_sha256 not in model.manifest.files.values():
        raise EngineError(f"{plan}: was built from graph {sidecar.onnx_sha256[:12]}, which {model.path} does not have; {BUILD_AGAIN}")
    if sidecar.precision != model.precision:
        raise EngineError(
            f"{plan}: is {sidecar.precision}, the station asks for {model.precision}; write precision: {sidecar.precision} into its "
            "runtime, or name the plan that is meant"
        )
    return sidecar


def verify_kernel(plan: Path, sidecar: PlanSidecar) -> Path:
    """The compiled warp beside a plan, verified.

    Raises:
        EngineError: the plan was built without one, it is another one, or it was compiled from another source than this version's.
    """
    path = kernel_file(plan)
    if sidecar.warp is None:
        raise EngineError(
            f"{plan}: was built without the GPU's warp, no CUDA compiler was at hand; put nvcc on the PATH and {BUILD_AGAIN}, "
            "or write gpu_warp: false"
        )
    if sidecar.warp.source_sha256 != _sha256_of(KERNEL_FILE):
        raise EngineError(f"{path}: was compiled from another version's {KERNEL_FILE.name}; {BUILD_AGAIN}, or write gpu_warp: false")
    if _sha256_of(path) != sidecar.warp.code_sha256:
        raise EngineError(f"{path}: is not the kernel that was compiled with this plan; {BUILD_AGAIN}, or write gpu_warp: false")
    return path


def refuse_elsewhere(plan: Path, sidecar: PlanSidecar, *, module: str, tensorrt: str, gpu: Gpu) -> None:
    """Refuse a plan that was built with another TensorRT or for another GPU than this one.

    Raises:
        EngineError: what differs, got and wanted.
    """
    if (module, tensorrt) != (sidecar.module, sidecar.tensorrt):
        raise EngineError(f"{plan}: was built by {sidecar.module} {sidecar.tensorrt}, here is {module} {tensorrt}; {BUILD_AGAIN}")
    if sidecar.gpu is None:
        if gpu.compute_capability not in sidecar.ahead_of_time:
            built_for = ", ".join(sidecar.ahead_of_time)
            raise EngineError(
                f"{plan}: was built ahead of time for {built_for}, this {gpu.name} is {gpu.compute_capability}; {BUILD_AGAIN}"
            )
    elif (gpu.name, gpu.compute_capability) != (sidecar.gpu.name, sidecar.gpu.compute_capability):
        raise EngineError(
            f"{plan}: was built on {sidecar.gpu.name} ({sidecar.gpu.compute_capability}), "
            f"here is {gpu.name} ({gpu.compute_capability}); {BUILD_AGAIN}"
        )


def _sha256_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}; {BUILD_AGAIN}") from error


def _read_sidecar(path: Path) -> PlanSidecar:
    try:
        return PlanSidecar.model_validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror}; a plan needs its sidecar, {BUILD_AGAIN}") from error
    except ValidationError as error:
        raise EngineError(f"{path}: not a sidecar of this version: {first_mistake(error)}; {BUILD_AGAIN}") from error
