"""An ONNX Runtime session over fixed buffers: what `onnx` and `reference` share.

One inference at a time on the CPU, deterministic, without growing memory: no arena, bound input and outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from edge_inspect.model_folder import ModelFolder
from edge_inspect.runtimes.graph import FRAME, IMAGE_SCORE, SCORE_MAP, Buffers, OpenedGraph, TensorSpec, check_graph, engine_error

# ONNX Runtime has one exception per status code, without a common parent; newer versions add codes.
LIBRARY_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(kind for kind in vars(onnxruntime_pybind11_state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)


def open_session(model: ModelFolder, *, threads: int, optimised: bool) -> OpenedGraph:
    """Open the model's graph in ONNX Runtime and warm it up.

    Args:
        model: verified model folder.
        threads: for one inference; 0 leaves it to the library (one per core).
        optimised: False runs the graph's own nodes in their own order with plain kernels.

    Raises:
        EngineError: the library refuses the graph, or the graph is not the manifest's.
    """
    try:
        session = onnxruntime.InferenceSession(
            model.model_file, sess_options=_options(threads, optimised), providers=["CPUExecutionProvider"]
        )
    except LIBRARY_ERRORS as error:
        raise engine_error(model, "opened by ONNX Runtime", error) from error
    check_graph(model, _tensors(session))
    buffers = Buffers(model.manifest)
    return OpenedGraph(buffers, _bound(model, session, buffers), made_of={"onnxruntime": onnxruntime.__version__})


def _options(threads: int, optimised: bool) -> onnxruntime.SessionOptions:
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # fatal; errors are raised
    # Idle workers would spin on the cores that the PLC and the camera need: 38 ms instead of 30 ms on 2 busy cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _tensors(session: onnxruntime.InferenceSession) -> list[TensorSpec]:
    types = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
    ports = [*session.get_inputs(), *session.get_outputs()]
    return [TensorSpec(name=port.name, type=types.get(port.type, port.type), shape=_fixed(port.shape)) for port in ports]


def _fixed(shape: list[int | str | None]) -> tuple[int, ...]:
    return tuple(length if isinstance(length, int) else -1 for length in shape)


def _bound(model: ModelFolder, session: onnxruntime.InferenceSession, buffers: Buffers) -> Callable[[], None]:
    binding = session.io_binding()
    frame = buffers.frame
    binding.bind_input(FRAME, "cpu", 0, frame.dtype.type, frame.shape, frame.ctypes.data)
    for name, answer in ((SCORE_MAP, buffers.score_map), (IMAGE_SCORE, buffers.image_score)):
        binding.bind_output(name, "cpu", 0, answer.dtype.type, answer.shape, answer.ctypes.data)

    def run() -> None:
        try:
            session.run_with_iobinding(binding)
        except LIBRARY_ERRORS as error:
            raise engine_error(model, "run by ONNX Runtime", error) from error

    return run
