"""Graphs in the precisions that a workshop writes, from the tiny model: its scores stay the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TINY = Path(__file__).parents[2] / "golden" / "models" / "tiny" / "model.onnx"


def named(onnx_bytes: bytes) -> bytes:
    """The same graph, its nodes named after their operators as a workshop's are."""
    model = onnx.load_from_string(onnx_bytes)
    for place, node in enumerate(model.graph.node):
        node.name = f"{node.op_type.lower()}{place}"
    return model.SerializeToString()


def tiny() -> bytes:
    return named(TINY.read_bytes())


def quantised() -> bytes:
    """tiny with one Q/DQ pair on the deviations; a scale of 1 and whole numbers: nothing is rounded below 128."""
    model = onnx.load_from_string(tiny())
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    pairs = [
        helper.make_node("QuantizeLinear", [conv.input[0], "one", "zero"], ["quantised"], name="quantise"),
        helper.make_node("DequantizeLinear", ["quantised", "one", "zero"], ["dequantised"], name="dequantise"),
    ]
    place = list(model.graph.node).index(conv)
    conv.input[0] = "dequantised"
    nodes = list(model.graph.node)
    nodes[place:place] = pairs
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([numpy_helper.from_array(np.float32(1), "one"), numpy_helper.from_array(np.int8(0), "zero")])
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def halved() -> bytes:
    """tiny with its convolution in float16."""
    model = onnx.load_from_string(tiny())
    graph = model.graph
    conv = next(node for node in graph.node if node.op_type == "Conv")
    place = list(graph.node).index(conv)
    for tensor in graph.initializer:
        if tensor.name in conv.input:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    before = helper.make_node("Cast", [conv.input[0]], ["half"], name="to_half", to=TensorProto.FLOAT16)
    after = helper.make_node("Cast", ["half_map"], [conv.output[0]], name="to_float", to=TensorProto.FLOAT)
    conv.input[0], conv.output[0] = "half", "half_map"
    nodes = list(graph.node)
    nodes[place : place + 1] = [before, conv, after]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
