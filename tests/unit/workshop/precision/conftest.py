from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_inspect.config import load_recipe

if TYPE_CHECKING:
    import onnx

    from edge_inspect.workshop.teach import Taught

collect_ignore_glob = [] if find_spec("onnx") else ["test_*.py"]


def small_graph() -> onnx.ModelProto:
    """Light, a network of three convolutions with a residual branch, and a score after it; frame (1, 16, 16, 1)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)

    def constant(name: str, values: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(values, np.float32), name)

    def convolution(name: str, came: str, goes: str, weights: str) -> onnx.NodeProto:
        return helper.make_node("Conv", [came, weights], [goes], name=name, pads=[1, 1, 1, 1])

    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], name="turn", perm=[0, 3, 1, 2]),
        convolution("light", "planes", "even", "blur"),
        helper.make_node("Mul", ["even", "gain"], ["scaled"], name="scale"),
        convolution("first", "scaled", "a", "w1"),
        helper.make_node("Relu", ["a"], ["b"], name="bend"),
        convolution("second", "b", "c", "w2"),
        helper.make_node("Add", ["c", "b"], ["d"], name="residual"),
        convolution("third", "d", "e", "w3"),
        helper.make_node("ReduceMean", ["e"], ["score_map"], name="mean", axes=[1], keepdims=1),
        helper.make_node("ReduceMax", ["score_map"], ["image_score"], name="most", axes=[1, 2, 3], keepdims=0),
    ]
    outer = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("frame", TensorProto.UINT8, [1, 16, 16, 1]),
            ("score_map", TensorProto.FLOAT, [1, 1, 16, 16]),
            ("image_score", TensorProto.FLOAT, [1]),
        )
    ]
    weights = [
        constant("blur", np.full((1, 1, 3, 3), 1 / 9)),
        constant("gain", np.float32(1 / 255)),
        constant("w1", random.normal(0, 0.3, (8, 1, 3, 3))),
        constant("w2", random.normal(0, 0.1, (8, 8, 3, 3))),
        constant("w3", random.normal(0, 0.1, (16, 8, 3, 3))),
    ]
    graph = helper.make_graph(nodes, "small", outer[:1], outer[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def small() -> onnx.ModelProto:
    return small_graph()


@pytest.fixture(scope="session")
def noise() -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (16, 16, 1), dtype=np.uint8) for seed in range(12)]


@pytest.fixture(scope="session")
def taught(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Taught]:
    """A part taught once; tests that change its folder copy it first."""
    from edge_inspect.workshop.teach import teach

    file = tmp_path_factory.mktemp("part") / "recipe.yaml"
    file.write_text("part: plate\nengine: engine\n", encoding="utf-8")
    return file, teach(sorted(good_folder.iterdir()), recipe=load_recipe(file), width=64, height=64)
