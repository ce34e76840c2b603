"""warp.cu compiled when a plan is built: by nvcc, by NVRTC, and what is said where there is neither."""

from __future__ import annotations

import pytest

from edge_inspect.errors import EngineError
from edge_inspect.runtimes.gpu_warp import KERNEL_FILE
from edge_inspect.workshop import warp_compiler
from edge_inspect.workshop.warp_compiler import compile_warp, nvrtc_libraries

pytestmark = pytest.mark.workshop


@pytest.fixture
def nvcc(tmp_path, monkeypatch):
    """Writes the only nvcc of this machine."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(warp_compiler, "NVCC_PLACES", ())

    def write(script):
        path = tmp_path / "nvcc"
        path.write_text(script)
        path.chmod(0o755)
        return path

    return write


def test_nvcc_is_told_the_gpu_and_the_source(nvcc):
    nvcc('#!/bin/sh\n[ "$1" = --version ] && { echo release 12.6; echo V12.6.68; exit; }\necho "$@" > "$5"\n')
    compiled = compile_warp("8.7")
    assert compiled.compiler == "nvcc, V12.6.68"
    told = compiled.code.decode().split()
    assert told[:4] == ["-cubin", "-arch=sm_87", "-std=c++14", "-o"]
    assert told[5:] == [str(KERNEL_FILE)]


def test_an_nvcc_that_does_not_know_the_gpu_is_quoted(nvcc):
    path = nvcc("#!/bin/sh\necho \"nvcc fatal: Unsupported gpu architecture 'sm_53'\" >&2\nexit 1\n")
    with pytest.raises(EngineError, match=rf"{path} does not compile warp\.cu for sm_53: nvcc fatal: Unsupported gpu architecture 'sm_53'"):
        compile_warp("5.3")


def test_an_nvcc_that_cannot_be_started_is_named(nvcc):
    nvcc("#!/no/such/shell\n")
    with pytest.raises(EngineError, match="nvcc: cannot be started: No such file or directory; install the CUDA toolkit again"):
        compile_warp("8.6")


def test_nvcc_is_found_where_nvidia_puts_it_though_no_path_says_so(nvcc, monkeypatch):
    place = nvcc('#!/bin/sh\n[ "$1" = --version ] || echo code > "$5"\n')
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(warp_compiler, "NVCC_PLACES", (place,))
    assert compile_warp("8.6").compiler == "nvcc, version unknown"


def test_a_machine_without_a_compiler_is_told_what_to_install(nvcc, monkeypatch):
    monkeypatch.setattr(warp_compiler, "nvrtc_libraries", lambda: iter(()))
    with pytest.raises(EngineError, match=r"no CUDA compiler here: put nvcc on the PATH .*edge-inspect\[cuda-compile\]"):
        compile_warp("8.6")


def test_nvrtc_of_its_package_compiles_where_there_is_no_nvcc(nvcc):
    if next(nvrtc_libraries(), None) is None:
        pytest.skip("no NVRTC: pip install 'edge-inspect[cuda-compile]'")
    compiled = compile_warp("8.6")
    assert compiled.code.startswith(b"\x7fELF")
    assert compiled.compiler.startswith("NVRTC 1")
    with pytest.raises(EngineError, match=r"does not compile warp\.cu for sm_11: .*invalid value for --gpu-architecture"):
        compile_warp("1.1")
