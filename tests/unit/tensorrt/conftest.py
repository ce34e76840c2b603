"""The fakes by name, for this process and for a worker; and a file that tells them what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from edge_inspect.model_folder import ModelFolder, open_model_folder

TESTS = Path(__file__).parents[2]
sys.path += [str(TESTS), str(Path(__file__).parent)]

from fake_tensorrt import load  # noqa: E402
from fake_tensorrt.parts import write_part_plan  # noqa: E402

# Parser and builder need onnx; the line's own environments have none. What runs a plan needs none.
NEED_ONNX = [
    "test_fakes.py",
    "test_float_input.py",
    "test_tensorrt_build.py",
    "test_rtx_builds.py",
    "test_targets.py",
    "test_cli_build.py",
    "test_warp_compiler.py",
]
collect_ignore = [] if find_spec("onnx") else NEED_ONNX
collect_ignore += [] if find_spec("torch") else ["test_via_torch_tensorrt.py"]

Faults = Callable[..., Path]
MODELS = TESTS / "golden" / "models"


@pytest.fixture(autouse=True)
def fake_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that no earlier test has touched."""
    from fake_tensorrt import cuda, device, execution, kernel

    fresh = device.Device()
    for module in (cuda, device, execution, kernel):
        monkeypatch.setattr(module, "DEVICE", fresh)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Faults:
    """Sets what is wrong with the device from now on, here and in workers that start later; the file that says so."""
    path = tmp_path / "faults.json"
    monkeypatch.setenv("FAKE_TENSORRT_FAULTS", str(path))

    def set_faults(**faults: object) -> Path:
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(faults))
        beside.replace(path)
        return path

    return set_faults


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Makes `fake_tensorrt.tensorrt` the fake of one version, here and in workers, with a compiler to its GPU; the module."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setenv("PATH", str(TESTS / "fake_tensorrt" / "bin"), prepend=os.pathsep)

    def choose(version: str) -> ModuleType:
        monkeypatch.setenv("FAKE_TENSORRT_VERSION", version)
        monkeypatch.delitem(sys.modules, "fake_tensorrt.tensorrt", raising=False)
        return load(version)

    return choose


@pytest.fixture
def plan_of(tmp_path: Path, fake: Callable[[str], ModuleType]) -> Callable[..., tuple[ModelFolder, Path]]:
    """A model folder, and a plan of it for the fake device; no onnx is needed."""

    def write(version: str, name: str = "tiny", graph: bytes | None = None, *, warp: bool = False) -> tuple[ModelFolder, Path]:
        if warp and shutil.which("c++") is None:
            pytest.skip("no C++ compiler, c++, to run the kernel's source on the CPU")
        trt, model = fake(version), open_model_folder(MODELS / name)
        if graph is None and not hasattr(trt.DataType, "UINT8"):
            graph = (MODELS / "variants" / "input_float.onnx").read_bytes()
        return model, write_part_plan(tmp_path / f"{name}.plan", trt, model, graph, warp=warp)

    return write
