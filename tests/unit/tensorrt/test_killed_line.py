"""A line that is killed with kill -9 leaves no worker and no shared memory, whatever the worker was doing."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import named_memory

PATIENCE_S = 30


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(condition) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


PARENT = """
import json, os, sys
from pathlib import Path
import numpy as np
from edge_inspect.geometry import place
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.tensorrt_runtime import GoldenAnswers, open_tensorrt
model, plan, faults, kind = sys.argv[1:]
with open_tensorrt(model=open_model_folder(Path(model)), plan=Path(plan), timeout_ms=60000,
                   library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda") as engine:
    Path(faults).write_text(json.dumps({"execute": kind}))
    print(engine._engine.process.pid, flush=True)
    engine.infer(np.zeros((48, 64, 3), np.uint8), place(64, 48, None, width=64, height=48, channels=3))
"""


@pytest.mark.parametrize("kind", ["hang", "hang holding the interpreter"])
def test_a_hanging_worker_ends_with_a_line_that_is_killed(kind, plan_of, tmp_path, monkeypatch):
    model, plan = plan_of("10.3.0")
    monkeypatch.setenv("FAKE_TENSORRT_FAULTS", str(tmp_path / "told.json"))
    shared = named_memory()
    command = [sys.executable, "-c", PARENT, str(model.path), str(plan), str(tmp_path / "told.json"), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert psutil.Process(worker).is_running()
        parent.kill()
    wait_until(lambda: is_gone(worker))
    assert named_memory() == shared
