"""The same graph from float32 pixels: for TensorRT 8.2, which knows no uint8 (Jetson Nano).

The first operator of every graph here is one Cast of `frame` to float32. It goes; the input becomes what it gave. The
numbers 0 to 255 are the same, so are all later ones.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from edge_inspect.errors import EngineError
from edge_inspect.runtimes.graph import FRAME

NEWEST_OPSET = 13
"""What TensorRT 8.2 imports."""


def float_input(onnx_bytes: bytes) -> bytes:
    """Take the leading Cast off a graph.

    Args:
        onnx_bytes: a graph from `frame` (1, H, W, C) uint8, opset 13 at most.

    Returns:
        The graph from `frame` (1, H, W, C) float32, grey levels 0 to 255.

    Raises:
        EngineError: the first operator is no Cast to float32 that alone reads `frame`, or the opset is newer.
    """
    model = onnx.load_from_string(onnx_bytes)
    _refuse_newer(model)
    cast = _leading_cast(model.graph)
    for node in model.graph.node:
        node.input[:] = [FRAME if name == cast.output[0] else name for name in node.input]
    model.graph.node.remove(cast)
    frame = next(value for value in model.graph.input if value.name == FRAME)
    frame.type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _leading_cast(graph: onnx.GraphProto) -> onnx.NodeProto:
    readers = [node for node in graph.node if FRAME in node.input]
    kinds = ", ".join(node.op_type for node in readers) or "nothing"
    if [node.op_type for node in readers] != ["Cast"] or helper.get_node_attr_value(readers[0], "to") != TensorProto.FLOAT:
        raise EngineError(f"{FRAME} is read by {kinds}, wanted one Cast to float32; export the model again")
    if readers[0].output[0] in {value.name for value in graph.output}:
        raise EngineError(f"the graph gives its pixels out ({readers[0].output[0]}); export the model again")
    cast: onnx.NodeProto = readers[0]
    return cast


def _refuse_newer(model: onnx.ModelProto) -> None:
    newest = max(opset.version for opset in model.opset_import)
    if newest > NEWEST_OPSET:
        raise EngineError(f"the graph has opset {newest}, TensorRT without uint8 takes {NEWEST_OPSET} at most; build from model.onnx")
