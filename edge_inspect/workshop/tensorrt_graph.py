"""What a graph says of its own precision, and the names of its nodes."""

from __future__ import annotations

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Precision


def read_graph(onnx_bytes: bytes) -> onnx.ModelProto:
    """The model.

    Raises:
        EngineError: these are no ONNX bytes.
    """
    try:
        return onnx.load_from_string(onnx_bytes)
    except DecodeError as error:
        raise EngineError(f"this is no ONNX graph ({error}); copy the whole model folder again") from error


def node_names(onnx_bytes: bytes) -> list[str]:
    """Name and operator of every node, in the order by which a parser counts them."""
    return [f"{node.name or '(no name)'} ({node.op_type})" for node in read_graph(onnx_bytes).graph.node]


def graph_precision(model: onnx.ModelProto) -> Precision:
    """`int8` with Q/DQ in it, `fp16` with float16 weights, else `fp32`."""
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        return "int8"
    return "fp16" if any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer) else "fp32"


def refuse_other_precision(onnx_bytes: bytes, precision: Precision, *, strongly_typed: bool) -> None:
    """Refuse a graph that cannot become a plan of this precision.

    Raises:
        EngineError: the graph is of another precision, with the file to take.
    """
    found = graph_precision(read_graph(onnx_bytes))
    wanted = "fp32" if precision == "fp16" and not strongly_typed else precision
    if found != wanted:
        file = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}[wanted]
        raise EngineError(f"the graph is {found}, a plan in {precision} is built from {wanted} here; take {file}")
