"""Runtime `openvino`: the graph in OpenVINO's CPU plugin; the default on x86.

One request over fixed buffers, in float32 on every CPU: OpenVINO would otherwise drop to bfloat16 or float16 where the
CPU has them, and say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import openvino
from pydantic import Field

from edge_inspect.freed_memory import give_back_freed_memory
from edge_inspect.model_folder import ModelFolder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.cores import Cores, on_cores
from edge_inspect.runtimes.graph import FRAME, IMAGE_SCORE, SCORE_MAP, Buffers, OpenedGraph, TensorSpec, check_graph, engine_error

# Whatever fails inside, in a frontend or in the plugin, comes out of the Core and the request as this one.
LIBRARY_ERRORS = (RuntimeError,)


@contextmanager
def open_openvino(
    *, model: ModelFolder, threads: Annotated[int, Field(ge=0, le=256)] = 0, cores: Cores = (), cache: Path | None = None
) -> Iterator[Runtime]:
    """Open the model on the CPU, for the shortest time of a single frame.

    Args:
        model: verified model folder; given by the station.
        threads: for one inference; 0 is one per core.
        cores: numbers of the cores that the engine may use; none is all. Stations that share a machine do best with cores of their own.
        cache: folder for compiled graphs, for a faster start; None compiles at every start.

    Raises:
        EngineError: the library refuses the graph, or the graph is not the manifest's.
    """
    with on_cores(cores):
        yield _opened(model, threads or len(cores), cache)


def _opened(model: ModelFolder, threads: int, cache: Path | None) -> Runtime:
    buffers = Buffers(model.manifest)
    try:
        request = _compile(model, threads, cache).create_infer_request()
        for name, array in ((FRAME, buffers.frame), (SCORE_MAP, buffers.score_map), (IMAGE_SCORE, buffers.image_score)):
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    except LIBRARY_ERRORS as error:
        raise engine_error(model, "opened by OpenVINO", error) from error
    opened = OpenedGraph(buffers, _run(model, request), made_of={"openvino": openvino.get_version()})
    give_back_freed_memory()
    return opened


def _compile(model: ModelFolder, threads: int, cache: Path | None) -> Any:
    core = openvino.Core()
    graph = core.read_model(model.model_file)
    check_graph(model, [_tensor(port) for port in (*graph.inputs, *graph.outputs)])
    options = cpu_options(threads)
    if cache is not None:
        # Keyed by the graph's hash here, and by version and device inside.
        options["CACHE_DIR"] = str(cache / model.model_sha256[:16])
    return core.compile_model(graph, "CPU", options)


def cpu_options(threads: int) -> dict[str, Any]:
    """What OpenVINO is told, for the shortest time of a single frame; 0 threads is one per core."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        # A pinned worker waits for its core while the camera or the PLC has it: 2.8 ms (p95) instead of 0.14 on 2 busy cores.
        "ENABLE_CPU_PINNING": False,
    }


def _tensor(port: Any) -> TensorSpec:
    shape = tuple(length.get_length() if length.is_static else -1 for length in port.partial_shape)
    return TensorSpec(name=port.any_name, type=port.element_type.to_dtype().name, shape=shape)


def _run(model: ModelFolder, request: Any) -> Callable[[], None]:
    def run() -> None:
        try:
            request.infer()
        except LIBRARY_ERRORS as error:
            raise engine_error(model, "run by OpenVINO", error) from error

    return run
