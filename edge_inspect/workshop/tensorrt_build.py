"""From an ONNX graph to a TensorRT plan, by any TensorRT from 8.2 to 11.x and by tensorrt_rtx.

Weakly typed where the module has precision flags: the FP32 graph, and flags that allow FP16. Strongly typed elsewhere: the
graph is already FP16, or has Q/DQ. INT8 is always the graph with Q/DQ; ranges are in the file, never calibrated here. One
picture at a time: the graph's batch is 1.

Whatever TensorRT answers with None or False is an EngineError here, with all that it said.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edge_inspect import __version__
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Precision
from edge_inspect.runtimes.tensorrt_plan import Gpu, PlanSidecar
from edge_inspect.workshop.float_input import float_input
from edge_inspect.workshop.targets import has_int8
from edge_inspect.workshop.tensorrt_api import Api, TensorRt
from edge_inspect.workshop.tensorrt_graph import node_names, refuse_other_precision

# A taught part of 256 x 256 needs far less; a Jetson Nano has 4 GB for everything.
WORKSPACE_MB = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """What is wanted of a plan.

    Attributes:
        precision: of the plan; which file of the model folder that takes, `graph_file` says.
        workspace_mb: most device memory for scratch while building and running [MiB].
        gpu: the GPU here; None when building ahead of time.
        ahead_of_time: compute capabilities to build for instead ("8.6"); tensorrt_rtx only.
        power_mode: of a Jetson while it measured its kernels.
        timing_cache: content of an earlier build's, or empty.
        float32_nodes: names of nodes that flags must not take to FP16; weakly typed networks only.
        strongly_typed: take the graph's own types also where there are flags (10.x).
    """

    precision: Precision = "fp32"
    workspace_mb: int = WORKSPACE_MB
    gpu: Gpu | None = None
    ahead_of_time: tuple[str, ...] = ()
    power_mode: str | None = None
    timing_cache: bytes = b""
    float32_nodes: frozenset[str] = frozenset()
    strongly_typed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltPlan:
    """A plan, its sidecar and what is kept beside it.

    Attributes:
        plan: what TensorRT wrote.
        sidecar: what is known of it.
        timing_cache: empty where the module has none.
        warp: the GPU's warp, compiled for the plan's GPU; empty where there is none.
        without_warp: why there is none.
    """

    plan: bytes
    sidecar: PlanSidecar
    timing_cache: bytes
    warp: bytes = b""
    without_warp: str = ""


def graph_file(api: Api, precision: Precision, *, strongly_typed: bool = False) -> str:
    """Which file of a model folder a plan of this precision is built from."""
    flags = api.precision_flags and not strongly_typed
    return {"fp32": "model.onnx", "fp16": "model.onnx" if flags else "model.fp16.onnx", "int8": "model.int8.onnx"}[precision]


def build_plan(trt: TensorRt, onnx_bytes: bytes, spec: BuildSpec) -> BuiltPlan:
    """Build a plan.

    Args:
        trt: `Here(module)`, or `Elsewhere(python)` where another interpreter has TensorRT.
        onnx_bytes: the file that `graph_file` names.
        spec: what is wanted.

    Raises:
        EngineError: module, device, graph and specification do not go together, TensorRT refuses the graph (every node
            that it names), or the build fails.
    """
    api = trt.api
    strong = spec.strongly_typed or not api.precision_flags
    _refuse_mismatch(api, spec, strong=strong)
    refuse_other_precision(onnx_bytes, spec.precision, strongly_typed=strong)
    graph = onnx_bytes if api.uint8 else float_input(onnx_bytes)
    started = time.monotonic()
    plan, timing_cache = trt.build(graph, spec.timing_cache, _wants(spec, graph, strong=strong))
    return BuiltPlan(
        plan=plan,
        sidecar=_sidecar(api, spec, onnx_bytes, plan, strong=strong, build_s=time.monotonic() - started),
        timing_cache=timing_cache,
    )


def _refuse_mismatch(api: Api, spec: BuildSpec, *, strong: bool) -> None:
    if strong and not api.strong_typing:
        raise EngineError(f"{api.named} has no strongly typed networks; build without strongly_typed")
    if spec.ahead_of_time and not api.builds_ahead:
        raise EngineError(f"{api.named} builds only for the GPU it runs on; build on the target, or with tensorrt_rtx")
    if api.builds_ahead and not spec.ahead_of_time:
        raise EngineError(f"{api.named} builds ahead of time; say for which compute capabilities, such as 8.6")
    if spec.gpu is None and not spec.ahead_of_time:
        raise EngineError("a plan belongs to the GPU that it is built on; say which one is here")
    if spec.float32_nodes and strong:
        raise EngineError("a strongly typed graph says itself which nodes are float32; give it no list of them")
    _refuse_without_int8(spec)


def _refuse_without_int8(spec: BuildSpec) -> None:
    capabilities = spec.ahead_of_time or ((spec.gpu.compute_capability,) if spec.gpu else ())
    without = [capability for capability in capabilities if not has_int8(capability)]
    if spec.precision == "int8" and without:
        raise EngineError(f"compute capability {', '.join(without)} has no INT8 (Jetson Nano: 5.3); build --precision fp16 there")


def _wants(spec: BuildSpec, graph: bytes, *, strong: bool) -> dict[str, Any]:
    return {
        "precision": spec.precision,
        "strongly_typed": strong,
        "workspace_bytes": spec.workspace_mb << 20,
        "ahead_of_time": list(spec.ahead_of_time),
        "float32_nodes": sorted(spec.float32_nodes),
        "node_names": node_names(graph),
    }


def _sidecar(api: Api, spec: BuildSpec, onnx_bytes: bytes, plan: bytes, *, strong: bool, build_s: float) -> PlanSidecar:
    return PlanSidecar(
        module=api.module,
        tensorrt=api.version,
        gpu=None if spec.ahead_of_time else spec.gpu,
        ahead_of_time=spec.ahead_of_time,
        power_mode=spec.power_mode,
        precision=spec.precision,
        weakly_typed=not strong,
        float_input=not api.uint8,
        workspace_mb=spec.workspace_mb,
        onnx_sha256=hashlib.sha256(onnx_bytes).hexdigest(),
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        build_s=round(build_s, 3),
        software=f"edge-inspect {__version__}",
        built_at=datetime.now(timezone.utc),
    )
