"""Kumar, Malik, Puglisi 2025: denoising and contractive autoencoders with plain, VGG16 and ResNet50 encoders; six networks, one class.

x in 0 to 1, f encoder, g decoder, d the error of a reconstruction: squared (1) or 1 - SSIM (2), a map of it.

    DAE   loss = mean d(g(f(x + noise)), x)                   latent: the encoder's output
    CAE   loss = mean d(g(f(x)), x) + weight ||df/dx||_F^2     latent: a dense layer's output
    score map = Gaussian filter of d(g(f(x)), x); image score = mean d(g(f(x)), x)

With VGG16 both have the dense bottleneck, as section 3.3.2 says.

Taken where the text is silent: widths 32 to 256, noise of sigma 0.1 (not clipped), penalty weight 1e-4, 128 latent numbers, at most 50
epochs, ReLU, Xavier weights, an output that starts at mid grey and that nothing squashes (illumination normalisation leaves 0 to 1).

Deviations:
    The paper puts noise on the test images too; here what is scored is clean, so that a frame always gets the same score.
    The catalogue's `cae_resnet50` weighs the penalty with 1e-12: from random weights, batch norm on batch norm makes its Jacobian's
    norm so large that 1e-4 would leave nothing of the reconstruction; with pretrained weights, measure it and weigh it anew.
    ||df/dx||_F^2 is estimated by random projections, tested against the exact one in tests/unit/workshop/models/test_kumar.py.
    Four upsamplings cannot undo VGG16's and ResNet50's 1/32: their maps are doubled once before the unchanged decoder.
    ImageNet's mean and deviation stand before VGG16 and ResNet50: torchvision's weights need them; the paper only divides by 255.
    ResNet50's batch norm gets its statistics anew from the clean good parts after training: in training it saw noisy ones.
    Thresholds are not the training images' mean error, which would reject about every second good part: the line's own rules set them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.backbones_classic import STRIDE, ClassicEncoder, load_weights
from edge_inspect.workshop.models.frames import GaussianFilter, maximum, planes_from_frames
from edge_inspect.workshop.models.illumination import open_illumination
from edge_inspect.workshop.models.kumar_network import (
    Autoencoder,
    Decoder,
    DenseBottleneck,
    Dissimilarity,
    PlainEncoder,
    SquaredError,
    contractive_penalty,
)
from edge_inspect.workshop.models.system import Batches, Prepared, SystemConfig

logger = logging.getLogger(__name__)

PLAIN_STRIDE = 16
Channels = Annotated[int, Field(ge=1, le=1024)]
ErrorName = Literal["mse", "ssim"]
MEANING = {"mse": "squared error of the reconstruction, pixels 0 to 1", "ssim": "1 - SSIM of part and reconstruction"}


class KumarConfig(SystemConfig):
    """One of the six networks. Defaults are the paper's; where it is silent, ours, as the module says.

    Attributes:
        variant: denoising (noisy input, clean target) or contractive (clean input, penalty on the encoder's Jacobian).
        encoder: what looks at the image.
        bottleneck: none, or a dense layer between encoder and decoder.
        loss: what training makes small: squared error (1) or 1 - SSIM (2).
        score: what a score measures; None: the same as the loss.
        image_score: mean error, as the paper scores an image, or the smoothed map's maximum.
        widths: channels of the plain encoder's convolutions, and of the decoder's backwards.
        latent: numbers in the dense bottleneck.
        noise_sigma: of the denoising variant's noise, on 0 to 1.
        penalty_weight: of the contractive variant's penalty.
        penalty_projections: random projections that estimate it in each step.
        encoder_weights: torchvision's state dict of VGG16 or ResNet50, a local file; None: random weights.
        encoder_weights_sha256: its hash.
    """

    batch: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    variant: Literal["denoising", "contractive"] = "denoising"
    encoder: Literal["plain", "vgg16", "resnet50"] = "plain"
    bottleneck: Literal["none", "dense"] = "none"
    loss: ErrorName = "mse"
    score: ErrorName | None = None
    image_score: Literal["mean", "maximum"] = "mean"
    widths: tuple[Channels, Channels, Channels, Channels] = (32, 64, 128, 256)
    latent: int = Field(default=128, ge=1)
    noise_sigma: float = Field(default=0.1, ge=0)
    penalty_weight: float = Field(default=1e-4, ge=0)
    penalty_projections: int = Field(default=1, ge=1)
    encoder_weights: Path | None = None
    encoder_weights_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")

    @model_validator(mode="after")
    def _weights_fit(self) -> KumarConfig:
        if (self.encoder_weights is None) != (self.encoder_weights_sha256 is None):
            raise ValueError("encoder_weights and encoder_weights_sha256 go together; write both or neither")
        if self.encoder == "plain" and self.encoder_weights is not None:
            raise ValueError("encoder_weights are for vgg16 and resnet50; write encoder: vgg16 or leave them out")
        return self


class Kumar(nn.Module):
    """Any of the six networks as a system."""

    Config: type[SystemConfig] = KumarConfig

    def __init__(self, config: KumarConfig, size: ImageSize) -> None:
        """Weights from torch's global generator, the encoder's from its file where one is named.

        Raises:
            ConfigError: the image's sides are no multiples of the encoder's stride, or the weights file is not the one named.
        """
        super().__init__()
        self.config: KumarConfig = config
        self.illumination = open_illumination(config.illumination)
        self.autoencoder = _autoencoder(config, size)
        self.loss, self.score = _error(config.loss), _error(config.score or config.loss)
        self.smoothing = GaussianFilter(config.smoothing_cells)
        self.image_score: Literal["map maximum", "own"] = "own" if config.image_score == "mean" else "map maximum"
        self.score_meaning = MEANING[config.score or config.loss] + _weights_told(config)

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Adam on everything, the pretrained encoder too. Source: Kumar 2025, section 3.3.2."""
        return {"autoencoder": Adam(self.parameters(), lr=self.config.learning_rate)}

    def prepare(self, frames: Tensor, random: np.random.Generator) -> Prepared:  # noqa: ARG002 (the protocol's)
        """The frames themselves, (n, H, W, C) uint8: everything here is trained."""
        return (frames,)

    def start_epoch(self, epoch: int, batches: Batches) -> None:
        """Nothing depends on all rows."""

    def step(self, rows: Prepared, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
        """One step on a batch (n, H, W, C) uint8."""
        self.train()
        losses = self._losses(self._images(rows[0]))
        optimizers["autoencoder"].zero_grad()
        torch.autograd.backward(torch.stack(tuple(losses.values())).sum())
        optimizers["autoencoder"].step()
        return {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def stop_loss(self, rows: Prepared) -> float:
        """The mean error of clean images' reconstructions, as they will be scored but by the loss's measure."""
        self.eval()
        images = self._images(rows[0])
        return float(self.loss(self.autoencoder(images), images).mean())

    @torch.no_grad()
    def settle(self, batches: Batches) -> None:
        """Batch norm's statistics anew, plain averages over all clean good rows; nothing to do without batch norm."""
        norms = [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        self.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        for rows in batches() if norms else ():
            self.autoencoder.encode(self._images(rows[0]))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.eval()

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (n, H, W, C) uint8 to score map (n, 1, H, W) and image score (n,), float32; a cell is a pixel."""
        images = self._images(frames)
        errors: Tensor = self.score(self.autoencoder(images), images)
        score_map: Tensor = self.smoothing(errors)
        return score_map, errors.mean(dim=(1, 2, 3)) if self.config.image_score == "mean" else maximum(score_map)

    def _images(self, frames: Tensor) -> Tensor:
        planes: Tensor = self.illumination(planes_from_frames(frames))
        return planes / 255.0

    def _losses(self, images: Tensor) -> dict[str, Tensor]:
        if self.config.variant == "denoising":
            noisy = images + self.config.noise_sigma * torch.randn_like(images)
            return {"reconstruction": self.loss(self.autoencoder(noisy), images).mean()}
        latent = self.autoencoder.encode(images.requires_grad_())
        penalty = contractive_penalty(latent, images, self.config.penalty_projections)
        reconstruction = self.loss(self.autoencoder.decode(latent), images.detach()).mean()
        return {"reconstruction": reconstruction, "penalty": self.config.penalty_weight * penalty}


def _autoencoder(config: KumarConfig, size: ImageSize) -> Autoencoder:
    stride = PLAIN_STRIDE if config.encoder == "plain" else STRIDE
    if size.width % stride or size.height % stride:
        raise ConfigError(
            f"image of {size.width} x {size.height}: encoder {config.encoder} takes multiples of {stride}; change width and height"
        )
    encoder = _encoder(config, size)
    grid = (config.widths[-1], size.height // stride, size.width // stride)
    bottleneck = DenseBottleneck(encoder.channels, config.latent, grid) if config.bottleneck == "dense" else None
    features = encoder.channels if bottleneck is None else grid[0]
    return Autoencoder(encoder, bottleneck, Decoder(features, config.widths, size.channels, coarser=stride // PLAIN_STRIDE))


def _encoder(config: KumarConfig, size: ImageSize) -> PlainEncoder | ClassicEncoder:
    if config.encoder == "plain":
        return PlainEncoder(size.channels, config.widths)
    encoder = ClassicEncoder(config.encoder)
    if config.encoder_weights is not None and config.encoder_weights_sha256 is not None:
        load_weights(encoder.network, config.encoder_weights, config.encoder_weights_sha256)
    else:
        logger.warning("encoder %s starts from random weights; name a local file in encoder_weights for pretrained ones", config.encoder)
    return encoder


def _weights_told(config: KumarConfig) -> str:
    if config.encoder == "plain":
        return ""
    return f"; encoder {config.encoder} started from {'random' if config.encoder_weights is None else 'pretrained'} weights"


def _error(name: ErrorName) -> SquaredError | Dissimilarity:
    return SquaredError() if name == "mse" else Dissimilarity()
