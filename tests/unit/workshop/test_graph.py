import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.backbone import LEVELS, load_backbone
from edge_inspect.workshop.graph import gaussian_kernel, write_features, write_graph
from edge_inspect.workshop.padim import Head, distance, embedding

pytestmark = pytest.mark.workshop

# operators.md of onnx-tensorrt, branch 8.2-GA: all with support for these attributes.
TENSORRT_8_2 = {"Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "MatMul", "Mul", "Pad", "ReduceL2", "ReduceMax", "Reshape"} | {
    "Resize",
    "Sub",
    "Transpose",
}
DIMENSIONS = 12
EMBED = embedding(sum(LEVELS.values()), DIMENSIONS, seed=0)


@pytest.fixture(scope="module")
def backbone() -> onnx.ModelProto:
    return load_backbone()


def head(size: ImageSize, *, block: int = 2) -> Head:
    random = np.random.default_rng(1)
    height, width = size.height // 8, size.width // 8
    return Head(
        mean=random.standard_normal((DIMENSIONS, height, width)).astype(np.float32),
        whitening=random.standard_normal((height * width // block**2, DIMENSIONS, DIMENSIONS)).astype(np.float32),
        block=block,
    )


def run(model: onnx.ModelProto, frame: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"frame": frame[None]})


def picture(size: ImageSize, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size.height, size.width, size.channels), dtype=np.uint8)


SIZES = [ImageSize(width=64, height=64, channels=1), ImageSize(width=96, height=64, channels=3)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("block", [1, 2, 4])
def test_the_graph_computes_the_papers_distance_resized_and_smoothed(backbone: onnx.ModelProto, size: ImageSize, block: int) -> None:
    frame, gaussians = picture(size), head(size, block=block)
    features = run(write_features(backbone, EMBED, size=size), frame)[0]
    score_map, image_score = run(write_graph(backbone, EMBED, gaussians, size=size, sigma=1.0), frame)
    fine = cv2.resize(distance(features, gaussians)[0], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    wanted = cv2.GaussianBlur(fine, (7, 7), 1.0, borderType=cv2.BORDER_REPLICATE)
    assert score_map.shape == (1, 1, size.height // 4, size.width // 4)
    np.testing.assert_allclose(score_map[0, 0], wanted, rtol=1e-4)
    assert image_score.shape == (1,)
    assert image_score[0] == score_map.max()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_onnx_reference_which_shares_no_code_with_any_runtime_agrees(backbone: onnx.ModelProto, size: ImageSize) -> None:
    model, frame = write_graph(backbone, EMBED, head(size), size=size), picture(size)
    wanted = ReferenceEvaluator(model).run(None, {"frame": frame[None]})
    for got, reference in zip(run(model, frame), wanted, strict=True):
        np.testing.assert_allclose(got, reference, rtol=1e-4)


def test_a_grey_picture_scores_as_the_same_picture_in_rgb(backbone: onnx.ModelProto) -> None:
    grey, colour = ImageSize(width=64, height=64, channels=1), ImageSize(width=64, height=64, channels=3)
    frame, gaussians = picture(grey), head(grey)
    narrow = run(write_graph(backbone, EMBED, gaussians, size=grey), frame)[0]
    wide = run(write_graph(backbone, EMBED, gaussians, size=colour), np.repeat(frame, 3, axis=2))[0]
    np.testing.assert_array_equal(narrow, wide)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_only_what_tensorrt_8_2_imports_is_in_the_graph(backbone: onnx.ModelProto, size: ImageSize) -> None:
    model = write_graph(backbone, EMBED, head(size), size=size)
    assert {node.op_type for node in model.graph.node} <= TENSORRT_8_2
    assert [opset.version for opset in model.opset_import] == [13]
    assert model.ir_version <= 8
    first = [node for node in model.graph.node if "frame" in node.input]
    assert [node.op_type for node in first] == ["Cast"]


def test_every_clip_and_resize_has_constant_limits_and_scales(backbone: onnx.ModelProto) -> None:
    model = write_graph(backbone, EMBED, head(SIZES[0]), size=SIZES[0])
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in {"Clip", "Resize", "Pad", "Reshape"}:
            assert {name for name in node.input[1:] if name} <= constants


def test_every_node_has_a_name_of_its_own(backbone: onnx.ModelProto) -> None:
    names = [node.name for node in write_graph(backbone, EMBED, head(SIZES[0]), size=SIZES[0]).graph.node]
    assert len(set(names)) == len(names)
    assert all(names)


def test_the_gaussian_filter_neither_brightens_nor_darkens_the_edge() -> None:
    kernel = gaussian_kernel(1.5)
    assert kernel.sum() == pytest.approx(1.0)
    assert len(kernel) == 11
    np.testing.assert_array_equal(kernel, kernel[::-1])
