"""What is wrong with the fake device: a JSON file named by the environment, read at every call, so that a test can change it.

capability       [major, minor] of the GPU (default [8, 6])
gpu              its name
no_device        Builder and Runtime raise pybind's TypeError, cuda.init its own error
parser_refuses   {node name or operator: what the parser says of it}
build, deserialize, context   true: gives None
execute          "false", "hang", "hang holding the interpreter", "cuda error", "exit", "killed", "memory" or "other answers"
no_registration  the device cannot page-lock memory that it did not allocate (Jetson Nano)
warp             the kernel: "hang", "cuda error", "swapped channels" or "two levels more"
warp launch      true: its launch is refused
once             the first of these three that happens takes the file away
"""

import json
import os
from pathlib import Path

FILE = "FAKE_TENSORRT_FAULTS"
DEFAULTS = {"capability": [8, 6], "gpu": "Fake RTX 3060"}


def fault(name):
    """The setting, its default, or None."""
    return _read().get(name, DEFAULTS.get(name))


def take_fault(name):
    """What goes wrong now; a fault that happens once is gone then."""
    settings = _read()
    kind = settings.get(name)
    if kind and settings.get("once"):
        Path(os.environ[FILE]).unlink()
    return kind


def _read():
    path = os.environ.get(FILE)
    if not path or not Path(path).exists():
        return {}
    return json.loads(Path(path).read_text())
