"""Makes the tiny models that the line's tests run on; needs onnx, which the line itself never does.

    python tests/golden/make_models.py            # rewrites tests/golden/models

`models/<name>/` are whole model folders. A cell of the score map covers 4x4 pixels and holds the mean of
|pixel - 128| over them, the colours weighted 0.5, 0.375, 0.125 (R, G, B). The weights are sums of powers of two, so
that every score is exact in float32 and a test can predict it; they differ, so that swapped channels are seen.
A square of grey level 128 + d that fills whole cells scores d there. The image score is the map's maximum.

tiny          64x48 RGB -> map 16x12
tiny_mono     32x32 grey -> map 8x8
tiny_nan      tiny, and the cell of a pixel of exactly 255 in any channel is NaN (the image score is not: ReduceMax passes over it)
tiny_failing  tiny, but the library fails on a frame whose brightest pixel is 255, and goes on with the next
tiny_own      tiny, but the image score is an `own` one: the mean of the map
tiny_highest  tiny, but the image score is the mean of the map's four highest cells

`models/variants/<name>.onnx` are graphs that break the contract, or do not agree with the golden frames of `tiny`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import edge_inspect.runtimes  # noqa: F401  before onnxruntime: keeps it from reporting home
from edge_inspect.model_folder import Golden, ImageSize, MeanOfHighest, Training, write_model_folder

MODELS = Path(__file__).parent / "models"
CELL = 4
RGB_WEIGHTS = (0.5, 0.375, 0.125)
RGB = ImageSize(width=64, height=48, channels=3)
MONO = ImageSize(width=32, height=32, channels=1)
MADE_AT = datetime(2026, 11, 21, tzinfo=timezone.utc)


def make_graph(
    size=RGB,
    weights=RGB_WEIGHTS,
    *,
    scale=1.0,
    offset=0.0,
    shift=0,
    nan_at=None,
    fail_at=None,
    image_op="ReduceMax",
    names=("frame", "score_map", "image_score"),
    input_type=TensorProto.UINT8,
    squeeze=True,
    batch=1,
    highest=1,
) -> bytes:
    """The graph; every argument but the first two breaks it in one way."""
    frame, score_map, image_score = names
    kernel = np.array(weights, np.float32).reshape(1, -1, 1, 1) * np.full((1, 1, CELL, CELL), scale / CELL**2, np.float32)
    constants = {"middle": np.float32(128), "kernel": kernel.astype(np.float32), "bias": np.array([offset], np.float32)}
    node = helper.make_node
    nodes = [
        node("Cast", [frame], ["grey"], to=TensorProto.FLOAT),
        node("Transpose", ["grey"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    planes = "planes"
    if nan_at is not None:
        constants |= {"poison": np.float32(nan_at), "nan": np.float32(np.nan)}
        nodes += [node("Equal", ["planes", "poison"], ["bad"]), node("Where", ["bad", "nan", "planes"], ["poisoned"])]
        planes = "poisoned"
    # `shift` cells: pads on the left and crops on the right, so that the map moves.
    pads = [0, shift * CELL, 0, -shift * CELL]
    nodes += [
        node("Sub", [planes, "middle"], ["signed"]),
        node("Abs", ["signed"], ["deviation"]),
        node("Pad", ["deviation", "pads"], ["placed"]),
        node("Conv", ["placed", "kernel", "bias"], [score_map], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        *(
            _mean_of_highest(score_map, image_score, highest, constants)
            if highest > 1
            else [node(image_op, [score_map], [image_score], axes=[1, 2, 3], keepdims=0)]
            if squeeze
            else [node(image_op, [score_map], [image_score], axes=[2, 3], keepdims=0)]
        ),
    ]
    if fail_at is not None:
        # Adds all pixels to all pixels but one, when the brightest pixel is this one; else adds zero to the map.
        elements = size.height * size.width * size.channels
        constants |= {"start": np.array([0], np.int64), "count": np.array([elements], np.int64)}
        constants |= {"poison": np.int64(fail_at), "none": np.float32(0)}
        nodes[-2].output[0] = "unbroken"
        nodes[-1:-1] = [
            node("ReduceMax", ["grey"], ["brightest"], keepdims=0),
            node("Cast", ["brightest"], ["level"], to=TensorProto.INT64),
            node("Equal", ["level", "poison"], ["reached"]),
            node("Cast", ["reached"], ["less"], to=TensorProto.INT64),
            node("Sub", ["count", "less"], ["end"]),
            node("Reshape", ["grey", "count"], ["line"]),
            node("Slice", ["line", "start", "end"], ["cut"]),
            node("Add", ["line", "cut"], ["sum"]),
            node("ReduceMin", ["sum"], ["darkest"], keepdims=0),
            node("Min", ["darkest", "none"], ["zero"]),
            node("Add", ["unbroken", "zero"], [score_map]),
        ]
    constants["pads"] = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(frame, input_type, [batch, size.height, size.width, size.channels])],
        [
            helper.make_tensor_value_info(score_map, TensorProto.FLOAT, [1, 1, size.height // CELL, size.width // CELL]),
            helper.make_tensor_value_info(image_score, TensorProto.FLOAT, [1] if squeeze else [1, 1]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="make_models.py")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _mean_of_highest(score_map: str, image_score: str, cells: int, constants: dict) -> list:
    constants |= {"line_shape": np.array([1, -1], np.int64), "highest_count": np.array([cells], np.int64)}
    return [
        helper.make_node("Reshape", [score_map, "line_shape"], ["cells"]),
        helper.make_node("TopK", ["cells", "highest_count"], ["highest", "places"], axis=1),
        helper.make_node("ReduceMean", ["highest"], [image_score], axes=[1], keepdims=0),
    ]


def make_frames(size: ImageSize) -> np.ndarray:
    """Four good frames, and three with a defect: a dark square, a bright scratch, a stain of one colour."""
    random = np.random.default_rng(20261121)
    coarse = random.integers(120, 137, (7, size.height // 8, size.width // 8, size.channels))
    frames = coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
    frames[4, 8:16, 12:20] = 20
    frames[5, 21:23, 4:28] = 240
    frames[6, 16:24, 16:28, 0] = 230
    return frames


def run_plainly(onnx_bytes: bytes, frames: np.ndarray) -> Golden:
    """What an unoptimised ONNX Runtime says; onnx.reference, another implementation, must say the same."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    answers = [session.run(None, {"frame": frame[None]}) for frame in frames]
    other = ReferenceEvaluator(onnx_bytes)
    for frame, answer in zip(frames, answers, strict=True):
        np.testing.assert_array_equal(other.run(None, {"frame": frame[None]})[0], answer[0])
    maps = np.concatenate([answer[0][:, 0] for answer in answers])
    return Golden(images=frames, maps=maps, scores=np.concatenate([answer[1] for answer in answers]))


def write_tiny(name: str, size: ImageSize, onnx_bytes: bytes, image_score="map maximum") -> None:
    write_model_folder(
        MODELS / name,
        onnx_bytes=onnx_bytes,
        golden=run_plainly(onnx_bytes, make_frames(size)),
        model=name,
        family="grey deviation",
        input_size=size,
        image_score=image_score,
        score_meaning="mean of |pixel - 128| over a cell of 4x4 pixels, grey levels",
        training=Training(images=0, fingerprint="not trained"),
        software="tests/golden/make_models.py",
        created_at=MADE_AT,
    )


VARIANTS = {
    # what a broken engine says: refused by acceptance
    "scaled": {"scale": 1.02},
    "offset": {"offset": 0.5},
    "swapped": {"weights": RGB_WEIGHTS[::-1]},
    "zero": {"scale": 0.0},
    "shifted": {"shift": 1},
    # what another precision says: accepted
    "rounded": {"scale": 1.0001},
    # what breaks the graph's contract: refused when it is opened
    "input_name": {"names": ("image", "score_map", "image_score")},
    "output_name": {"names": ("frame", "anomaly_map", "image_score")},
    "input_float": {"input_type": TensorProto.FLOAT},
    "score_shape": {"squeeze": False},
    "open_size": {"batch": "any"},
}


def main() -> None:
    write_tiny("tiny", RGB, make_graph())
    write_tiny("tiny_mono", MONO, make_graph(MONO, (1.0,)))
    write_tiny("tiny_nan", RGB, make_graph(nan_at=255))
    write_tiny("tiny_failing", RGB, make_graph(fail_at=255))
    write_tiny("tiny_own", RGB, make_graph(image_op="ReduceMean"), "own")
    write_tiny("tiny_highest", RGB, make_graph(highest=4), MeanOfHighest(mean_of_highest=4))
    (MODELS / "variants").mkdir(exist_ok=True)
    for name, broken in VARIANTS.items():
        (MODELS / "variants" / f"{name}.onnx").write_bytes(make_graph(**broken))


if __name__ == "__main__":
    main()
