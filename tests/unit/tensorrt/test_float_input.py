"""The variant for TensorRT 8.2: the same scores from float32 pixels."""

from __future__ import annotations

from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edge_inspect.runtimes  # noqa: F401  before onnxruntime: keeps it from reporting home
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import open_model_folder
from edge_inspect.workshop.float_input import float_input

pytestmark = pytest.mark.workshop
MODELS = Path(__file__).parents[2] / "golden" / "models"


@pytest.mark.parametrize("name", ["tiny", "tiny_mono", "tiny_own"])
def test_the_golden_frames_get_the_same_bits_from_float_pixels(name):
    import onnxruntime

    model = open_model_folder(MODELS / name)
    session = onnxruntime.InferenceSession(float_input(model.model_file.read_bytes()), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(float)"
    golden = model.load_golden()
    for frame, score_map, score in zip(golden.images, golden.maps, golden.scores, strict=True):
        got_map, got_score = session.run(None, {"frame": frame[None].astype(np.float32)})
        np.testing.assert_array_equal(got_map[0, 0], score_map)
        assert got_score[0] == pytest.approx(score, rel=1e-6)


def edited(edit) -> bytes:
    model = onnx.load_from_string(graphs.tiny())
    edit(model)
    return model.SerializeToString()


def cast_to_half(model):
    helper.get_attribute_value(model.graph.node[0].attribute[0])
    model.graph.node[0].attribute[0].i = TensorProto.FLOAT16


def second_reader(model):
    model.graph.node.append(helper.make_node("Identity", ["frame"], ["copy"]))


def newer_opset(model):
    model.opset_import[0].version = 14


def pixels_out(model):
    model.graph.output.append(helper.make_tensor_value_info("grey", TensorProto.FLOAT, [1, 48, 64, 3]))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (cast_to_half, "frame is read by Cast, wanted one Cast to float32"),
        (second_reader, "frame is read by Cast, Identity, wanted one Cast"),
        (newer_opset, "opset 14, TensorRT without uint8 takes 13 at most"),
        (pixels_out, "the graph gives its pixels out"),
    ],
)
def test_a_graph_that_does_not_start_with_one_cast_is_refused(edit, sentence):
    with pytest.raises(EngineError, match=sentence):
        float_input(edited(edit))
