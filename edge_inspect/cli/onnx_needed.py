"""The workshop's verbs need onnx, which the line does without."""

from importlib.util import find_spec

from edge_inspect.errors import ConfigError


def refuse_without_onnx(verb: str) -> None:
    """Say which extra a verb needs.

    Raises:
        ConfigError: the package onnx is not installed.
    """
    if find_spec("onnx") is None:
        raise ConfigError(f"{verb} needs the package onnx, which is not installed: pip install 'edge-inspect[{verb}]'")
