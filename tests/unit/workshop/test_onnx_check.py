import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.backbone import load_backbone
from edge_inspect.workshop.onnx_check import TENSORRT_8_2, gmacs, operators, refuse_unfit

pytestmark = pytest.mark.torch
SIZE = ImageSize(width=8, height=8, channels=1)


def value(name: str, shape: list[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None, opset: int = 13, ir: int = 7) -> onnx.ModelProto:
    """Cast and transpose to `planes`, then the nodes, which give `score_map`; then its maximum."""
    first = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    last = helper.make_node("ReduceMax", ["score_map"], ["image_score"], axes=[1, 2, 3], keepdims=0)
    graph = helper.make_graph(
        [*first, *nodes, last],
        "made",
        [value("frame", [1, 8, 8, 1], TensorProto.UINT8)],
        [value("score_map", [1, 1, 8, 8]), value("image_score", [1])],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def node(kind: str, *inputs: str, out: str = "score_map", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [out], name=kind.lower(), **attributes)


def test_a_plain_graph_is_taken() -> None:
    refuse_unfit(model(node("Relu", "planes")), SIZE)


SCALES = {"scales": np.ones(4, np.float32)}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (model(node("Mod", "planes", "planes", fmod=1)), "mod: there is no operator Mod"),
        (model(node("Relu", "planes"), opset=12), "operator sets are {'': 12}, wanted 13"),
        (model(node("Relu", "planes"), ir=9), "IR version is 9, wanted 7"),
        (
            model(node("ReduceMean", "planes", out="low", keepdims=0), node("Clip", "planes", "low")),
            "clip: input 1 of Clip must be a constant",
        ),
        (
            model(node("Resize", "planes", "", "scales", mode="cubic"), constants=SCALES),
            "resize: Resize by cubic, wanted linear or nearest",
        ),
        (
            model(node("Resize", "planes", "", "", "sizes", mode="linear"), constants={"sizes": np.array([1, 1, 8, 8], np.int64)}),
            "resize: Resize must have scales, not sizes",
        ),
        (
            model(
                helper.make_node("MaxPool", ["planes"], ["score_map", "where"], name="pool", kernel_shape=[1, 1]),
            ),
            "pool: MaxPool may not give its indices",
        ),
        (
            model(node("Cast", "planes", out="wide", to=TensorProto.DOUBLE), node("Cast", "wide", to=TensorProto.FLOAT)),
            "wide: is computed in float64",
        ),
        (model(node("Conv", "planes", "planes", kernel_shape=[8, 8], pads=[4, 4, 3, 3])), "conv: input 1 of Conv must be a constant"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_what_is_unfit_is_named_with_its_node(made: onnx.ModelProto, said: str) -> None:
    with pytest.raises(EngineError) as refused:
        refuse_unfit(made, SIZE)
    assert said in str(refused.value)


def test_a_graph_that_looks_at_the_frame_before_it_is_cast_is_refused() -> None:
    made = model(node("Relu", "planes"))
    made.graph.node[0].op_type = "Identity"
    with pytest.raises(EngineError, match="not sound"):
        refuse_unfit(made, SIZE)
    twice = model(node("Cast", "frame", out="again", to=TensorProto.FLOAT), node("Relu", "planes"))
    with pytest.raises(EngineError, match="must be one Cast to float32, got Cast, Cast"):
        refuse_unfit(twice, SIZE)


def test_a_graph_of_another_size_is_refused() -> None:
    with pytest.raises(EngineError, match="its inputs and outputs are"):
        refuse_unfit(model(node("Relu", "planes")), ImageSize(width=8, height=16, channels=1))


def test_the_list_is_the_published_one() -> None:
    assert len(TENSORRT_8_2) == 129
    assert {"Conv", "Resize", "Softmax", "Einsum", "InstanceNormalization"} <= TENSORRT_8_2
    assert not {"GridSample", "LayerNormalization", "GroupNormalization", "Mod", "OneHot", "HardSwish", "NonZero"} & TENSORRT_8_2


def test_products_are_counted_for_one_frame() -> None:
    weights = {
        "kernel": np.zeros((6, 1, 3, 3), np.float32),
        "turned": np.zeros((6, 2, 2, 2), np.float32),
        "narrow": np.zeros((1, 2, 1, 1), np.float32),
        "matrix": np.zeros((8, 8), np.float32),
    }
    made = model(
        node("Conv", "planes", "kernel", out="wide", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("ConvTranspose", "wide", "turned", out="large", strides=[2, 2]),
        node("Conv", "large", "narrow", out="one"),
        node("MatMul", "one", "matrix"),
        constants=weights,
    )
    refuse_unfit(made, SIZE)
    assert gmacs(made) * 1e9 == pytest.approx(4 * 4 * 6 * 9 + 4 * 4 * 6 * 2 * 4 + 8 * 8 * 2 + 8 * 8 * 8)
    assert operators(made) == {"Cast": 1, "Conv": 2, "ConvTranspose": 1, "MatMul": 1, "ReduceMax": 1, "Transpose": 1}


def test_a_depthwise_convolution_costs_one_kernel_a_value() -> None:
    made = model(
        node("Concat", "planes", "planes", out="two", axis=1),
        node("Conv", "two", "kernel", out="each", group=2, pads=[1, 1, 1, 1]),
        node("Conv", "each", "narrow"),
        constants={"kernel": np.zeros((2, 1, 3, 3), np.float32), "narrow": np.zeros((1, 2, 1, 1), np.float32)},
    )
    assert gmacs(made) * 1e9 == pytest.approx(2 * 64 * 9 + 64 * 2)


def test_the_backbone_costs_what_its_paper_says() -> None:
    """Tan and Le's EfficientNet-Lite0 has 0.41 GMAC at 224 x 224; truncated at one sixteenth and at 256 x 256 it is about as much."""
    backbone = load_backbone()
    for axis, length in zip(backbone.graph.input[0].type.tensor_type.shape.dim, (1, 3, 256, 256), strict=True):
        axis.Clear()
        axis.dim_value = length
    for output in backbone.graph.output:
        output.type.tensor_type.ClearField("shape")
    assert 0.2 < gmacs(backbone) < 0.5
