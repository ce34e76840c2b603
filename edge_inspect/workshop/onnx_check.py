"""May this graph go to the line and, on the oldest device, into TensorRT 8.2? And what does one frame cost?

Source of list and rules: onnx-tensorrt, branch release/8.2-GA (85e79f6), docs/operators.md and builtin_op_importers.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import onnx
from onnx import TensorProto, helper

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import ImageSize
from edge_inspect.runtimes.graph import FRAME, IMAGE_SCORE, SCORE_MAP
from edge_inspect.workshop.traced_graph import IR_VERSION, OPSET

_SUPPORTED = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant
    ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand
    EyeLike Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GRU HardSigmoid Identity If ImageScaler InstanceNormalization IsNaN LeakyRelu Less LessOrEqual Log LogSoftmax Loop LRN LSTM
    LpNormalization LpPool MatMul Max MaxPool Mean Min Mul Neg NonMaxSuppression Not Or Pad ParametricSoftplus Pow PRelu
    QuantizeLinear RandomUniform RandomUniformLike Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RNN Round ScaledTanh Scan Scatter
    ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze
    Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Upsample Where
"""
TENSORRT_8_2 = frozenset(_SUPPORTED.split())
"""Rows marked Y."""

CONSTANT_INPUTS: Mapping[str, tuple[int, ...]] = {
    "Clip": (1, 2),
    "Conv": (1,),
    "ConvTranspose": (1,),
    "CumSum": (1,),
    "InstanceNormalization": (1, 2),
    "Pad": (1, 2),
    "Resize": (2,),
    "Slice": (3,),
    "Squeeze": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
}
"""Inputs that must be initialisers, by operator. Clip and Pad also take tensors there, by a slower way: none is written so."""

RESIZE_MODES = frozenset({"nearest", "linear"})


def refuse_unfit(model: onnx.ModelProto, size: ImageSize, *, dynamic_batch: bool = False) -> None:
    """Refuse a graph that the line or TensorRT 8.2 would not take.

    Args:
        model: the graph.
        size: of the network's image.
        dynamic_batch: whether the batch is left open.

    Raises:
        EngineError: everything that is wrong with it.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EngineError(f"the exported graph is not sound: {' '.join(str(error).split())[:300]}; change the system's forward") from error
    wrong = [*_contract(model, size, dynamic_batch=dynamic_batch), *_versions(model), *_operators(model), *_types(model)]
    if wrong:
        raise EngineError(f"the exported graph is not one for TensorRT 8.2 and the line: {'; '.join(wrong)}; change the system's forward")


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes there are of each operator."""
    kinds = [node.op_type for node in model.graph.node]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def gmacs(model: onnx.ModelProto) -> float:
    """Multiplications with accumulation of one frame, in thousand millions: convolutions and matrix products of a static graph."""
    shapes = _shapes(model)
    return sum(_macs(node, shapes) for node in model.graph.node) / 1e9


def _contract(model: onnx.ModelProto, size: ImageSize, *, dynamic_batch: bool) -> Iterator[str]:
    batch: int | str = "n" if dynamic_batch else 1
    ports = {port.name: _port(port) for port in (*model.graph.input, *model.graph.output)}
    cells = ports.get(SCORE_MAP, ("", ()))[1][2:]
    wanted = {
        FRAME: ("UINT8", (batch, size.height, size.width, size.channels)),
        SCORE_MAP: ("FLOAT", (batch, 1, *cells)),
        IMAGE_SCORE: ("FLOAT", (batch,)),
    }
    if ports != wanted or len(cells) != 2 or not all(isinstance(cell, int) for cell in cells):
        yield f"its inputs and outputs are {ports}, wanted {wanted}"
    readers = [node for node in model.graph.node if FRAME in node.input]
    if [node.op_type for node in readers] != ["Cast"] or helper.get_node_attr_value(readers[0], "to") != TensorProto.FLOAT:
        yield f"the first operator on {FRAME} must be one Cast to float32, got {', '.join(node.op_type for node in readers) or 'none'}"


def _versions(model: onnx.ModelProto) -> Iterator[str]:
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if opsets != {"": OPSET}:
        yield f"its operator sets are {opsets}, wanted {OPSET} of ONNX alone"
    if model.ir_version != IR_VERSION:
        yield f"its IR version is {model.ir_version}, wanted {IR_VERSION}"


def _operators(model: onnx.ModelProto) -> Iterator[str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.domain or node.op_type not in TENSORRT_8_2:
            yield f"{node.name}: there is no operator {node.op_type}"
        for place in CONSTANT_INPUTS.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] and node.input[place] not in constants:
                yield f"{node.name}: input {place} of {node.op_type} must be a constant"
        yield from _attributes(node)


def _attributes(node: onnx.NodeProto) -> Iterator[str]:
    if node.op_type == "Resize":
        mode = next((helper.get_attribute_value(one).decode() for one in node.attribute if one.name == "mode"), "nearest")
        if mode not in RESIZE_MODES:
            yield f"{node.name}: Resize by {mode}, wanted {' or '.join(sorted(RESIZE_MODES))}"
        if len(node.input) < 3 or not node.input[2]:
            yield f"{node.name}: Resize must have scales, not sizes"
    if node.op_type == "MaxPool" and len(node.output) > 1:
        yield f"{node.name}: MaxPool may not give its indices"


def _types(model: onnx.ModelProto) -> Iterator[str]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    for value in (*inferred.value_info, *inferred.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            yield f"{value.name}: is computed in float64"


def _port(value: onnx.ValueInfoProto) -> tuple[str, tuple[int | str, ...]]:
    tensor = value.type.tensor_type
    return TensorProto.DataType.Name(tensor.elem_type), tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        shapes[value.name] = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
    return shapes


def _macs(node: onnx.NodeProto, shapes: Mapping[str, list[int]]) -> int:
    """Conv: each output value takes one kernel; ConvTranspose: each input value gives one; a product: its output times the inner length."""
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "MatMul":
        return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    if node.op_type == "Gemm":
        turned = any(one.name == "transA" and one.i for one in node.attribute)
        return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if turned else -1]
    return 0
