"""The real pycuda without a GPU: no driver, a driver without a device, and the names that the worker calls.

It builds from source for some minutes, so it is in no environment of ours: EDGE_INSPECT_PYCUDA_PYTHON names an interpreter that has it
and numpy (docs/desktop-gpu.md says how to build it).
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_inspect.errors import EngineError
from edge_inspect.runtimes import tensorrt_worker
from edge_inspect.runtimes.tensorrt_runtime import open_tensorrt

WITH_PYCUDA = "import importlib.util as u; print(u.find_spec('pycuda._driver').origin)"

TOLD = 'int cuGetErrorString(int code, const char **text) { *text = "no CUDA-capable device is detected"; return code * 0; }'


def said(python: Path, program: str) -> str | None:
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with pycuda, on a machine without NVIDIA's driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("this machine has NVIDIA's driver: it has nothing to refuse")
    found = Path(os.environ.get("EDGE_INSPECT_PYCUDA_PYTHON", sys.executable))
    if said(found, WITH_PYCUDA) is None:
        pytest.skip(f"{found} has no pycuda; name one that has: EDGE_INSPECT_PYCUDA_PYTHON")
    return found


@pytest.fixture
def no_device(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that finds no GPU: every function that pycuda wants of it says so."""
    if shutil.which("cc") is None or shutil.which("nm") is None:
        pytest.skip("no cc and nm to make a driver without a device")
    wanted = subprocess.run(["nm", "-D", "--undefined-only", said(python, WITH_PYCUDA)], capture_output=True, text=True, check=True).stdout
    names = sorted(set(re.findall(r"\b(cu[A-Z]\w*)", wanted)) - {"cuGetErrorString"})
    source = "\n".join([TOLD, *(f"int {name}(void) {{ return 100; }}" for name in names)])
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-xc", "-", "-o", str(library)], input=source, text=True, check=True)
    others = os.environ.get("LD_LIBRARY_PATH", "")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}:{others}")


def opened(model_and_plan, python):
    model, plan = model_and_plan
    return open_tensorrt(model=model, plan=plan, python=python, library="fake_tensorrt.tensorrt")


def test_a_machine_without_a_driver_is_one_sentence(python, plan_of):
    sentence = r"tiny\.plan: pycuda\.driver cannot be imported by .*python\S*: libcuda\.so\.1: cannot open shared object file"
    with pytest.raises(EngineError, match=sentence) as refusal, opened(plan_of("10.3.0"), python):
        pass
    assert "\n" not in str(refusal.value)


def test_a_driver_without_a_gpu_is_one_sentence(python, no_device, plan_of):
    with (
        pytest.raises(EngineError, match=r"tiny\.plan: no usable GPU: cuInit failed: no CUDA-capable device is detected") as refusal,
        opened(plan_of("10.3.0"), python),
    ):
        pass
    assert "\n" not in str(refusal.value)


@pytest.mark.workshop
def test_a_build_without_a_gpu_is_one_sentence(python, plan_of, request):
    pytest.importorskip("onnx")
    from edge_inspect.workshop.tensorrt_api import Elsewhere

    plan_of("10.3.0")
    there = Elsewhere(python, "fake_tensorrt.tensorrt")
    with pytest.raises(EngineError, match=r"^pycuda\.driver cannot be used by .*python\S*: libcuda\.so\.1: cannot open shared object file"):
        there.read_gpu()
    request.getfixturevalue("no_device")
    with pytest.raises(EngineError, match=r"no usable GPU here \(cuInit failed: no CUDA-capable device is detected\)"):
        there.read_gpu()


def test_pycuda_has_every_name_that_the_worker_calls_and_packs_what_the_kernel_is_told(python, no_device):
    source = Path(tensorrt_worker.__file__).read_text(encoding="utf-8")
    names = sorted(set(re.findall(r"\b_?cuda\.([A-Za-z_]\w*)\(", source)) | {"Error", "Context", "Function"})
    assert {"init", "Device", "Stream", "mem_alloc", "module_from_buffer", "memcpy_htod_async"} <= set(names)
    program = f"""
import pycuda.driver as driver
from pycuda._pvt_struct import pack
print([name for name in {names} if not hasattr(driver, name)])
print([name for name in ("prepare", "prepared_async_call") if not hasattr(driver.Function, name)])
print(hasattr(driver.Device, "retain_primary_context"), len(pack("112sPP", bytes(112), 2**40, 2**41)))
"""
    assert said(python, program).splitlines() == ["[]", "[]", "True 128"]
