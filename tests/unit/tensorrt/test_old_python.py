"""The worker under the Python that the oldest devices have (Jetson Nano: 3.6), where such an interpreter is here."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from edge_inspect.runtimes.tensorrt_runtime import open_tensorrt
from edge_inspect.testing import check_runtime

ROOT = Path(__file__).parents[3]
VERSIONS = ["3.6", "3.7", "3.8"]


@cache
def interpreter(version: str) -> Path | None:
    """An interpreter of this version: the one that EDGE_INSPECT_OLD_PYTHON names, or one that tools/find-python finds."""
    named = os.environ.get("EDGE_INSPECT_OLD_PYTHON", "")
    if named and said(Path(named), "import sys; print('%d.%d' % sys.version_info[:2])") == version:
        return Path(named)
    found = subprocess.run([str(ROOT / "tools" / "find-python"), version], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def said(python: Path, program: str) -> str | None:
    """What a program prints; None when it fails."""
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def wanted(version: str) -> Path:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    return python


@pytest.mark.parametrize("file", ["runtimes/tensorrt_worker.py", "workshop/tensorrt_builder.py"])
@pytest.mark.parametrize("version", VERSIONS)
def test_worker_and_builder_compile_on_an_old_python(version, file):
    path = ROOT / "edge_inspect" / file
    program = f"source = open({str(path)!r}, encoding='utf-8').read(); compile(source, 'worker', 'exec'); print('compiled')"
    assert said(wanted(version), program) == "compiled"


@pytest.mark.parametrize("warp", [False, True], ids=["warped here", "warped on the GPU"])
@pytest.mark.parametrize("tensorrt", ["8.2.1", "8.6.1"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_worker_keeps_its_promises_under_an_old_python(version, tensorrt, warp, plan_of, monkeypatch):
    python = wanted(version)
    if said(python, "import numpy, onnxruntime") is None:
        pytest.skip(f"{python} has no numpy and onnxruntime; name one that has: EDGE_INSPECT_OLD_PYTHON")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    model, plan = plan_of(tensorrt, warp=warp)

    def opened():
        return open_tensorrt(model=model, plan=plan, python=python, library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda")

    check_runtime(opened, model)


@pytest.mark.workshop
@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_is_built_under_an_old_python(version, plan_of, monkeypatch):
    python = wanted(version)
    if said(python, "import onnx, onnxruntime") is None:
        pytest.skip(f"{python} has no onnx, which the fake parser needs; name one that has: EDGE_INSPECT_OLD_PYTHON")
    pytest.importorskip("onnx")
    from edge_inspect.workshop.tensorrt_api import Elsewhere
    from edge_inspect.workshop.tensorrt_build import BuildSpec, build_plan

    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    model, _ = plan_of("8.2.1")
    there = Elsewhere(python, "fake_tensorrt.tensorrt")
    built = build_plan(there, model.model_file.read_bytes(), BuildSpec(precision="fp16", gpu=there.read_gpu("fake_tensorrt.cuda")))
    assert built.sidecar.float_input
    assert built.sidecar.tensorrt == "8.2.1.8"
