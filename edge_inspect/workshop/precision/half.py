"""`model.fp16.onnx`: weights and activations of the network in float16, everything before and after it in float32.

Written here and not by a converter for whole graphs: ONNX Runtime's (1.31) rounds what lies between two float32 nodes to float16
too, and breaks graphs that have a Cast of their own.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_inspect.workshop.precision.body import body

HALF = "_half"
ALWAYS_FLOAT = {"Resize": (1, 2)}
"""Inputs that stay float32 whatever the type of the first: region of interest and scales. Source: ONNX operators, opset 13."""
GREATEST = float(np.finfo(np.float16).max)


def half_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its network in float16; input and outputs stay uint8 and float32. Every node must have a name of its own."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    inside = {node.name for node in body(copy)}
    constants = {each.name: each for each in copy.graph.initializer if each.data_type == TensorProto.FLOAT}
    writer = _Casts(copy, constants)
    made_inside = {name for node in copy.graph.node if node.name in inside for name in node.output}
    wanted_outside = {name for node in copy.graph.node if node.name not in inside for name in node.input}
    wanted_outside |= {each.name for each in copy.graph.output}
    rewritten: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        if node.name not in inside:
            rewritten.append(node)
            continue
        for place, name in enumerate(node.input):
            if name and place not in ALWAYS_FLOAT.get(node.op_type, ()):
                node.input[place] = f"{name}{HALF}" if name in made_inside else writer.narrowed(name)
        node.output[:] = [f"{name}{HALF}" for name in node.output]
        rewritten += [*writer.waiting(), node]
        rewritten += [_cast(f"{name}{HALF}", name, TensorProto.FLOAT) for name in _originals(node) if name in wanted_outside]
    del copy.graph.node[:]
    copy.graph.node.extend(rewritten)
    del copy.graph.value_info[:]
    writer.drop_unused()
    onnx.checker.check_model(copy)
    return copy


def _originals(node: onnx.NodeProto) -> list[str]:
    return [name.removesuffix(HALF) for name in node.output]


def _cast(name: str, to: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [to], name=f"{to}_Cast", to=kind)


class _Casts:
    """What the network takes from outside, in float16: constants as other constants, tensors through one Cast each."""

    def __init__(self, model: onnx.ModelProto, constants: dict[str, onnx.TensorProto]) -> None:
        self._graph = model.graph
        self._constants = constants
        self._integer = {each.name for each in model.graph.initializer if each.data_type != TensorProto.FLOAT}
        self._made: set[str] = set()
        self._waiting: list[onnx.NodeProto] = []

    def waiting(self) -> list[onnx.NodeProto]:
        """The casts written since the last call; they belong before the node that takes them."""
        written, self._waiting = self._waiting, []
        return written

    def narrowed(self, name: str) -> str:
        """The name of the same in float16; integers stay."""
        if name in self._integer:
            return name
        half = f"{name}{HALF}"
        if half not in self._made:
            self._made.add(half)
            if name in self._constants:
                values = np.clip(numpy_helper.to_array(self._constants[name]), -GREATEST, GREATEST).astype(np.float16)
                self._graph.initializer.append(numpy_helper.from_array(values, half))
            else:
                self._waiting.append(_cast(name, half, TensorProto.FLOAT16))
        return half

    def drop_unused(self) -> None:
        """Constants that only their float16 copies are left of."""
        used = {name for node in self._graph.node for name in node.input}
        kept = [each for each in self._graph.initializer if each.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
