"""The frozen network whose features a part is taught on: the file shipped in `backbones/`, checked by its hash.

EfficientNet-Lite0 (Tan and Le 2019; weights Apache-2.0), truncated at one sixteenth of the image. Where the file comes from,
and how to make it again, stands in `backbones/efficientnet_lite0.json`.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from typing import Any

import onnx

from edge_inspect.errors import EngineError

NAME = "efficientnet_lite0"
LEVELS = {"level4": 24, "level8": 40, "level16": 112}
"""Outputs of the backbone and their channels; `level8` is one eighth of the image."""

MULTIPLE = 16
"""Width and height of the network's image are multiples of this: the coarsest level must have whole cells."""


def load_backbone() -> onnx.ModelProto:
    """Read the shipped backbone: `image` (n, 3, H, W) float32, RGB 0 to 255, to `LEVELS` (n, c, H/s, W/s) float32.

    Raises:
        EngineError: the file is missing or is not the one that was shipped.
    """
    folder = resources.files("edge_inspect.workshop") / "backbones"
    try:
        content = (folder / f"{NAME}.onnx").read_bytes()
        wanted = json.loads((folder / f"{NAME}.json").read_bytes())["sha256"]
    except OSError as error:
        raise EngineError(f"{folder}: the backbone cannot be read: {error.strerror}; install edge-inspect again") from error
    got = hashlib.sha256(content).hexdigest()
    if got != wanted:
        raise EngineError(f"{folder / f'{NAME}.onnx'}: hash {got[:12]}, shipped was {wanted[:12]}; install edge-inspect again")
    return onnx.load_from_string(content)


def describe_backbone() -> dict[str, Any]:
    """What stands beside the backbone: source package, licence, hash, and the command that made it."""
    text = (resources.files("edge_inspect.workshop") / "backbones" / f"{NAME}.json").read_text(encoding="utf-8")
    description: dict[str, Any] = json.loads(text)
    return description
