"""`warp.cu` compiled for one kind of GPU, when a plan is built: by the device's own nvcc, or by NVRTC from its package.

Neither needs a GPU. nvcc comes first: on a Jetson it is the one that belongs to the driver.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.errors import EngineError
from edge_inspect.runtimes.gpu_warp import KERNEL_FILE

NVCC_PLACES = (Path("/usr/local/cuda/bin/nvcc"),)
"""Where it is though no PATH says so: JetPack and NVIDIA's packages."""

STANDARD = "-std=c++14"
NVRTC_MAJORS = (13, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A kernel: its code, and what compiled it."""

    code: bytes
    compiler: str


def compile_warp(compute_capability: str) -> Compiled:
    """Compile the warp for GPUs of this compute capability, such as 8.7.

    Raises:
        EngineError: there is no compiler here, or it does not know this GPU.
    """
    architecture = "sm_" + compute_capability.replace(".", "")
    nvcc = find_nvcc()
    if nvcc is not None:
        return _by_nvcc(nvcc, architecture)
    for library in nvrtc_libraries():
        return _by_nvrtc(library, architecture)
    raise EngineError(
        "no CUDA compiler here: put nvcc on the PATH (/usr/local/cuda/bin on a Jetson), or pip install 'edge-inspect[cuda-compile]'"
    )


def find_nvcc() -> Path | None:
    """nvcc, on the PATH or where NVIDIA puts it."""
    found = shutil.which("nvcc")
    return Path(found) if found else next((path for path in NVCC_PLACES if path.is_file()), None)


def nvrtc_libraries() -> Iterator[Path]:
    """NVRTC of the packages nvidia-cuda-nvrtc*, newest first."""
    found = importlib.util.find_spec("nvidia")
    for major in NVRTC_MAJORS:
        for folder in (found.submodule_search_locations or ()) if found else ():
            yield from sorted(Path(folder).glob(f"*/lib/libnvrtc.so.{major}"))


def _by_nvcc(nvcc: Path, architecture: str) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "warp.cubin"
        done = _run([str(nvcc), "-cubin", f"-arch={architecture}", STANDARD, "-o", str(target), str(KERNEL_FILE)])
        if done.returncode != 0:
            raise EngineError(f"{nvcc} does not compile {KERNEL_FILE.name} for {architecture}: {_one_line(done.stdout + done.stderr)}")
        version = _run([str(nvcc), "--version"]).stdout.strip().splitlines()
        return Compiled(code=target.read_bytes(), compiler=f"nvcc, {version[-1] if version else 'version unknown'}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise EngineError(f"{command[0]}: cannot be started: {error.strerror}; install the CUDA toolkit again") from error


def _by_nvrtc(path: Path, architecture: str) -> Compiled:
    library, program = ctypes.CDLL(str(path)), ctypes.c_void_p()
    options = (ctypes.c_char_p * 2)(b"-" + STANDARD.encode(), f"--gpu-architecture={architecture}".encode())
    name = KERNEL_FILE.name.encode()
    if library.nvrtcCreateProgram(ctypes.byref(program), KERNEL_FILE.read_bytes(), name, 0, None, None) != 0:
        raise EngineError(f"{path}: NVRTC cannot start; install nvidia-cuda-nvrtc-cu12 again")
    try:
        if library.nvrtcCompileProgram(program, len(options), options) != 0:
            said = _one_line(_content(library, "ProgramLog", program).decode(errors="replace"))
            raise EngineError(f"{path} does not compile {KERNEL_FILE.name} for {architecture}: {said}")
        return Compiled(code=_content(library, "CUBIN", program), compiler=f"NVRTC {_version(library)}")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _content(library: Any, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, content)
    return content.raw


def _version(library: Any) -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300] or "it gives no reason"
