"""`model.int8.onnx`: explicit quantise / dequantise pairs around the network's convolutions, as TensorRT wants them.

Symmetric, zero points 0, one scale a channel for weights and one a tensor for activations, biases left alone. Pairs stand around
float32 weights, since TensorRT 8 takes no INT8 constants. Source: NVIDIA TensorRT developer guide, "Explicit quantization".

    q = clip(round(x / s), -128, 127),  x ~ q s,  s = max |x| / 127 over the frames that ranges are taken from
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edge_inspect.datatypes import UInt8Image
from edge_inspect.runtimes.graph import FRAME
from edge_inspect.workshop.precision.body import Array, body, convolutions, weights_of

LARGEST = 127.0
LEAST_SCALE = 1e-8
"""Of a channel or tensor that is nought throughout: TensorRT wants scales above 0."""


def quantisable(model: onnx.ModelProto) -> tuple[onnx.NodeProto, ...]:
    """The network's convolutions, and the additions of its residual branches (two activations, no constant)."""
    constants = {each.name for each in model.graph.initializer}
    names = {node.name for node in convolutions(model)}
    names |= {node.name for node in body(model) if node.op_type == "Add" and not constants.intersection(node.input)}
    return tuple(node for node in model.graph.node if node.name in names)


def activations(node: onnx.NodeProto) -> tuple[str, ...]:
    """Names of the tensors that are quantised on their way into a node."""
    return tuple(node.input[:1]) if node.op_type != "Add" else tuple(node.input)


def measure_ranges(model: onnx.ModelProto, frames: Iterable[UInt8Image]) -> Mapping[str, float]:
    """Largest |x| of every tensor that goes into a quantisable node, over frames (H, W, C) uint8 as the network sees them."""
    names = sorted({name for node in quantisable(model) for name in activations(node)})
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = open_quietly(watched)
    largest = dict.fromkeys(names, 0.0)
    for frame in frames:
        for name, value in zip(names, session.run(names, {FRAME: frame[None]}), strict=True):
            largest[name] = max(largest[name], float(np.abs(value).max()))
    return largest


def quantised_graph(model: onnx.ModelProto, ranges: Mapping[str, float], nodes: Collection[str]) -> onnx.ModelProto:
    """The graph with pairs around these nodes (names among `quantisable`); ranges as `measure_ranges` gives them."""
    weights = weights_of(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    writer = _Pairs(copy)
    rewritten = []
    for node in copy.graph.node:
        if node.name in nodes:
            for place, name in enumerate(activations(node)):
                node.input[place] = writer.activation(name, ranges[name])
            if node.op_type != "Add":
                node.input[1] = writer.weight(node, weights[node.input[1]])
        rewritten += [*writer.waiting(), node]
    del copy.graph.node[:]
    copy.graph.node.extend(rewritten)
    onnx.checker.check_model(copy)
    return copy


def open_quietly(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """On the CPU, one frame at a time; only errors are said, and they are raised."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"])


class _Pairs:
    """Writes quantise / dequantise pairs: one for each tensor, whoever takes it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._made: dict[str, str] = {}
        self._waiting: list[onnx.NodeProto] = []

    def waiting(self) -> list[onnx.NodeProto]:
        """The nodes written since the last call; they belong before the one that takes them."""
        written, self._waiting = self._waiting, []
        return written

    def activation(self, name: str, largest: float) -> str:
        return self._pair(name, np.array(max(largest / LARGEST, LEAST_SCALE), np.float32), axis=None)

    def weight(self, node: onnx.NodeProto, values: Array) -> str:
        axis = 0 if node.op_type == "Conv" else 1
        largest = np.abs(values).max(axis=tuple(each for each in range(values.ndim) if each != axis))
        return self._pair(node.input[1], np.maximum(largest / LARGEST, LEAST_SCALE).astype(np.float32), axis=axis)

    def _pair(self, name: str, scale: npt.NDArray[np.float32], *, axis: int | None) -> str:
        if name not in self._made:
            attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
            with_scale = [self._constant(f"{name}_scale", scale), self._constant(f"{name}_zero", np.zeros(scale.shape, np.int8))]
            quantised, again = f"{name}_quantised", f"{name}_dequantised"
            self._waiting += [
                helper.make_node("QuantizeLinear", [name, *with_scale], [quantised], name=f"{name}_QuantizeLinear", **attributes),
                helper.make_node("DequantizeLinear", [quantised, *with_scale], [again], name=f"{name}_DequantizeLinear", **attributes),
            ]
            self._made[name] = again
        return self._made[name]

    def _constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name
