"""VGG16's thirteen convolutions and ResNet50 without its last layer, in plain torch, with weights from a local file.

Parameters are named as torchvision names them, so that its published state dicts fit as they are; what belongs to the layers left
out (`classifier.*`, `fc.*`) is skipped. No file, no download: without one the network starts from random weights.

Source: Simonyan, Zisserman 2015 (VGG16, configuration D); He, Zhang, Ren, Sun 2016 (ResNet50; the stride stands in the 3x3
convolution, as in torchvision's).
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edge_inspect.errors import ConfigError
from edge_inspect.workshop.models.frames import three_planes

STRIDE = 32
"""Image pixels along a side of the last map's cell, of both networks."""
VGG16_CONVOLUTIONS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels, block by block. Source: Simonyan, Zisserman 2015, table 1, column D."""
RESNET50_BLOCKS = (3, 4, 6, 3)
RESNET50_WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
"""Source: He et al. 2016, table 1."""
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, RGB in 0 to 1: torchvision's weights were trained behind this normalisation."""
LEFT_OUT = ("classifier.", "fc.")
"""What a published state dict holds beyond these networks."""

ClassicName = Literal["vgg16", "resnet50"]


class Vgg16(nn.Module):
    """Thirteen 3x3 convolutions in five blocks, each block followed by 2x2 max pooling."""

    channels = 512

    def __init__(self) -> None:
        """Weights start as torchvision's do."""
        super().__init__()
        self.features = nn.Sequential(*_vgg16_layers())
        self.apply(start_as_published)

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 3, H, W) normalised to (n, 512, H/32, W/32)."""
        features: Tensor = self.features(planes)
        return features


class ResidualBlock(nn.Module):
    """relu(x + conv1x1(conv3x3(conv1x1(x)))), each convolution with batch norm. Source: He et al. 2016, figure 5 right."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        """From `channels` to 4 * `width`; the way around gets a convolution where size or channels change."""
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, EXPANSION * width, 1, bias=False), nn.BatchNorm2d(EXPANSION * width)
        self.relu = nn.ReLU(inplace=True)
        changes = stride > 1 or channels != EXPANSION * width
        self.downsample = _way_around(channels, EXPANSION * width, stride) if changes else None

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, 4 * width, h / stride, w / stride)."""
        inner = self.relu(self.bn1(self.conv1(maps)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        around = maps if self.downsample is None else self.downsample(maps)
        features: Tensor = self.relu(self.bn3(self.conv3(inner)) + around)
        return features


class ResNet50(nn.Module):
    """One 7x7 convolution, 3x3 max pooling and sixteen residual blocks in four layers; no global pooling, no dense layer."""

    channels = EXPANSION * RESNET50_WIDTHS[-1]

    def __init__(self) -> None:
        """Weights start as torchvision's do."""
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = _resnet50_layers()
        self.apply(start_as_published)

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 3, H, W) normalised to (n, 2048, H/32, W/32)."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(planes))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(stem))))
        return features


CLASSIC: Mapping[ClassicName, Callable[[], Vgg16 | ResNet50]] = {"vgg16": Vgg16, "resnet50": ResNet50}


class ClassicEncoder(nn.Module):
    """One of the two behind its normalisation: images in 0 to 1 of one or three channels to features."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: ClassicName) -> None:
        """With random weights; `load_weights` on `network` puts others in their place."""
        super().__init__()
        self.network = CLASSIC[name]()
        self.channels = self.network.channels
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1 or 3, H, W) to (n, channels, H/32, W/32); a grey image is taken three times."""
        features: Tensor = self.network((three_planes(images) - self.mean) / self.deviation)
        return features


def load_weights(network: nn.Module, path: Path, sha256: str) -> None:
    """Put a published state dict into a network; nothing of the file is interpreted before its hash is right.

    Raises:
        ConfigError: the file cannot be read, has another hash, or is no state dict of this network.
    """
    state = _state_dict(_verified(path, sha256), path)
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(LEFT_OUT)}
    try:
        network.load_state_dict(kept)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{path}: not the weights of {type(network).__name__}: {first}; name torchvision's file of this network"
        ) from error


def start_as_published(module: nn.Module) -> None:
    """Kaiming normal by fan-out, zero biases, batch norm 1 and 0: how torchvision starts both; for `module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _vgg16_layers() -> Iterator[nn.Module]:
    channels = 3
    for block in VGG16_CONVOLUTIONS:
        for width in block:
            yield nn.Conv2d(channels, width, 3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = width
        yield nn.MaxPool2d(2)


def _resnet50_layers() -> Iterator[nn.Sequential]:
    channels = 64
    for width, blocks in zip(RESNET50_WIDTHS, RESNET50_BLOCKS, strict=True):
        first = ResidualBlock(channels, width, stride=1 if width == RESNET50_WIDTHS[0] else 2)
        channels = EXPANSION * width
        yield nn.Sequential(first, *(ResidualBlock(channels, width, stride=1) for _ in range(blocks - 1)))


def _way_around(channels: int, wider: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, wider, 1, stride=stride, bias=False), nn.BatchNorm2d(wider))


def _verified(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: encoder_weights cannot be read: {error.strerror}; name a local weights file") from error
    got = hashlib.sha256(content).hexdigest()
    if got != sha256.lower():
        raise ConfigError(f"{path}: hash {got[:12]}, encoder_weights_sha256 says {sha256[:12]}; name the file that you trust and its hash")
    return content


def _state_dict(content: bytes, path: Path) -> dict[str, Any]:
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ConfigError(f"{path}: not a file of tensors alone; save the network's state dict with torch.save") from error
    if not isinstance(state, Mapping):
        raise ConfigError(f"{path}: holds a {type(state).__name__}, not a state dict; save the network's state dict with torch.save")
    return dict(state)
