"""Parser and network: what onnx reads is what they hold."""

import weakref

from fake_tensorrt.faults import fault
from fake_tensorrt.shape import Crash

# TensorRT's names of ONNX element types.
TYPES = {1: "FLOAT", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF", 16: "BF16"}


def bodies(module):
    """Bodies of the classes of one module, by name."""
    return {
        "INetworkDefinition": _network(module),
        "ITensor": _tensor(module),
        "ILayer": _layer(module),
        "OnnxParser": _parser(module),
        "ParserError": _parser_error(module),
    }


def _made(module, name, **private):
    """An instance of a class that has no public constructor."""
    made = getattr(module, name)()
    for key, value in private.items():
        object.__setattr__(made, key, value)
    return made


def _network(module):
    def tensor(value):
        return _made(module, "ITensor", _value=value)

    return {
        "_model": None,
        "_parser": None,
        "_flags": frozenset(),
        "_layers": (),
        "num_inputs": property(lambda self: len(self._model.graph.input)),
        "num_outputs": property(lambda self: len(self._model.graph.output)),
        "num_layers": property(lambda self: len(self._layers)),
        "get_input": lambda self, place: tensor(self._model.graph.input[place]),
        "get_output": lambda self, place: tensor(self._model.graph.output[place]),
        "get_layer": lambda self, place: self._layers[place],
    }


def _tensor(module):
    def shape(self):
        return tuple(one.dim_value if one.HasField("dim_value") else -1 for one in self._value.type.tensor_type.shape.dim)

    return {
        "name": property(lambda self: self._value.name),
        "shape": property(shape),
        "dtype": property(lambda self: getattr(module.DataType, TYPES[self._value.type.tensor_type.elem_type])),
    }


def _layer(module):
    def set_output_type(self, place, kind):
        self._output_types[place] = kind

    return {
        "name": property(lambda self: self._node.name),
        "num_outputs": property(lambda self: len(self._node.output)),
        "get_output": lambda self, place: _made(module, "ITensor", _value=self._values[self._node.output[place]]),
        "precision": None,
        "set_output_type": set_output_type,
    }


def _parser_error(module):
    def text(self):
        told = hasattr(module.ParserError, "node_name")
        named = f" with name: {self._name} and operator: {self._operator}" if told else ""
        return f"In node {self._place}{named} ({self._function}): {self._code}: {self._text}"

    return {
        "__str__": text,
        "node": lambda self: self._place,
        "node_name": lambda self: self._name,
        "node_operator": lambda self: self._operator,
        "desc": lambda self: self._text,
        "func": lambda self: self._function,
        "file": lambda self: "onnx2trt.cpp",
        "line": lambda self: 1,
    }


def _parser(module):
    def start(self, network, logger):
        object.__setattr__(self, "_network", weakref.ref(network))
        object.__setattr__(self, "_errors", [])

    def parse(self, onnx_bytes):
        network = self._network()
        if network is None:
            raise Crash("the parser's network died before it: keep both in variables")
        model, refused = _read(module, bytes(onnx_bytes), network)
        self._errors.extend(_made(module, "ParserError", **error) for error in refused)
        if refused:
            return False
        object.__setattr__(network, "_model", model)
        object.__setattr__(network, "_parser", weakref.ref(self))
        values = _values(model)
        layers = [_made(module, "ILayer", _node=node, _values=values, _output_types={}) for node in model.graph.node]
        object.__setattr__(network, "_layers", layers)
        return True

    return {
        "__init__": start,
        "parse": parse,
        "num_errors": property(lambda self: len(self._errors)),
        "get_error": lambda self, place: self._errors[place],
        "clear_errors": lambda self: self._errors.clear(),
    }


def _read(module, onnx_bytes, network):
    """(model, what is wrong with it)."""
    import onnx
    from google.protobuf.message import DecodeError

    if hasattr(module.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH") and not network._flags:
        return None, [_error(-1, "importModel", "INVALID_VALUE", "Assertion failed: !network()->hasImplicitBatchDimension()")]
    try:
        model = onnx.load_from_string(onnx_bytes)
    except DecodeError:
        return None, [_error(-1, "parse", "MODEL_DESERIALIZE_FAILED", "Failed to parse the ONNX model.")]
    return model, list(_wrong_inputs(module, model)) + list(_wrong_nodes(model))


def _values(model):
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value for values in (graph.value_info, graph.input, graph.output) for value in values}


def _wrong_inputs(module, model):
    for value in model.graph.input:
        if not hasattr(module.DataType, TYPES[value.type.tensor_type.elem_type]):
            yield _error(-1, "importInput", "UNSUPPORTED_NODE", "Assertion failed: convertDtype(onnxDtype.elem_type(), &trtDtype)")


def _wrong_nodes(model):
    told = fault("parser_refuses") or {}
    bytes_of_pixels = {value.name for value in model.graph.input if value.type.tensor_type.elem_type == 2}
    for place, node in enumerate(model.graph.node):
        said = told.get(node.name) or told.get(node.op_type)
        if not said and node.op_type != "Cast" and bytes_of_pixels & set(node.input):
            said = "UINT8 can only be cast"
        if said:
            yield _error(place, "check" + node.op_type, "UNSUPPORTED_NODE", said, node.name, node.op_type)


def _error(place, function, code, text, name="", operator=""):
    return {"_place": place, "_function": function, "_code": code, "_text": text, "_name": name, "_operator": operator}
