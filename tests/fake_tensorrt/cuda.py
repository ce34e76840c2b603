"""`pycuda.driver` on the fake device: the names that the worker may use, and their errors."""

import mmap

import numpy as np

from fake_tensorrt.device import DEVICE, capability
from fake_tensorrt.faults import fault
from fake_tensorrt.kernel import Module


class Error(Exception):
    """Base of them all, as in pycuda."""


class LogicError(Error):
    """The caller's mistake."""


class LaunchError(Error):
    """A kernel failed; nothing on this device works any more in this process."""


class RuntimeError(Error):  # noqa: A001 - pycuda's name
    """The driver's."""


class MemoryError(Error):  # noqa: A001 - pycuda's name
    """No device memory left."""


def init():
    if fault("no_device"):
        raise RuntimeError("cuInit failed: no CUDA-capable device is detected")


def get_driver_version():
    return 12040


def _check():
    if DEVICE.failed:
        raise LaunchError(DEVICE.failed)
    if not DEVICE.contexts:
        raise LogicError("invalid device context - no currently active context?")


class Device:
    def __init__(self, number):
        if number != 0:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")

    def name(self):
        return fault("gpu")

    def compute_capability(self):
        return capability()

    def retain_primary_context(self):
        return Context()


class Context:
    def push(self):
        DEVICE.contexts += 1

    @staticmethod
    def pop():
        if not DEVICE.contexts:
            raise LogicError("cuCtxPopCurrent failed: invalid device context")
        DEVICE.contexts -= 1

    def detach(self):
        pass


class DeviceAllocation:
    def __init__(self, address):
        self._address = address

    def __int__(self):
        return self._address

    def free(self):
        _check()
        del DEVICE.memory[self._address]


def mem_alloc(size):
    _check()
    return DeviceAllocation(DEVICE.allocate(size))


def module_from_buffer(content):
    _check()
    return Module(content, LogicError)


class Stream:
    def __init__(self):
        _check()
        self.handle = DEVICE.new_stream()

    def synchronize(self):
        _check()
        DEVICE.synchronise(self.handle)
        _check()


class RegisteredHostMemory:
    """What the base of a registered array is."""

    def __init__(self, base):
        self.base = base
        self._range = (base.ctypes.data, base.ctypes.data + base.nbytes)
        DEVICE.locked.append(self._range)
        self.__array_interface__ = base.__array_interface__

    def unregister(self):
        if DEVICE.failed:
            raise LaunchError(DEVICE.failed)
        DEVICE.locked.remove(self._range)


def register_host_memory(array, flags=0):
    _check()
    if fault("no_registration"):
        raise LogicError("cuMemHostRegister failed: operation not supported")
    if array.ctypes.data % mmap.PAGESIZE or array.nbytes % mmap.PAGESIZE:
        raise LogicError("cuMemHostRegister failed: invalid argument")
    return np.asarray(RegisteredHostMemory(array))


def pagelocked_empty(shape, dtype):
    _check()
    array = np.empty(shape, dtype)
    DEVICE.locked.append((array.ctypes.data, array.ctypes.data + array.nbytes))
    return array


def memcpy_htod_async(destination, source, stream):
    memory = _memory(destination, source, "cuMemcpyHtoDAsync")

    def copy():
        memory[: source.nbytes] = source.reshape(-1).view(np.uint8)

    DEVICE.enqueue(stream.handle, copy)


def memcpy_dtoh_async(destination, source, stream):
    memory = _memory(source, destination, "cuMemcpyDtoHAsync")

    def copy():
        destination.reshape(-1).view(np.uint8)[:] = memory[: destination.nbytes]

    DEVICE.enqueue(stream.handle, copy)


def _memory(address, host, call):
    _check()
    if not DEVICE.is_locked(host):
        raise LogicError(call + ": this host memory is not page-locked")
    memory = DEVICE.at(int(address))
    if memory is None or host.nbytes > memory.nbytes or not host.flags.c_contiguous:
        raise LogicError(call + " failed: invalid argument")
    return memory
