"""TensorRT on the GPU, as a class and as a process of its own.

    python3 tensorrt_worker.py '{"tensorrt": "tensorrt", "cuda": "pycuda.driver", ...}'

Self-contained: standard library, numpy, and the two modules that it is told, which the fakes of the tests and tensorrt_rtx
can be too. Syntax of Python 3.6, because on a Jetson Nano only the system's Python 3.6 has TensorRT.

A process that uses it has four file descriptors (`WorkerOrder` in tensorrt_process.py): commands, one byte each (`l` loads
the plan, `r` runs one inference, `w` only warps and gives the engine's input back, the end of them ends the process);
answers, one line each; memory that both map; and a lifeline whose other end closes when the parent is gone, upon which the
kernel ends the process, whatever it does then. Where the GPU warps camera frames a fifth is the memory that these are in.

Nothing here has run on a GPU yet: it was run against fakes with the names of the real modules.
"""

import os
import sys

if __name__ == "__main__":
    # Its own folder has modules (session, graph) that must not hide anyone else's.
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != os.path.dirname(os.path.realpath(__file__))]

import contextlib
import ctypes
import fcntl
import hashlib
import importlib
import json
import mmap
import select
import signal
import struct
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

WARM_UP_INFERENCES = 3
# TensorRT's element types by numpy's names; its own table needs names that newer numpys lack.
TYPES = {"UINT8": "uint8", "INT8": "int8", "INT32": "int32", "INT64": "int64", "HALF": "float16", "FLOAT": "float32", "BOOL": "bool"}
MESSAGES_KEPT = 20
DONE = b"+\n"
LOAD, RUN, WARP = b"l", b"r", b"w"
# The order to the warp, in the memory that both map: `struct Plan` of warp.cu, then which bytes of the frame to copy: first, count.
PARAMETERS = struct.Struct("@7q14i")
ROWS_TO_COPY = struct.Struct("@2q")
ORDER_BYTES = PARAMETERS.size + ROWS_TO_COPY.size
# Of a block of the launch, across and down: the threads of a warp lie along a row, and so do their reads and stores.
WARP_THREADS = (32, 8)
# Of CUDA's driver, which pycuda has loaded; pycuda itself (2026.1) has no graphs.
DRIVER = "libcuda.so.1"
OF_THIS_THREAD = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do is not recorded, and may not spoil it

Port = Tuple[str, str, Tuple[int, ...], bool]


class EngineFailed(Exception):
    """The engine cannot be opened, or failed on a frame.

    Attributes:
        fatal: whether the GPU is lost for this process.
    """

    def __init__(self, text: str, fatal: bool = False) -> None:
        super().__init__(" ".join(text.split()))
        self.fatal = fatal


class Engine:
    """A plan on a GPU: every buffer is allocated once, one stream, one inference at a time.

    Args:
        trt: TensorRT's module.
        cuda: `pycuda.driver`.
        device: number of the GPU.
        graph: record the network's kernels once as a CUDA graph, where TensorRT and driver let it, and launch that for every frame.

    Raises:
        EngineFailed: there is no such GPU, or its driver does not answer.
    """

    def __init__(self, trt: Any, cuda: Any, device: int = 0, graph: bool = True) -> None:
        self._trt, self._cuda = trt, cuda
        self._driver = _driver(cuda) if graph else None
        self._graph = None  # type: Optional[_Graph]
        self._warp = None  # type: Optional[_Warp]
        self._messages, self._logger = _collector(trt)
        try:
            cuda.init()
            self._device = cuda.Device(device)
            self._context = self._device.retain_primary_context()
        except cuda.Error as error:
            raise EngineFailed("no usable GPU: %s" % error) from error

    def facts(self) -> Dict[str, Any]:
        """What a plan must have been built with to run here."""
        module = {"module": self._trt.__name__, "tensorrt": self._trt.__version__, "python": sys.version.split()[0]}
        return dict(module, gpu=gpu_facts(self._cuda, self._device))

    def load(self, plan: bytes, memory: Any, tensors: List[Dict[str, Any]], warp: Optional[Dict[str, Any]] = None) -> str:
        """Load a plan and warm it up.

        Args:
            plan: what TensorRT wrote.
            memory: whole pages, writable, of the caller.
            tensors: name, type, shape, whether it is an input, and offset in the memory [bytes], of every tensor.
            warp: where the GPU is to make the input of camera frames: `kernel`, compiled for this GPU; `frames`, descriptor of
                the memory that they are in; `order`, where in the other memory its order lies [bytes]. None takes the input
                from the memory.

        Returns:
            "registered" where the caller's memory is page-locked, "staged" where the device copies through its own.

        Raises:
            EngineFailed: the plan is not for this TensorRT, GPU or model, the kernel is not for this GPU, or the GPU failed.
        """
        with self._failures(), self._current():
            self._deserialize(plan)
            self._ports = _NamedTensors(self._trt) if hasattr(self._trt.ICudaEngine, "num_io_tensors") else _Bindings()
            _refuse_other_ports(self._ports.listed(self._engine), tensors)
            self._stream = self._cuda.Stream()
            self._host = _Host(self._cuda, memory)
            self._allocate(tensors)
            if warp is not None:
                (image,) = [tensor for tensor in tensors if tensor["input"]]
                self._warp = _Warp(self._cuda, warp, self._host.shared[warp["order"] :][:ORDER_BYTES], image)
            for _ in range(WARM_UP_INFERENCES):
                self._infer()
            self._record()
        return "registered" if self._host.registered else "staged"

    def run(self) -> None:
        """One inference: from the inputs in the memory, or the camera's frame, to the outputs in the memory.

        Raises:
            EngineFailed: TensorRT refused, or the GPU failed; then it is fatal.
        """
        with self._failures(), self._current():
            self._infer()

    def warp(self) -> None:
        """Only the warp: from the camera's frame to the input in the memory, where it can be looked at.

        Raises:
            EngineFailed: the GPU failed.
        """
        with self._failures(), self._current():
            ((device, place),) = self._inputs
            self._feed()
            self._host.fetch(device, place, self._stream)
            self._stream.synchronize()
            self._host.settle(place)

    def close(self) -> None:
        """Give everything back, as far as the GPU still lets us."""
        with contextlib.suppress(self._cuda.Error), self._current():
            for memory in self.__dict__.pop("_memory", {}).values():
                memory.free()
            for part in (self._graph, self._warp, self.__dict__.get("_host")):
                if part is not None:
                    part.close()
            for name in ("_execution", "_engine", "_runtime", "_stream"):
                self.__dict__.pop(name, None)
        self._warp = self._graph = None
        for name in ("_host", "_inputs", "_outputs"):
            self.__dict__.pop(name, None)

    def _deserialize(self, plan: bytes) -> None:
        try:
            self._runtime = self._trt.Runtime(self._logger)
        except TypeError as error:
            raise EngineFailed("TensorRT cannot start: no usable GPU or driver (%s)" % error) from error
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineFailed("TensorRT does not take this plan: %s" % self._said())
        self._execution = self._engine.create_execution_context()
        if self._execution is None:
            raise EngineFailed("TensorRT gives no execution context: %s" % self._said())

    def _allocate(self, tensors: List[Dict[str, Any]]) -> None:
        self._memory = {}
        self._inputs, self._outputs = [], []  # type: List[Any], List[Any]
        for tensor in tensors:
            size = int(np.prod(tensor["shape"], dtype=np.int64)) * np.dtype(tensor["type"]).itemsize
            memory = self._memory[tensor["name"]] = self._cuda.mem_alloc(size)
            copies = self._inputs if tensor["input"] else self._outputs
            copies.append((int(memory), slice(tensor["offset"], tensor["offset"] + size)))
        if not self._ports.bind(self._engine, self._execution, {name: int(memory) for name, memory in self._memory.items()}):
            raise EngineFailed("TensorRT does not take the addresses of its tensors: %s" % self._said())

    @property
    def recorded(self) -> bool:
        """Whether the network's kernels are launched as one CUDA graph."""
        return self._graph is not None

    def _launch(self) -> bool:
        """Queue the network's kernels, one by one."""
        return bool(self._ports.launch(self._execution, self._stream.handle))

    def _record(self) -> None:
        """Let a graph do what `_launch` does; where that cannot be recorded, `_launch` goes on doing it."""
        if self._driver is None:
            return
        graph = _Graph(self._driver, self._stream.handle)
        if graph.record(self._launch):
            self._graph = graph
            self._infer()  # the first launch of a graph uploads it
        del self._messages[:]  # why something cannot be recorded is no error of the engine

    def _infer(self) -> None:
        self._feed()
        launched = self._launch() if self._graph is None else self._graph.launch()
        if launched:
            for device, place in self._outputs:
                self._host.fetch(device, place, self._stream)
        self._stream.synchronize()
        if not launched:
            raise EngineFailed("TensorRT does not run the plan: %s" % self._said())
        for _, place in self._outputs:
            self._host.settle(place)

    def _feed(self) -> None:
        """Queue what makes the engine's input."""
        for device, place in self._inputs:
            if self._warp is None:
                self._host.send(device, place, self._stream)
            else:
                self._warp.queue(device, self._stream)

    def _said(self) -> str:
        said = "; ".join(self._messages) or "it gives no reason"
        del self._messages[:]
        return said

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except self._cuda.Error as error:
            raise EngineFailed("the GPU failed: %s" % error, fatal=True) from error
        except MemoryError as error:
            raise EngineFailed("the worker is out of memory; see what else runs on this machine", fatal=True) from error

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        """pycuda ends the process when a context is still current at its exit."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()


class _Graph:
    """Work on a stream, recorded once: some hundred kernels of a network are then queued by one call instead of as many.

    Inputs and outputs are not in it: how much of a camera's frame is copied differs from part to part.
    """

    def __init__(self, driver: Any, stream: int) -> None:
        self._driver, self._stream = driver, ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()

    def record(self, work: Callable[[], bool]) -> bool:
        """Record what `work` queues, without running it; False where that cannot be, and the stream is as it was."""
        if self._driver.cuStreamBeginCapture_v2(self._stream, OF_THIS_THREAD):
            return False
        graph = ctypes.c_void_p()
        try:
            queued = work()
        finally:
            ended = self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        if not graph:
            return False
        made = queued and not ended and not self._instantiate(graph)
        self._driver.cuGraphDestroy(graph)
        return bool(made)

    def launch(self) -> bool:
        """Queue all of it.

        Raises:
            EngineFailed: the GPU is lost for this process.
        """
        failed = self._driver.cuGraphLaunch(self._executable, self._stream)
        if failed:
            raise EngineFailed("the GPU failed: cuGraphLaunch gave CUDA error %d" % failed, fatal=True)
        return True

    def close(self) -> None:
        """Give it back; nothing of it runs any more."""
        self._driver.cuGraphExecDestroy(self._executable)

    def _instantiate(self, graph: Any) -> int:
        made = ctypes.byref(self._executable)
        if hasattr(self._driver, "cuGraphInstantiateWithFlags"):  # from CUDA 11.4 on
            return int(self._driver.cuGraphInstantiateWithFlags(made, graph, ctypes.c_ulonglong(0)))
        return int(self._driver.cuGraphInstantiate(made, graph, None, None, ctypes.c_size_t(0)))


class _Host:
    """Memory of the caller, page-locked where the device can (a Jetson Nano cannot), else beside as much that is."""

    def __init__(self, cuda: Any, memory: Any) -> None:
        self._cuda = cuda
        self.shared = np.frombuffer(memory, np.uint8)  # type: Any
        try:
            self._locked = cuda.register_host_memory(self.shared)
            self.registered = True
        except cuda.Error:
            self._locked = cuda.pagelocked_empty(self.shared.nbytes, np.uint8)
            self.registered = False

    def send(self, device: int, place: slice, stream: Any) -> None:
        """Queue a copy to the device."""
        if not self.registered:
            self._locked[place] = self.shared[place]
        self._cuda.memcpy_htod_async(device, self._locked[place], stream)

    def fetch(self, device: int, place: slice, stream: Any) -> None:
        """Queue a copy from the device; `settle` it when the stream has done it."""
        self._cuda.memcpy_dtoh_async(self._locked[place], device, stream)

    def settle(self, place: slice) -> None:
        """Let the caller see what was fetched."""
        if not self.registered:
            self.shared[place] = self._locked[place]

    def close(self) -> None:
        """Unlock the caller's memory."""
        if self.registered:
            self._locked.base.unregister()
        self.registered, self._locked, self.shared = False, None, None


class _Warp:
    """`warp.cu` on the device: it makes the engine's input of a camera's frame, as the order in the memory says.

    Buffers are as large as the memory that the frames are in, and are made anew only when a frame is larger than that was.
    """

    def __init__(self, cuda: Any, told: Dict[str, Any], order: Any, image: Dict[str, Any]) -> None:
        self._cuda, self._frames, self._order = cuda, told["frames"], order
        try:
            self._module = cuda.module_from_buffer(told["kernel"])
            self._function = self._module.get_function("warp_to_" + image["type"])
            # The struct first, then two pointers: its 112 bytes keep them aligned.
            self._function.prepare(["%ds" % PARAMETERS.size, "P", "P"])
        except cuda.Error as error:
            raise EngineFailed("the GPU does not take the compiled warp: %s" % error) from error
        height, width = image["shape"][1:3]
        self._grid = (-(-width // WARP_THREADS[0]), -(-height // WARP_THREADS[1]))
        self._size = 0
        self._make_room()

    def queue(self, image: int, stream: Any) -> None:
        """Queue copy and kernel; before the first order there is nothing to copy, and the kernel returns at once."""
        order = self._order.tobytes()
        first, count = ROWS_TO_COPY.unpack_from(order, PARAMETERS.size)
        if first + count > self._size:
            self.close()
            self._make_room()
        frame = int(self._device)
        if count:
            self._host.send(frame + first, slice(first, first + count), stream)
        block = WARP_THREADS + (1,)
        self._function.prepared_async_call(self._grid, block, stream, order[: PARAMETERS.size], frame, image)

    def close(self) -> None:
        """Give memory back."""
        if self._size:
            self._size = 0
            self._device.free()
            self._host.close()

    def _make_room(self) -> None:
        size = os.fstat(self._frames).st_size
        self._host = _Host(self._cuda, mmap.mmap(self._frames, size))
        self._device = self._cuda.mem_alloc(size)
        self._size = size


class _NamedTensors:
    """Tensors by name, from TensorRT 8.5 on."""

    def __init__(self, trt: Any) -> None:
        self._input = trt.TensorIOMode.INPUT

    def listed(self, engine: Any) -> List[Port]:
        names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
        return [
            (name, _type(engine.get_tensor_dtype(name)), tuple(engine.get_tensor_shape(name)), engine.get_tensor_mode(name) == self._input)
            for name in names
        ]

    def bind(self, _: Any, execution: Any, addresses: Dict[str, int]) -> bool:
        return all(execution.set_tensor_address(name, address) for name, address in addresses.items())

    def launch(self, execution: Any, stream: int) -> bool:
        return bool(execution.execute_async_v3(stream))


class _Bindings:
    """Tensors by number, before 8.5."""

    def listed(self, engine: Any) -> List[Port]:
        return [
            (
                engine.get_binding_name(place),
                _type(engine.get_binding_dtype(place)),
                tuple(engine.get_binding_shape(place)),
                bool(engine.binding_is_input(place)),
            )
            for place in range(engine.num_bindings)
        ]

    def bind(self, engine: Any, _: Any, addresses: Dict[str, int]) -> bool:
        self._addresses = [addresses[engine.get_binding_name(place)] for place in range(engine.num_bindings)]
        return True

    def launch(self, execution: Any, stream: int) -> bool:
        return bool(execution.execute_async_v2(self._addresses, stream))


def gpu_facts(cuda: Any, device: Any) -> Dict[str, str]:
    """Name, compute capability and CUDA version of the driver, of an initialised device."""
    driver = cuda.get_driver_version()
    return {
        "name": device.name(),
        "compute_capability": "%d.%d" % tuple(device.compute_capability()),
        "driver": "%d.%d" % (driver // 1000, driver % 1000 // 10),
    }


def _driver(cuda: Any) -> Any:
    """CUDA's driver by its C names; None where it is not the one that `cuda` uses."""
    if cuda.__name__ != "pycuda.driver":
        return None
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return None
    return driver if hasattr(driver, "cuStreamBeginCapture_v2") else None  # from CUDA 10.1 on


def _type(kind: Any) -> str:
    return str(TYPES.get(kind.name, kind.name))


def _refuse_other_ports(found: List[Port], tensors: List[Dict[str, Any]]) -> None:
    wanted = [(one["name"], one["type"], tuple(one["shape"]), one["input"]) for one in tensors]
    if sorted(found) != sorted(wanted):
        raise EngineFailed("the plan is not one of this model: got %s, wanted %s" % (_told(found), _told(wanted)))


def _told(ports: List[Port]) -> str:
    return ", ".join("%s %s %s %s" % ("input" if is_input else "output", name, kind, shape) for name, kind, shape, is_input in sorted(ports))


def _collector(trt: Any) -> Tuple[List[str], Any]:
    """The last errors that TensorRT told, and the logger that collects them."""
    messages = []  # type: List[str]
    worst = int(trt.ILogger.Severity.ERROR)

    class Collector(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= worst:
                messages.append(" ".join(str(message).split()))
                del messages[:-MESSAGES_KEPT]

    return messages, Collector()


def main(order: Dict[str, Any]) -> None:
    """Serve commands until there are no more."""
    _end_with_parent(order["lifeline"])
    os.dup2(2, 1)  # what a library prints belongs to the errors
    try:
        _serve(order)
    except Exception as error:
        text = str(error) if isinstance(error, EngineFailed) else "%s: %s" % (type(error).__name__, error)
        _say(order["answers"], {"error": text, "fatal": True})
        # No interpreter's exit: a GPU that failed may keep it from ending.
        os._exit(1)


def _serve(order: Dict[str, Any]) -> None:
    engine = Engine(_module(order["tensorrt"]), _module(order["cuda"]), order["device"], order["graph"])
    _say(order["answers"], engine.facts())
    if os.read(order["commands"], 1) != LOAD:
        return
    memory = mmap.mmap(order["memory"], order["bytes"])
    plan, warp = _verified(order["plan"], order["plan_sha256"]), order["warp"]
    if warp is not None:
        warp["kernel"] = _verified(warp["kernel"], warp["kernel_sha256"])
    pinned = engine.load(plan, memory, order["tensors"], warp)
    _say(order["answers"], {"memory": pinned, "recorded": engine.recorded})
    work = {RUN: engine.run, WARP: engine.warp}
    ready = select.poll()
    ready.register(order["commands"], select.POLLIN)
    while True:
        stay_awake(ready, order["busy_wait_s"])
        command = os.read(order["commands"], 1)
        if not command:
            break
        try:
            work[command]()
        except EngineFailed as error:
            if error.fatal:
                raise
            _say(order["answers"], {"error": str(error), "fatal": False})
        else:
            os.write(order["answers"], DONE)
    engine.close()


def stay_awake(ready: Any, longest_s: float) -> None:
    """Keep the core until something is ready, `longest_s` at most: whoever sleeps must first be woken and scheduled."""
    if longest_s:
        until = time.monotonic() + longest_s
        while not ready.poll(0) and time.monotonic() < until:
            pass


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise EngineFailed("%s cannot be imported by %s: %s" % (name, sys.executable, error)) from error


def _verified(path: str, sha256: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EngineFailed("%s changed since it was checked" % path)
    return content


def _say(answers: int, what: Dict[str, Any]) -> None:
    os.write(answers, json.dumps(what).encode() + b"\n")


def _end_with_parent(lifeline: int) -> None:
    """The kernel sends SIGIO, whose default is the end, when the other end of the lifeline closes."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # they are for the parent, which ends us when it is done
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    already = select.poll()
    already.register(lifeline, 0)
    if already.poll(0):
        os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
