"""`edge-inspect build --plan`: from a model folder to a TensorRT plan for the GPU of this machine, beside the ONNX files.

Never run on a GPU here: tested with fakes that have the names of the real modules.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import replace
from pathlib import Path

import onnx

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import PRECISION_FILES, ModelFolder, Precision
from edge_inspect.runtimes.gpu_warp import KERNEL_FILE
from edge_inspect.runtimes.tensorrt_plan import CompiledWarp, Gpu
from edge_inspect.workshop.plan_files import read_gpu, read_power_mode, read_timing_cache, write_plan
from edge_inspect.workshop.precision.body import body
from edge_inspect.workshop.tensorrt_api import Elsewhere, Here, here
from edge_inspect.workshop.tensorrt_build import WORKSPACE_MB, BuildSpec, BuiltPlan, build_plan, graph_file
from edge_inspect.workshop.warp_compiler import compile_warp

CUDA = "pycuda.driver"


def build_plan_here(
    model: ModelFolder,
    precision: Precision,
    *,
    python: Path | None = None,
    library: str = "tensorrt",
    cuda: str = CUDA,
    workspace_mb: int = WORKSPACE_MB,
) -> tuple[Path, BuiltPlan]:
    """Build `model.<precision>.plan` in the model folder.

    Args:
        model: the folder; for a precision that this TensorRT takes from the graph it must have the file of it.
        precision: of the plan.
        python: interpreter that has TensorRT; None is this one.
        library: Python module of TensorRT.
        cuda: Python module of CUDA's driver, as pycuda offers it.
        workspace_mb: most device memory for scratch [MiB].

    Raises:
        EngineError: there is no TensorRT, no GPU, no file of this precision, TensorRT refuses the graph, or it cannot be written.
    """
    trt = here(library) if python is None else Elsewhere(python, library)
    gpu = gpu_here(cuda) if isinstance(trt, Here) else trt.read_gpu(cuda)
    name = graph_file(trt.api, precision)
    graph = model.at(_precision_of(name)).model_file.read_bytes()
    plan = model.path / f"model.{precision}.plan"
    spec = BuildSpec(
        precision=precision,
        workspace_mb=workspace_mb,
        gpu=gpu,
        power_mode=read_power_mode(),
        timing_cache=read_timing_cache(plan),
        float32_nodes=_outside(graph) if precision == "fp16" and name == PRECISION_FILES["fp32"] else frozenset(),
    )
    built = with_warp(build_plan(trt, graph, spec), gpu)
    write_plan(plan, built)
    return plan, built


def with_warp(built: BuiltPlan, gpu: Gpu) -> BuiltPlan:
    """The plan with the GPU's warp compiled for it; where that fails, without one and with the reason."""
    try:
        compiled = compile_warp(gpu.compute_capability)
    except EngineError as error:
        return replace(built, without_warp=str(error))
    told = CompiledWarp(
        compiler=compiled.compiler,
        source_sha256=hashlib.sha256(KERNEL_FILE.read_bytes()).hexdigest(),
        code_sha256=hashlib.sha256(compiled.code).hexdigest(),
    )
    return replace(built, sidecar=built.sidecar.model_copy(update={"warp": told}), warp=compiled.code)


def _precision_of(name: str) -> Precision:
    return next(precision for precision, file in PRECISION_FILES.items() if file == name)


def _outside(graph: bytes) -> frozenset[str]:
    """Nodes that flags must leave in float32: those before and after the network."""
    model = onnx.load_from_string(graph)
    inside = {node.name for node in body(model)}
    return frozenset(node.name for node in model.graph.node if node.name and node.name not in inside)


def gpu_here(cuda: str = CUDA) -> Gpu:
    """The GPU of this machine, through a module of this interpreter.

    Raises:
        EngineError: the module cannot be imported, there is no GPU, or its driver does not answer.
    """
    try:
        module = importlib.import_module(cuda)
    except (ImportError, OSError) as error:
        raise EngineError(f"{cuda}: cannot be imported: {error}; pip install 'edge-inspect[gpu]' on the device") from error
    return read_gpu(module)
