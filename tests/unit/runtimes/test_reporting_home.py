"""The inference libraries upload usage data when they are imported; under this package they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = Path(__file__).parents[2] / "golden" / "models" / "tiny"
PROGRAM = """
import sys, threading
opened = []
sys.addaudithook(lambda event, arguments: opened.append(event) if event.startswith("socket.") else None)
from pathlib import Path
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.{module} import {factory}
with {factory}(model=open_model_folder(Path(sys.argv[1]))):
    assert not opened, opened
    assert threading.active_count() == 1, threading.enumerate()
assert not [name for name in sys.modules if name.split(".")[0] in ("onnx", "torch")]
"""


@pytest.mark.parametrize(
    ("module", "factory"), [("openvino_runtime", "open_openvino"), ("onnx_runtime", "open_onnx"), ("reference", "open_reference")]
)
def test_opening_an_engine_leaves_no_trace_at_home_and_opens_no_socket(module, factory, tmp_path):
    # Without CI, or the libraries keep quiet by themselves, and without what we set for our own process.
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"}}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module, factory=factory), str(TINY)],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
