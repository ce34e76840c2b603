"""Which nodes of an exported graph are the network, and which only come before and after it.

Cast, illumination normalisation, statistics of the score, Gaussian filter and maximum stay float32 in every precision: they cost
next to nothing, and a score that is rounded there is a score that no threshold fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

CONVOLUTIONS = ("Conv", "ConvTranspose")
FEWEST_CHANNELS = 8
"""Filters of light and score maps work on one to three planes; a network's layers have at least so many outputs."""

Array = npt.NDArray[np.float32]


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every node has a name of its own."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken: set[str] = set()
    for number, node in enumerate(copy.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)
    return copy


def weights_of(model: onnx.ModelProto) -> Mapping[str, Array]:
    """The graph's float32 constants by name."""
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT}


def convolutions(model: onnx.ModelProto) -> tuple[onnx.NodeProto, ...]:
    """The network's convolutions, in the graph's order: those with constant weights and at least eight output channels."""
    weights = weights_of(model)
    return tuple(
        node
        for node in model.graph.node
        if node.op_type in CONVOLUTIONS and node.input[1] in weights and output_channels(node, weights) >= FEWEST_CHANNELS
    )


def output_channels(node: onnx.NodeProto, weights: Mapping[str, Array]) -> int:
    """Of a convolution."""
    shape = weights[node.input[1]].shape
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return int(shape[0] if node.op_type == "Conv" else shape[1] * groups)


def body(model: onnx.ModelProto) -> tuple[onnx.NodeProto, ...]:
    """The nodes that lie on a way from one of the network's convolutions to another, these included."""
    ends = {node.name for node in convolutions(model)}
    after = _reached(model.graph.node, ends, forwards=True)
    before = _reached(reversed(model.graph.node), ends, forwards=False)
    return tuple(node for node in model.graph.node if node.name in after and node.name in before)


def _reached(nodes: Iterable[onnx.NodeProto], ends: set[str], *, forwards: bool) -> set[str]:
    """Names of the nodes that can be reached from `ends`; `nodes` in topological order, or against it."""
    tensors: set[str] = set()
    names = set()
    for node in nodes:
        came, goes = (node.input, node.output) if forwards else (node.output, node.input)
        if node.name in ends or tensors.intersection(came):
            names.add(node.name)
            tensors.update(goes)
    return names
