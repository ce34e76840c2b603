"""Builder, its configuration and the timing cache."""

import weakref

from fake_tensorrt.device import capability
from fake_tensorrt.faults import fault
from fake_tensorrt.network import _made
from fake_tensorrt.plan import write_plan
from fake_tensorrt.shape import Crash, tell

# Where the fake says that INT8 and FP16 are slow or missing, as platform_has_fast_* does.
WITHOUT_INT8 = {(5, 0), (5, 2), (5, 3), (6, 0), (6, 2)}
WITHOUT_FP16 = {(5, 0), (5, 2), (6, 1)}


def bodies(module):
    """Bodies of the classes of one module, by name."""
    return {
        "Builder": _builder(module),
        "IBuilderConfig": _config(module),
        "IHostMemory": {"__bytes__": lambda self: self._bytes, "nbytes": property(lambda self: len(self._bytes))},
        "ITimingCache": {"serialize": lambda self: _made(module, "IHostMemory", _bytes=self._bytes)},
    }


def no_device():
    """What pybind raises where there is no driver."""
    if fault("no_device"):
        raise TypeError("pybind11::init(): factory function returned nullptr")


def _builder(module):
    def start(self, logger):
        tell(logger, "builder started", module.ILogger.Severity.VERBOSE)
        no_device()
        object.__setattr__(self, "_logger", weakref.ref(logger))

    def create_network(self, flags=0):
        known = module.NetworkDefinitionCreationFlag
        wanted = frozenset(flag.name for flag in known if flags >> int(flag) & 1)
        if sum(1 << int(getattr(known, name)) for name in wanted) != flags:
            return None
        return _made(module, "INetworkDefinition", _flags=wanted)

    def build(self, network, config):
        logger = self._logger()
        if logger is None or network._parser is None or network._parser() is None:
            raise Crash("logger or parser died before the build: keep both in variables")
        wrong = fault("build") and "Error Code 10: Internal Error (Could not find any implementation for node conv1)"
        wrong = wrong or _refusal(module, network, config)
        if wrong:
            tell(logger, wrong)
            return None
        return _made(module, "IHostMemory", _bytes=_plan(module, network, config))

    return {
        "__init__": start,
        "create_network": create_network,
        "create_builder_config": lambda self: _made(module, "IBuilderConfig", **_blank()),
        "build_serialized_network": build,
        "platform_has_fast_fp16": property(lambda self: capability() not in WITHOUT_FP16),
        "platform_has_fast_int8": property(lambda self: capability() not in WITHOUT_INT8),
    }


def _blank():
    return {"_flags": set(), "_pools": {}, "_capabilities": {}, "_cache": None}


def _refusal(module, network, config):
    """What the real builder would refuse, or None."""
    quantised = any(node.op_type == "QuantizeLinear" for node in network._model.graph.node)
    typed = "STRONGLY_TYPED" in network._flags or not hasattr(module.BuilderFlag, "FP16")
    precisions = {flag.name for flag in config._flags} & {"FP16", "INT8"}
    if typed and precisions:
        return "Error Code 3: API Usage Error (precision flags are not allowed in a strongly typed network)"
    if not typed and quantised != ("INT8" in precisions):
        return "Error Code 4: Internal Error (Q/DQ layers and the INT8 flag go together; there is no calibrator)"
    return None


def _plan(module, network, config):
    builds = config._cache._count() if config._cache is not None else 0
    return write_plan(
        module,
        network._model.SerializeToString(),
        list(config._capabilities.values()) or [capability()],
        flags=sorted(flag.name for flag in config._flags),
        network=sorted(network._flags),
        workspace=config._pools.get("WORKSPACE", config.__dict__.get("max_workspace_size")),
        kept={layer.name: layer.precision.name for layer in network._layers if getattr(layer, "precision", None)},
        cached_builds=builds,
    )


def _config(module):
    def set_memory_pool_limit(self, pool, size):
        self._pools[pool.name] = size

    def set_compute_capability(self, one, place):
        digits = one.name[2:]
        self._capabilities[place] = (int(digits[:-1]), int(digits[-1]))
        return place < self.num_compute_capabilities

    def create_timing_cache(self, content):
        return _cache(module, bytes(content))

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache is None or not cache._fits:
            return False
        object.__setattr__(self, "_cache", cache)
        return True

    return {
        "set_flag": lambda self, flag: self._flags.add(flag),
        "get_flag": lambda self, flag: flag in self._flags,
        "set_memory_pool_limit": set_memory_pool_limit,
        "set_compute_capability": set_compute_capability,
        "create_timing_cache": create_timing_cache,
        "set_timing_cache": set_timing_cache,
        "get_timing_cache": lambda self: self._cache,
    }


def _cache(module, content):
    """A timing cache counts its builds, and fits the version and the device that it was made with."""
    mark = f"timing {module.__version__} {capability()} ".encode()
    cache = _made(module, "ITimingCache", _bytes=content or mark, _fits=not content or content.startswith(mark))

    def count():
        object.__setattr__(cache, "_bytes", cache._bytes + b"+")
        return cache._bytes.count(b"+")

    object.__setattr__(cache, "_count", count)
    return cache
