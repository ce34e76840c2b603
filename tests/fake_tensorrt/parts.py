"""A plan with its sidecar for the fake device, without parser or builder (and so without onnx)."""

import hashlib
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

from edge_inspect.model_folder import ModelFolder
from edge_inspect.runtimes.gpu_warp import KERNEL_FILE
from edge_inspect.runtimes.tensorrt_plan import CompiledWarp, Gpu, PlanSidecar, kernel_file, sidecar_file
from fake_tensorrt.kernel import code
from fake_tensorrt.plan import write_plan

SM = "sm_86"
GPU = Gpu(name="Fake RTX 3060", compute_capability="8.6", driver="12.4")


def write_part_plan(plan: Path, trt: ModuleType, model: ModelFolder, graph: bytes | None = None, *, warp: bool = False) -> Path:
    """Write plan and sidecar as if they had been built here from `model`; another `graph` goes into the plan unnoticed.

    `warp` compiles the GPU's warp beside it.
    """
    plan.write_bytes(write_plan(trt, graph or model.model_file.read_bytes(), [(8, 6)]))
    sidecar = PlanSidecar(
        module=trt.__name__,
        tensorrt=trt.__version__,
        gpu=GPU,
        ahead_of_time=(),
        power_mode=None,
        precision="fp32",
        weakly_typed=hasattr(trt.BuilderFlag, "FP16"),
        float_input=not hasattr(trt.DataType, "UINT8"),
        workspace_mb=512,
        onnx_sha256=model.engine_sha256,
        plan_sha256=hashlib.sha256(plan.read_bytes()).hexdigest(),
        build_s=0,
        warp=_compiled(plan) if warp else None,
        software="test",
        built_at=datetime(2026, 11, 26, tzinfo=timezone.utc),
    )
    sidecar_file(plan).write_text(sidecar.model_dump_json())
    return plan


def _compiled(plan: Path) -> CompiledWarp:
    source = KERNEL_FILE.read_bytes()
    content = code(source, SM)
    kernel_file(plan).write_bytes(content)
    hashes = (hashlib.sha256(one).hexdigest() for one in (source, content))
    return CompiledWarp(compiler="fake", **dict(zip(("source_sha256", "code_sha256"), hashes, strict=True)))
