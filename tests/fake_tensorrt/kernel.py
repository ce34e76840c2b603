"""What the fake nvcc compiled, on the CPU: the real source of warp.cu through cuda_shim.h, on the fake device's memory."""

import ctypes
import hashlib
import os
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from fake_tensorrt.device import DEVICE, capability
from fake_tensorrt.faults import take_fault

HERE = Path(__file__).parent
MAGIC = b"fake cubin "
PROGRAM = b"""
LAUNCH_OF(warp_to_uint8, Plan, unsigned char, unsigned char)
LAUNCH_OF(warp_to_float32, Plan, unsigned char, float)
extern "C" unsigned plan_bytes() { return sizeof(Plan); }
"""
# `struct Plan` of warp.cu: what the check of the launch's addresses needs of it.
PLAN = struct.Struct("@7q14i")
ELEMENTS = {"warp_to_uint8": 1, "warp_to_float32": 4}
A_LONG_TIME_S = 3600


def shared_object(source):
    """Path of the source compiled for the CPU: once on this machine."""
    whole = (HERE / "cuda_shim.h").read_bytes() + source + PROGRAM
    folder = Path(tempfile.gettempdir()) / f"fake-cuda-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / (hashlib.sha256(whole).hexdigest() + ".so")
    if not library.exists():
        beside = library.with_suffix(f".{os.getpid()}")
        options = ["-std=c++14", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        text = b'#include "cuda_shim.h"\n' + source + PROGRAM
        subprocess.run(["c++", *options, f"-I{HERE}", "-xc++", "-", "-o", str(beside)], input=text, check=True)
        beside.rename(library)
    return library


def code(source, architecture):
    """What the fake nvcc writes."""
    return MAGIC + architecture.encode() + b"\n" + source


class Module:
    """`pycuda.driver.Module`."""

    def __init__(self, content, error):
        head, _, source = bytes(content).partition(b"\n")
        if not head.startswith(MAGIC):
            raise error("cuModuleLoadDataEx failed: device kernel image is invalid")
        if head[len(MAGIC) :].decode() != "sm_{}{}".format(*capability()):
            raise error("cuModuleLoadDataEx failed: no kernel image is available for execution on the device")
        self._library, self._error = ctypes.CDLL(str(shared_object(source))), error

    def get_function(self, name):
        if name not in ELEMENTS:
            raise self._error("cuModuleGetFunction failed: named symbol not found")
        return Function(getattr(self._library, "run_" + name), name)


class Function:
    """`pycuda.driver.Function`, prepared."""

    def __init__(self, run, name):
        self._run, self._name = run, name

    def prepare(self, arg_types):
        self._format = "".join(arg_types)

    def prepared_async_call(self, grid, block, stream, *arguments):
        if take_fault("warp launch"):
            from fake_tensorrt.cuda import LogicError

            raise LogicError("cuLaunchKernel failed: invalid argument")
        plan, frame, image = struct.unpack(self._format, struct.pack(self._format, *arguments))
        DEVICE.enqueue(stream.handle, lambda: self._work(grid, block, plan, frame, image))

    def _work(self, grid, block, plan, frame, image):
        kind = take_fault("warp")
        if kind == "hang":
            time.sleep(A_LONG_TIME_S)
        if kind == "cuda error" or not self._reaches(plan, frame, image):
            DEVICE.failed = "cuStreamSynchronize failed: an illegal memory access was encountered"
            return
        sizes = [(ctypes.c_uint * 2)(*size[:2]) for size in (grid, block)]
        where = [ctypes.c_void_p(DEVICE.at(address).ctypes.data) for address in (frame, image)]
        self._run(sizes[0], sizes[1], plan, *where)
        _spoil(kind, DEVICE.at(image), PLAN.unpack(plan)[17], ELEMENTS[self._name])

    def _reaches(self, plan, frame, image):
        """Whether frame and image lie wholly in their memory."""
        numbers = PLAN.unpack(plan)
        pitch, (width, height), (out_width, out_height, channels), kind = numbers[6], numbers[7:9], numbers[15:18], numbers[18]
        read = (height - 1) * pitch + width * (3 if kind == 1 else 1)
        written = out_width * out_height * channels * ELEMENTS[self._name]
        return all(DEVICE.at(start) is not None and size <= DEVICE.at(start).nbytes for start, size in ((frame, read), (image, written)))


def _spoil(kind, image, channels, element):
    levels = image.view(np.uint8 if element == 1 else np.float32)
    if kind == "swapped channels" and channels == 3:
        pixels = levels[: levels.size // 3 * 3].reshape(-1, 3)
        pixels[:] = pixels[:, ::-1].copy()
    if kind == "two levels more":
        levels[:] = np.minimum(levels, 253) + 2
