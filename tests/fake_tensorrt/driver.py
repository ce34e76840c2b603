"""`libcuda.so.1` on the fake device, by its C names and with C's types: capture of a stream, and graphs.

What goes wrong is told by `refuses`: the name of a function that gives an error, or of the work that may not be captured.
"""

import ctypes

from fake_tensorrt.device import DEVICE

INVALID, NOT_CAPTURABLE, LAUNCH_FAILED = 1, 900, 719
POINTER = ctypes.POINTER(ctypes.c_void_p)


class Driver:
    """Functions are called through ctypes, as those of the real one are: a wrong type or number of arguments is an error here too."""

    def __init__(self, refuses=(), older=False):
        self.refuses, self.calls = refuses, []
        self._graphs, self._captured = {}, {}
        self._names = iter(range(1, 1000))
        self._kept = []
        self._offer("cuStreamBeginCapture_v2", self._begin, ctypes.c_void_p, ctypes.c_int)
        self._offer("cuStreamEndCapture", self._end, ctypes.c_void_p, POINTER)
        self._offer("cuGraphDestroy", self._destroy, ctypes.c_void_p)
        self._offer("cuGraphExecDestroy", self._destroy, ctypes.c_void_p)
        self._offer("cuGraphLaunch", self._launch, ctypes.c_void_p, ctypes.c_void_p)
        if older:
            nodes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
            self._offer("cuGraphInstantiate", self._instantiate, POINTER, ctypes.c_void_p, *nodes)
        else:
            self._offer("cuGraphInstantiateWithFlags", self._instantiate, POINTER, ctypes.c_void_p, ctypes.c_ulonglong)

    @property
    def left(self):
        """Graphs that were not given back."""
        return len(self._graphs)

    def _offer(self, name, function, *types):
        def called(*arguments):
            self.calls.append(name)
            return INVALID if name in self.refuses else function(*arguments)

        setattr(self, name, ctypes.CFUNCTYPE(ctypes.c_int, *types)(called))

    def _begin(self, stream, mode):
        assert mode == 1
        assert DEVICE.streams[stream] == []
        self._captured[stream], DEVICE.streams[stream] = DEVICE.streams[stream], []
        return 0

    def _end(self, stream, graph):
        work, DEVICE.streams[stream] = DEVICE.streams[stream], self._captured.pop(stream)
        if "work" in self.refuses:
            return NOT_CAPTURABLE
        graph[0] = self._new(work)
        return 0

    def _instantiate(self, executable, graph, *_):
        executable[0] = self._new(self._graphs[graph])
        return 0

    def _launch(self, executable, stream):
        if "launch" in self.refuses:
            return LAUNCH_FAILED
        for work in self._graphs[executable]:
            DEVICE.enqueue(stream, work)
        return 0

    def _destroy(self, graph):
        del self._graphs[graph]
        return 0

    def _new(self, work):
        name = next(self._names)
        self._graphs[name] = work
        return name
