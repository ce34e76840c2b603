"""Runtime, engine and context: ONNX Runtime on the fake device's memory."""

import ctypes
import os
import signal
import time
import weakref

import numpy as np

from fake_tensorrt.building import no_device
from fake_tensorrt.device import DEVICE, capability
from fake_tensorrt.faults import fault, take_fault
from fake_tensorrt.network import _made
from fake_tensorrt.plan import read_plan
from fake_tensorrt.shape import Crash, tell

ORT_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(int64)": "INT64"}
NUMPY_TYPES = {"UINT8": np.uint8, "FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64}
A_LONG_TIME_S = 3600


def bodies(module):
    """Bodies of the classes of one module, by name."""
    return {"Runtime": _runtime(module), "ICudaEngine": _engine(module), "IExecutionContext": _context(module)}


def _runtime(module):
    def start(self, logger):
        no_device()
        object.__setattr__(self, "_logger", logger)

    def deserialize(self, plan):
        read = None if fault("deserialize") else read_plan(plan)
        if read is None or (read[0]["module"], read[0]["version"]) != (module.__name__, module.__version__):
            tell(self._logger, "Error Code 1: Serialization (Serialization assertion stdVersionRead == serializationVersion failed.)")
            return None
        if list(capability()) not in read[0]["capabilities"]:
            tell(self._logger, "Error Code 6: The engine plan file is generated on an incompatible device")
            return None
        return _made(module, "ICudaEngine", _runtime=weakref.ref(self), _tensors=_Tensors(read[1]), _logger=self._logger)

    return {"__init__": start, "deserialize_cuda_engine": deserialize}


class _Tensors:
    """The graph in ONNX Runtime, and its tensors in the order of an engine: inputs first."""

    def __init__(self, onnx_bytes):
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        self.names = [port.name for port in inputs + outputs]
        self.inputs = {port.name for port in inputs}
        self.types = {port.name: ORT_TYPES[port.type] for port in inputs + outputs}
        self.shapes = {port.name: tuple(one if isinstance(one, int) else -1 for one in port.shape) for port in inputs + outputs}

    def run(self, addresses):
        feeds = {name: self._view(name, addresses[name]) for name in self.inputs}
        answers = [name for name in self.names if name not in self.inputs]
        for name, answer in zip(answers, self.session.run(answers, feeds)):  # noqa: B905 - Python 3.6
            self._view(name, addresses[name])[...] = answer

    def spoil(self, addresses):
        for name in self.names:
            if name not in self.inputs:
                self._view(name, addresses[name])[...] *= 2

    def _view(self, name, address):
        kind = np.dtype(NUMPY_TYPES[self.types[name]])
        size = int(np.prod(self.shapes[name], dtype=np.int64)) * kind.itemsize
        memory = DEVICE.memory.get(address)
        if memory is None or memory.nbytes < size:
            raise Crash(f"{name}: an inference on memory that is not there")
        return memory[:size].view(kind).reshape(self.shapes[name])


def _engine(module):
    def create_context(self):
        if self._runtime() is None:
            raise Crash("the engine's runtime died before it: keep both")
        if fault("context"):
            tell(self._logger, "Error Code 2: OutOfMemory (Requested size was 123 bytes.)")
            return None
        return _made(module, "IExecutionContext", _engine=weakref.ref(self), _addresses={}, _logger=self._logger)

    def mode(self, name):
        return module.TensorIOMode.INPUT if name in self._tensors.inputs else module.TensorIOMode.OUTPUT

    def kind(self, name):
        return getattr(module.DataType, self._tensors.types[name])

    return {
        "create_execution_context": create_context,
        "num_io_tensors": property(lambda self: len(self._tensors.names)),
        "get_tensor_name": lambda self, place: self._tensors.names[place],
        "get_tensor_mode": mode,
        "get_tensor_dtype": kind,
        "get_tensor_shape": lambda self, name: self._tensors.shapes[name],
        "num_bindings": property(lambda self: len(self._tensors.names)),
        "get_binding_name": lambda self, place: self._tensors.names[place],
        "binding_is_input": lambda self, place: self._tensors.names[place] in self._tensors.inputs,
        "get_binding_dtype": lambda self, place: kind(self, self._tensors.names[place]),
        "get_binding_shape": lambda self, place: self._tensors.shapes[self._tensors.names[place]],
    }


def _context(module):
    def tensors(self):
        engine = self._engine()
        if engine is None:
            raise Crash("the context's engine died before it: keep both")
        return engine._tensors

    def set_address(self, name, address):
        self._addresses[name] = int(address)
        return name in tensors(self).names

    def enqueue(self, addresses, handle):
        known = tensors(self)
        if set(addresses) != set(known.names) or handle not in DEVICE.streams:
            tell(self._logger, "Error Code 3: API Usage Error (an address is not set, or the stream is not valid)")
            return False
        kind = take_fault("execute")
        if kind == "false":
            tell(self._logger, "Error Code 1: Cuda Runtime (an illegal memory access was encountered)")
            return False
        DEVICE.enqueue(handle, lambda: _go_wrong(kind, known, addresses) if kind else known.run(addresses))
        return True

    def enqueue_v2(self, bindings, stream_handle):
        names = tensors(self).names
        if len(bindings) != len(names):
            raise Crash(f"{len(bindings)} bindings, the engine has {len(names)}")
        return enqueue(self, dict(zip(names, bindings)), stream_handle)  # noqa: B905 - Python 3.6

    return {
        "set_tensor_address": set_address,
        "execute_async_v3": lambda self, stream_handle: enqueue(self, self._addresses, stream_handle),
        "execute_async_v2": enqueue_v2,
    }


def _go_wrong(kind, tensors, addresses):
    if kind == "other answers":
        tensors.run(addresses)
        tensors.spoil(addresses)
    if kind == "hang":
        time.sleep(A_LONG_TIME_S)
    if kind == "hang holding the interpreter":
        ctypes.PyDLL(None).sleep(A_LONG_TIME_S)
    if kind == "exit":
        os._exit(3)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "memory":
        bytearray(1 << 60)
    if kind == "cuda error":
        DEVICE.failed = "cuStreamSynchronize failed: an illegal memory access was encountered"
