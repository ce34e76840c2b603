"""Write the one graph of a taught part: from the camera's uint8 pixels to score map and image score.

    frame (1, H, W, C) uint8 -> Cast -> backbone -> embedding at one eighth -> minus mean, whitened, length (PaDiM)
    -> one quarter -> Gaussian filter -> score_map (1, 1, H/4, W/4), image_score (1,) its maximum

`write_features` stops after the embedding: what the Gaussians are fitted on is, node by node, what the finished graph
computes. Only operators that TensorRT 8.2 imports, opset 13.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.backbone import LEVELS
from edge_inspect.workshop.gaussian import gaussian_kernel
from edge_inspect.workshop.padim import Head

SMOOTHING_CELLS = 0.5
"""Sigma of the Gaussian filter [cells of the map, four pixels each]; Defard et al. 2021 take 4 px. Measured: docs/results/teach.md."""

CELL_PX = 4
"""A cell of the map is so many pixels of the network's image wide and high."""

Array = npt.NDArray[np.float32]


def score_map_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the score map [cells] for a network's image of this size [px]."""
    return width // CELL_PX, height // CELL_PX


def write_features(backbone: onnx.ModelProto, embed: Array, *, size: ImageSize) -> onnx.ModelProto:
    """The graph from `frame` (1, H, W, C) uint8 to `features` (1, d, H/8, W/8) float32."""
    writer = _Writer(backbone, size)
    writer.features(embed)
    shape = [1, embed.shape[1], size.height // 8, size.width // 8]
    return writer.model("features", [helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)])


def write_graph(backbone: onnx.ModelProto, embed: Array, head: Head, *, size: ImageSize, sigma: float = SMOOTHING_CELLS) -> onnx.ModelProto:
    """The whole graph from `frame` to `score_map` and `image_score`.

    Args:
        backbone: the shipped one.
        embed: (channels of all levels, d), the rows in the order of `LEVELS`.
        head: the Gaussians, on a map of (H/8, W/8).
        size: the network's image.
        sigma: Gaussian filter [cells of the map].
    """
    writer = _Writer(backbone, size)
    writer.features(embed)
    writer.distance(head)
    writer.smoothed(sigma)
    writer.node("ReduceMax", ["score_map"], "image_score", axes=[1, 2, 3], keepdims=0)
    score_map = helper.make_tensor_value_info("score_map", TensorProto.FLOAT, [1, 1, *reversed(score_map_size(size.width, size.height))])
    return writer.model("taught_part", [score_map, helper.make_tensor_value_info("image_score", TensorProto.FLOAT, [1])])


class _Writer:
    """Writes the graph's nodes in order, one method for each step."""

    def __init__(self, backbone: onnx.ModelProto, size: ImageSize) -> None:
        self._backbone = backbone
        self._size = size
        self._nodes: list[onnx.NodeProto] = []
        self._constants = list(backbone.graph.initializer)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def features(self, embed: Array) -> None:
        """`frame` to `features`: pixels, backbone, every level embedded at its own size and then added at one eighth.

        Averaging and bilinear enlarging are linear, so embedding first gives what embedding the joined levels would.
        """
        self.node("Cast", ["frame"], "float_frame", to=TensorProto.FLOAT)
        self._planes()
        self._nodes.extend(self._backbone.graph.node)
        self.node("AveragePool", ["level4"], "level4.at8", kernel_shape=[2, 2], strides=[2, 2])
        fine, middle, coarse = np.split(embed, np.cumsum(list(LEVELS.values()))[:-1])
        near = self.node("Add", [self._embedded("level4.at8", fine), self._embedded("level8", middle)], "embedded.fine")
        far = self._enlarged(self._embedded("level16", coarse), "embedded.coarse")
        self.node("Add", [near, far], "features")

    def distance(self, head: Head) -> None:
        """`features` to `distance` (1, 1, h, w). Source: Defard et al. 2021, eq. 2."""
        (channels, height, width), block = head.mean.shape, head.block
        rows, columns = height // block, width // block
        flow = self.node("Sub", ["features", self._constant("mean", head.mean[None])], "centred_features")
        flow = self._reshaped(flow, "blocks", [channels, rows, block, columns, block])
        flow = self.node("Transpose", [flow], "blocks.last", perm=[1, 3, 2, 4, 0])
        flow = self._reshaped(flow, "block_rows", [rows * columns, block * block, channels])
        flow = self.node("MatMul", [flow, self._constant("whitening", head.whitening)], "whitened")
        flow = self.node("ReduceL2", [flow], "lengths", axes=[2], keepdims=0)
        flow = self._reshaped(flow, "lengths.blocks", [rows, columns, block, block])
        flow = self.node("Transpose", [flow], "lengths.rows", perm=[0, 2, 1, 3])
        self._reshaped(flow, "distance", [1, 1, height, width])

    def smoothed(self, sigma: float) -> None:
        """`distance` to `score_map`, twice as fine and Gaussian filtered; the edge is continued, not darkened."""
        kernel = gaussian_kernel(sigma)
        reach = len(kernel) // 2
        flow = self._enlarged("distance", "fine_distance")
        pads = self._constant("edge", np.array([0, 0, reach, reach, 0, 0, reach, reach], np.int64))
        flow = self.node("Pad", [flow, pads], "continued", mode="edge")
        weights = self._constant("gaussian", np.outer(kernel, kernel).astype(np.float32)[None, None])
        self.node("Conv", [flow, weights], "score_map", kernel_shape=[len(kernel)] * 2)

    def model(self, name: str, outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The checked model."""
        size = self._size
        frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, size.height, size.width, size.channels])
        graph = helper.make_graph(self._nodes, name, [frame], outputs, self._constants)
        model = helper.make_model(graph, opset_imports=self._backbone.opset_import, ir_version=self._backbone.ir_version)
        model.producer_name = "edge-inspect"
        onnx.checker.check_model(model, full_check=True)
        return model

    def _planes(self) -> None:
        """The backbone's `image`: three planes; a grey image is all three of them."""
        if self._size.channels == 3:
            self.node("Transpose", ["float_frame"], "image", perm=[0, 3, 1, 2])
        else:
            plane = self.node("Transpose", ["float_frame"], "plane", perm=[0, 3, 1, 2])
            self.node("Concat", [plane] * 3, "image", axis=1)

    def _embedded(self, flow: str, rows: Array) -> str:
        weights = self._constant(f"{flow}.embedding", np.ascontiguousarray(rows.T)[:, :, None, None])
        return self.node("Conv", [flow, weights], f"{flow}.embedded", kernel_shape=[1, 1])

    def _enlarged(self, flow: str, name: str) -> str:
        scales = self._constant(f"{name}.scales", np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", [flow, "", scales], name, mode="linear", coordinate_transformation_mode="half_pixel")

    def _reshaped(self, flow: str, name: str, shape: list[int]) -> str:
        return self.node("Reshape", [flow, self._constant(f"{name}.shape", np.array(shape, np.int64))], name)

    def _constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self._constants.append(numpy_helper.from_array(value, name))
        return name
