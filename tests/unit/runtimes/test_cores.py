"""An engine held to cores."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.plugins import prepare
from edge_inspect.runtimes.cores import on_cores
from tests.conftest import MODELS

USABLE = sorted(os.sched_getaffinity(0))
KINDS = ["onnx", pytest.param("openvino", marks=pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO has no build here"))]
THREADS_OF_AN_ENGINE = """
import os, sys
from pathlib import Path
from edge_inspect.config import PluginBlock
from edge_inspect.model_folder import open_model_folder
from edge_inspect.plugins import prepare
import numpy, cv2, {library}
before = set(os.listdir("/proc/self/task"))
model = open_model_folder(Path(sys.argv[1]))
block = PluginBlock(kind=sys.argv[2], cores=[{core}], threads=2)
with prepare("runtimes", block, base=Path.cwd(), given=dict(model=model))():
    started = set(os.listdir("/proc/self/task")) - before
    print([sorted(os.sched_getaffinity(int(thread))) for thread in [*started, "0"]])
print(sorted(os.sched_getaffinity(0)))
"""


def opener(tiny, **options):
    return prepare("runtimes", PluginBlock(kind="onnx", **options), base=MODELS, given={"model": tiny})


@pytest.mark.parametrize("kind", KINDS)
def test_every_thread_that_an_engine_starts_is_held_to_its_cores(kind):
    """In a process of its own: a library keeps the threads that it has started for whoever came first."""
    library = {"onnx": "onnxruntime", "openvino": "openvino"}[kind]
    program = THREADS_OF_AN_ENGINE.format(library=library, core=USABLE[-1])
    said = subprocess.run([sys.executable, "-c", program, str(MODELS / "tiny"), kind], capture_output=True, text=True, check=True).stdout
    during, afterwards = map(eval, said.splitlines())
    assert all(cores == [USABLE[-1]] for cores in during)
    assert afterwards == USABLE


def test_a_core_that_is_not_there_is_refused_before_anything_is_opened():
    with pytest.raises(EngineError, match=r"cores: 4000 cannot be used here, this process may use .*; correct `cores`"), on_cores([4000]):
        pytest.fail("opened")
    assert sorted(os.sched_getaffinity(0)) == USABLE


def test_without_cores_nothing_changes():
    with on_cores(()):
        assert sorted(os.sched_getaffinity(0)) == USABLE


def test_the_cores_are_given_back_when_the_engine_fails():
    with pytest.raises(ZeroDivisionError), on_cores(USABLE[:1]):
        raise ZeroDivisionError
    assert sorted(os.sched_getaffinity(0)) == USABLE


def test_cores_are_numbers():
    with pytest.raises(ConfigError, match="cores"):
        opener(None, cores=[-1])
