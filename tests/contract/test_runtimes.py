"""The built-in runtimes keep the promises that third parties are held to."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from edge_inspect.model_folder import open_model_folder
from edge_inspect.plugins import load_factory
from edge_inspect.testing import check_runtime

MODELS = Path(__file__).parents[1] / "golden" / "models"


@pytest.mark.parametrize("name", ["tiny", "tiny_mono", "tiny_own", "tiny_highest"])
@pytest.mark.parametrize("kind", ["openvino", "onnx", "reference"])
def test_a_built_in_runtime_keeps_its_promises(kind, name):
    model = open_model_folder(MODELS / name)
    check_runtime(partial(load_factory("runtimes", kind), model=model), model)
