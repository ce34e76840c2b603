"""The workshop's verbs need packages which the line does without."""

from collections.abc import Mapping
from importlib.util import find_spec

from edge_inspect.errors import ConfigError

EVALUATION = {"sklearn": "scikit-learn", "scipy": "scipy", "matplotlib": "matplotlib"}
"""What `evaluate` imports, and the packages it comes in."""

TRAINING = {"torch": "torch", "onnx": "onnx", "onnxslim": "onnxslim"}
"""What `train` and `export` import, likewise."""


def refuse_without_onnx(verb: str) -> None:
    """Say which extra a verb needs.

    Raises:
        ConfigError: the package onnx is not installed.
    """
    refuse_without(verb, {"onnx": "onnx"})


def refuse_without(verb: str, packages: Mapping[str, str], *, extra: str | None = None) -> None:
    """Say which extra a verb needs.

    Args:
        verb: the verb.
        packages: by the name they are imported with.
        extra: its name; None where it is called as the verb.

    Raises:
        ConfigError: a package is not installed.
    """
    for module, package in packages.items():
        if find_spec(module) is None:
            raise ConfigError(f"{verb} needs the package {package}, which is not installed: pip install 'edge-inspect[{extra or verb}]'")
