"""`edge-inspect build --via torch-tensorrt`: a plan straight from a trained system, without ONNX, on a build host.

torch-tensorrt needs a driver even to be imported, and only the TensorRT that it brings runs its plan. The engine folder must be there
already (`export`): the system is held against its golden frames first, so that a plan belongs to that engine and no other.

Never run: there was no GPU, and the module's signature (2.13.0) was read and is played by a fake.
"""

from __future__ import annotations

import hashlib
import importlib
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edge_inspect import __version__
from edge_inspect.acceptance import compare
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.model_folder import ImageSize, ModelFolder
from edge_inspect.runtimes.graph import IMAGE_SCORE, SCORE_MAP
from edge_inspect.runtimes.tensorrt_plan import Gpu, PlanSidecar
from edge_inspect.workshop.export import Eager, allowed
from edge_inspect.workshop.plan_files import TIMING, write_plan
from edge_inspect.workshop.plan_on_device import CUDA, gpu_here, with_warp
from edge_inspect.workshop.tensorrt_api import Api, here
from edge_inspect.workshop.tensorrt_build import WORKSPACE_MB, BuiltPlan
from edge_inspect.workshop.trained_folder import TrainedFolder, open_trained_folder

OUTPUT_NAMES = {SCORE_MAP: "output0", IMAGE_SCORE: "output1"}
"""torch-tensorrt counts outputs; inputs keep the name of `forward`'s argument. Source: its TRTInterpreter, 2.13.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSystem:
    """Where torch-tensorrt builds: its module, TensorRT's, CUDA's, and torch's name of the GPU."""

    module: str = "torch_tensorrt"
    library: str = "tensorrt"
    cuda: str = CUDA
    device: str = "cuda:0"


class Named(nn.Module):
    """A system whose argument has the name that the engine's input is to have."""

    def __init__(self, system: Any) -> None:
        super().__init__()
        self.system = system

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Score map and image score."""
        score_map, image_score = self.system(frame)
        return score_map, image_score


def build_plan_via_torch(
    model: ModelFolder, trained: Path, *, where: TorchSystem | None = None, workspace_mb: int = WORKSPACE_MB
) -> tuple[Path, BuiltPlan]:
    """Build `model.fp32.plan` in the model folder.

    Args:
        model: the engine that was exported from the trained folder.
        trained: what `train` left behind.
        where: modules and GPU.
        workspace_mb: most device memory for scratch [MiB].

    Raises:
        ConfigError: no trained folder, or this version has no such system.
        EngineError: it is not what the engine was exported from, there is no torch-tensorrt, TensorRT or GPU, the conversion fails, or
            the plan cannot be written.
    """
    where = where or TorchSystem()
    folder = open_trained_folder(trained)
    refuse_another_engine(folder, model)
    converter = _converter(where.module)
    api, gpu, plan = here(where.library).api, gpu_here(where.cuda), model.path / "model.fp32.plan"
    _refuse_without_uint8(api)
    started = time.monotonic()
    content = _converted(converter, folder, where, workspace_mb=workspace_mb, timing_cache=plan.with_suffix(TIMING))
    sidecar = _sidecar(api, gpu, model, content, workspace_mb=workspace_mb, build_s=time.monotonic() - started)
    built = with_warp(BuiltPlan(plan=content, sidecar=sidecar, timing_cache=b""), gpu)
    write_plan(plan, built)
    return plan, built


def refuse_another_engine(folder: TrainedFolder, model: ModelFolder) -> None:
    """Refuse a trained folder that does not say of the golden frames what the engine's reference said.

    Raises:
        EngineError: it says something else, or is of another system or size.
    """
    manifest, record = model.manifest, folder.record
    if (record.system, record.size) != (manifest.family, manifest.input):
        raise EngineError(
            f"{folder.path}: holds {record.system} for {_told(record.size)}, {model.path} is {manifest.family} for "
            f"{_told(manifest.input)}; name the folder that it was exported from"
        )
    tolerance = allowed(model.load_golden(), own=manifest.image_score == "own")
    complaints = compare(Eager(folder.load_system()), model, image_threshold=None, tolerance=tolerance).complaints
    if complaints:
        raise EngineError(
            f"{folder.path}: is not what {model.path} was exported from: {'; '.join(complaints)}; name that folder, or export again"
        )


def _told(size: ImageSize) -> str:
    return f"{size.width} x {size.height} x {size.channels}"


def _converter(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except Exception as error:  # it fails in its own ways where there is no driver
        raise ConfigError(
            f"{module} cannot be imported: {_one_line(error)}; pip install 'edge-inspect[torch-tensorrt]' on a machine with NVIDIA's "
            "driver, or build the plan from the ONNX file (--via onnx)"
        ) from error


def _refuse_without_uint8(api: Api) -> None:
    if not api.uint8:
        raise EngineError(f"{api.named} takes no uint8 frames, and torch-tensorrt makes no others; build with --via onnx")


def _converted(converter: Any, folder: TrainedFolder, where: TorchSystem, *, workspace_mb: int, timing_cache: Path) -> bytes:
    size = folder.record.size
    system = Named(folder.load_system()).eval()
    try:
        frames = torch.zeros(1, size.height, size.width, size.channels, dtype=torch.uint8, device=where.device)
        with torch.no_grad():
            program = torch.export.export(system.to(where.device), (frames,))
        return bytes(
            converter.dynamo.convert_exported_program_to_serialized_trt_engine(
                program,
                arg_inputs=[frames],
                device=where.device,
                require_full_compilation=True,
                min_block_size=1,
                truncate_double=True,
                workspace_size=workspace_mb << 20,
                timing_cache_path=str(timing_cache),
            )
        )
    except Exception as error:  # torch and torch-tensorrt raise a dozen kinds, each many lines long
        raise EngineError(
            f"{folder.path}: {where.module} cannot convert {folder.record.system}: {_one_line(error)}; build the plan from the ONNX file "
            "(--via onnx)"
        ) from error


def _sidecar(api: Api, gpu: Gpu, model: ModelFolder, plan: bytes, *, workspace_mb: int, build_s: float) -> PlanSidecar:
    return PlanSidecar(
        module=api.module,
        tensorrt=api.version,
        via="torch-tensorrt",
        tensor_names=OUTPUT_NAMES,
        gpu=gpu,
        ahead_of_time=(),
        power_mode=None,
        precision="fp32",
        weakly_typed=False,
        float_input=False,
        workspace_mb=workspace_mb,
        onnx_sha256=model.engine_sha256,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        build_s=round(build_s, 3),
        software=f"edge-inspect {__version__}",
        built_at=datetime.now(timezone.utc),
    )


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
