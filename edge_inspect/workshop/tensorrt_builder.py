# ruff: noqa: UP006, UP031, UP035, PTH120, PTH123
"""The part of a build that speaks with TensorRT, for any version from 8.2 to 11.x and for tensorrt_rtx.

    python3 tensorrt_builder.py '{"tensorrt": "tensorrt", "graph": "model.onnx", ...}'

Self-contained, standard library only, syntax of Python 3.6: on a Jetson Nano only the system's Python 3.6 has TensorRT, and
the rest of the workshop runs under a newer one (`tensorrt_elsewhere.py`). What a module can do is asked of it by names:
never a version number, never a stored flag's integer.
"""

import importlib
import importlib.util
import json
import os
import sys
from typing import Any, Dict, List, Tuple


class BuildFailed(Exception):
    """TensorRT gave None, False or an exception; with all that it said."""


def ask(trt: Any) -> Dict[str, Any]:
    """What a module can do: the fields of `tensorrt_api.Api`."""
    return {
        "module": trt.__name__,
        "version": trt.__version__,
        "precision_flags": hasattr(trt.BuilderFlag, "FP16"),
        "strong_typing": hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"),
        "uint8": hasattr(trt.DataType, "UINT8"),
        "builds_ahead": hasattr(trt.IBuilderConfig, "set_compute_capability"),
    }


class Build:
    """One build. Everything that TensorRT gave is kept until the plan is out: the real objects do not keep each other.

    Args:
        trt: the module.
        wants: precision, strongly_typed, workspace_bytes, ahead_of_time, float32_nodes, and the graph's node_names.

    Raises:
        BuildFailed: there is no usable GPU.
    """

    def __init__(self, trt: Any, wants: Dict[str, Any]) -> None:
        self._trt, self._wants = trt, wants
        self._named = "%s %s" % (trt.__name__, trt.__version__)
        self._errors, self._logger = _collector(trt)
        try:
            self._builder = trt.Builder(self._logger)
        except TypeError as error:
            raise BuildFailed(
                "%s cannot start here: no usable GPU or driver (%s); build on the target, with its driver loaded" % (self._named, error)
            ) from error

    def run(self, graph: bytes, timing_cache: bytes) -> Tuple[bytes, bytes]:
        """Plan and timing cache (empty where the module keeps none).

        Raises:
            BuildFailed: TensorRT refuses the graph, every node that it names, or cannot build it.
        """
        network = self._made("network", self._builder.create_network(self._network_flags()))
        parser = self._made("parser", self._trt.OnnxParser(network, self._logger))
        self._parse(parser, graph)
        self._refuse_open_lengths(network)
        config = self._made("builder configuration", self._builder.create_builder_config())
        self._configure(network, config)
        cache = self._timing_cache(config, timing_cache)
        plan = self._builder.build_serialized_network(network, config)
        if plan is None:
            raise BuildFailed(
                "%s cannot build the plan: %s; change the operator that it names, or build another precision" % (self._named, self._said())
            )
        return bytes(plan), b"" if cache is None else bytes(config.get_timing_cache().serialize())

    def _network_flags(self) -> int:
        kinds = self._trt.NetworkDefinitionCreationFlag
        if self._wants["strongly_typed"]:
            return 1 << int(kinds.STRONGLY_TYPED)
        return 1 << int(kinds.EXPLICIT_BATCH) if hasattr(kinds, "EXPLICIT_BATCH") else 0

    def _made(self, what: str, made: Any) -> Any:
        if made is None:
            raise BuildFailed("%s gives no %s: %s; free device memory, or install TensorRT again" % (self._named, what, self._said()))
        return made

    def _parse(self, parser: Any, graph: bytes) -> None:
        if parser.parse(graph):
            return
        errors = [parser.get_error(place) for place in range(parser.num_errors)]
        said = "; ".join(_parser_text(error, self._wants["node_names"]) for error in errors) or self._said()
        raise BuildFailed("%s does not take this graph: %s; export the model again without these operators" % (self._named, said))

    def _refuse_open_lengths(self, network: Any) -> None:
        for place in range(network.num_inputs):
            tensor = network.get_input(place)
            shape = tuple(tensor.shape)
            if -1 in shape or shape[:1] != (1,):
                raise BuildFailed(
                    "%s is %s, wanted a fixed size and a batch of 1; export the model with a fixed batch" % (tensor.name, shape)
                )

    def _configure(self, network: Any, config: Any) -> None:
        trt, wants = self._trt, self._wants
        if hasattr(trt.IBuilderConfig, "set_memory_pool_limit"):
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, wants["workspace_bytes"])
        else:
            config.max_workspace_size = wants["workspace_bytes"]
        if not wants["strongly_typed"]:
            _set_precision_flags(trt, self._builder, config, wants["precision"])
            _keep_float32(trt, network, config, wants["float32_nodes"])
        if wants["ahead_of_time"]:
            self._set_capabilities(config)

    def _set_capabilities(self, config: Any) -> None:
        kinds, capabilities = self._trt.ComputeCapability, self._wants["ahead_of_time"]
        config.num_compute_capabilities = len(capabilities)
        for place, capability in enumerate(capabilities):
            name = "SM" + capability.replace(".", "")
            if not hasattr(kinds, name) or not config.set_compute_capability(getattr(kinds, name), place):
                known = ", ".join(sorted(member for member in dir(kinds) if member.startswith("SM")))
                raise BuildFailed("%s does not build for %s (%s); it builds for %s" % (self._named, capability, name, known))

    def _timing_cache(self, config: Any, earlier: bytes) -> Any:
        """The cache in use; one of another device or version is begun anew. tensorrt_rtx keeps none."""
        if hasattr(self._trt.IBuilderConfig, "set_compute_capability"):
            return None
        for content in (earlier, b""):
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, False):
                return cache
        return None

    def _said(self) -> str:
        """All errors in one line; what follows from having no GPU is left out where there is more to say."""
        said = [line for line in self._errors if "catchCudaError" not in line] or self._errors
        return "; ".join(said) or "TensorRT gives no reason"


def _set_precision_flags(trt: Any, builder: Any, config: Any, precision: str) -> None:
    """Allow FP16, and INT8 where the graph has Q/DQ; the rest of an INT8 graph may be FP16 too."""
    if precision == "fp32":
        return
    if precision == "int8":
        _refuse_slow(builder, "int8", "fp16")
        config.set_flag(trt.BuilderFlag.INT8)
    else:
        _refuse_slow(builder, "fp16", "fp32")
    config.set_flag(trt.BuilderFlag.FP16)


def _refuse_slow(builder: Any, precision: str, instead: str) -> None:
    if not getattr(builder, "platform_has_fast_" + precision):
        raise BuildFailed("this GPU has no fast %s; build --precision %s here" % (precision.upper(), instead))


def _keep_float32(trt: Any, network: Any, config: Any, names: List[str]) -> None:
    """Hold the named nodes in float32 whatever the flags allow; integers in them stay what they are."""
    if not names:
        return
    layers = {layer.name: layer for layer in map(network.get_layer, range(network.num_layers))}
    missing = sorted(set(names) - set(layers))
    if missing:
        raise BuildFailed("there is no layer %s to keep in float32; take the names of the graph's nodes" % ", ".join(missing))
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for name in sorted(names):
        layer = layers[name]
        for place in range(layer.num_outputs):
            if layer.get_output(place).dtype in (trt.DataType.FLOAT, trt.DataType.HALF):
                layer.precision = trt.DataType.FLOAT
                layer.set_output_type(place, trt.DataType.FLOAT)


def _parser_text(error: Any, names: List[str]) -> str:
    """All that a parser's error says, with the name of its node, which TensorRT before 10 does not tell."""
    text = " ".join(str(error).split())
    place = error.node()
    name = names[place] if 0 <= place < len(names) else ""
    return text if not name or name in text else "%s: %s" % (name, text)


def _collector(trt: Any) -> Tuple[List[str], Any]:
    """The errors that TensorRT told, each once, and the logger that collects them."""
    errors = []  # type: List[str]
    worst = int(trt.ILogger.Severity.ERROR)

    class Collector(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            said = " ".join(str(message).split())
            if int(severity) <= worst and said not in errors:
                errors.append(said)

    return errors, Collector()


def main(order: Dict[str, Any]) -> Dict[str, Any]:
    """What the module can do; the GPU, where the order names CUDA; with a graph in the order its plan, into files."""
    if "worker" in order:
        return _gpu(order)
    trt = importlib.import_module(order["tensorrt"])
    if "graph" not in order:
        return ask(trt)
    with open(order["graph"], "rb") as file:
        graph = file.read()
    with open(order["timing_cache"], "rb") as file:
        cache = file.read()
    plan, cache = Build(trt, order["wants"]).run(graph, cache)
    for name, content in (("plan", plan), ("timing_cache", cache)):
        with open(order[name], "wb") as file:
            file.write(content)
    return {}


def _gpu(order: Dict[str, Any]) -> Dict[str, Any]:
    found = importlib.util.spec_from_file_location("tensorrt_worker", order["worker"])
    assert found is not None  # it lies where the package has it
    assert found.loader is not None
    worker = importlib.util.module_from_spec(found)
    found.loader.exec_module(worker)
    cuda = importlib.import_module(order["cuda"])
    try:
        cuda.init()
        facts = worker.gpu_facts(cuda, cuda.Device(order["device"]))  # type: Dict[str, Any]
    except cuda.Error as error:
        raise BuildFailed("no usable GPU here (%s); build on the target, with its driver loaded" % error) from error
    return facts


if __name__ == "__main__":
    # Its own folder has modules that must not hide anyone else's; what libraries print must not be taken for the answer.
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != os.path.dirname(os.path.realpath(__file__))]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer = main(json.loads(sys.argv[1]))
    except BuildFailed as error:
        answer = {"error": str(error)}
    except (ImportError, OSError) as error:
        order = json.loads(sys.argv[1])
        said = (order.get("cuda", order["tensorrt"]), sys.executable, error)
        answer = {"error": "%s cannot be used by %s: %s; install it, or name another interpreter" % said}
    answers.write(json.dumps(answer))
    answers.close()
