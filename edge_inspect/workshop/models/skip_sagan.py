"""Skip self-attention GAN: a U-net trained to give good parts back against a discriminator; what it cannot give back is a defect.

Source: Sun, Liu, Ma, Na, Zhang 2025, Skip.Self attention GAN for anomaly detection; where it is silent, Akcay et al. 2019,
Skip-GANomaly, on which it builds. The networks are in `skip_sagan_networks.py`. With `attention` off this is Skip-GANomaly on
separable convolutions.

With x in -1 to 1, G(x) the generator's image, D and f the discriminator's probability and features:

    L_D = -mean log D(x) - mean log(1 - D(G(x)))                                                 (5)
    L_G = 0.5 L_adv + 0.3 L_ctx + 0.2 L_lat                                                      (8)
    L_adv = -mean log D(G(x)),  L_ctx = mean |x - G(x)|  (2),  L_lat = mean (f(x) - f(G(x)))^2   (7)
    score = 0.9 mean |x - G(x)| + 0.1 mean (f(x) - f(G(x)))^2                                    (Akcay et al. 2019, section III.C)

Deviations:
    - Keys and values are means of neighbourhoods (`keys_pooled`): at 256 x 256 pixels the first level alone would need a matrix of 65536 x
      65536. As pooled, no cell looks at more than 256 places there. The softmax is scaled by the root of the channels, and a gate that
      starts at zero and an output 1x1 are added (Zhang et al. 2019, from whom the paper has its attention).
    - The generator's adversarial loss is the non-saturating -log D(G(x)), as in its code base; (5) prints the discriminator's only.
    - L_ctx is (2); (6) prints the latent loss a second time in its place.
    - 10,000 iterations are epochs here: 500 epochs of 320 images in batches of 16. Early stop on the held-out L_ctx (`patience`; 0: never).
    - Skip-GANomaly rescales the scores of a test set to 0 to 1; here a score stays what it is.
    - Widths, batch and the discriminator's widths are not in the paper: Skip-GANomaly's 64 to 512 in five levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.frames import GaussianFilter, maximum, planes_from_frames
from edge_inspect.workshop.models.illumination import open_illumination
from edge_inspect.workshop.models.random_erasing import erased
from edge_inspect.workshop.models.skip_sagan_config import SkipSaganConfig, check
from edge_inspect.workshop.models.skip_sagan_networks import Discriminator, Generator, open_attentions, start_like_dcgan
from edge_inspect.workshop.models.system import Batches, Prepared, SystemConfig

FIRST_MOMENT = 0.5
"""Adam's memory of the gradient. Source: Radford et al. 2015, section 3; Akcay et al. 2019."""


class SkipSagan(nn.Module):
    """The system, see `system.py`. Training works on the frames themselves."""

    Config: ClassVar[type[SystemConfig]] = SkipSaganConfig
    image_score: Literal["map maximum", "own"] = "own"

    def __init__(self, config: SkipSaganConfig, size: ImageSize) -> None:
        """Generator: torch's own start; discriminator: normal, sigma 0.02 (DCGAN).

        Raises:
            ConfigError: the image cannot be halved as often as there are levels.
        """
        super().__init__()
        check(config, size)
        self.config: SkipSaganConfig = config
        self.illumination = open_illumination(config.illumination)
        levels = len(config.widths)
        attended = open_attentions(config.widths, config.keys_pooled, share=config.attention_share)
        attentions = attended if config.attention else [nn.Identity() for _ in range(levels)]
        self.generator = Generator(size.channels, widths=config.widths, attentions=attentions)
        self.discriminator = Discriminator(
            size.channels, size.height, size.width, first_width=config.first_width, most_width=config.most_width
        )
        self.discriminator.apply(start_like_dcgan)
        self.smooth = GaussianFilter(config.smoothing_cells)

    @property
    def score_meaning(self) -> str:
        """What the numbers are."""
        share = self.config.reconstruction_share
        return (
            "difference between a pixel and the generator's, in halves of the grey range; "
            f"image: {share:g} of its {self.config.reconstruction}, {1 - share:g} of the squared difference of the discriminator's features"
        )

    def optimizers(self) -> Mapping[str, Optimizer]:
        """One Adam for each of the two."""
        networks = {"discriminator": self.discriminator, "generator": self.generator}
        return {
            name: Adam(network.parameters(), lr=self.config.learning_rate, betas=(FIRST_MOMENT, 0.999))
            for name, network in networks.items()
        }

    def prepare(self, frames: Tensor, random: np.random.Generator) -> Prepared:  # noqa: ARG002
        """The frames as they are."""
        return (frames,)

    def start_epoch(self, epoch: int, batches: Batches) -> None:
        """Nothing depends on the epoch."""

    def step(self, rows: Prepared, optimizers: Mapping[str, Optimizer]) -> dict[str, float]:
        """The discriminator learns from the generator's images as they are, then the generator from the new discriminator."""
        self.train()
        images = self._images(rows[0])
        generated = self.generator(self._spoilt(images))
        told_apart = self._discriminator_loss(images, generated.detach())
        _descend(told_apart, optimizers["discriminator"])
        with _only_passing(self.discriminator):
            parts = self._generator_losses(images, generated)
            total = self._weighted(parts)
            _descend(total, optimizers["generator"])
        return {name: float(loss.detach()) for name, loss in {"discriminator": told_apart, "generator": total, **parts}.items()}

    @torch.no_grad()
    def stop_loss(self, rows: Prepared) -> float:
        """L_ctx."""
        self.eval()
        images = self._images(rows[0])
        return float(functional.l1_loss(self.generator(images), images))

    def settle(self, batches: Batches) -> None:
        """The graph takes nothing from good parts but the weights."""

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (n, H, W, C) uint8 to score map (n, 1, H, W) and image score (n,)."""
        images = self._images(frames)
        generated = self.generator(images)
        score_map: Tensor = self.smooth((images - generated).abs().mean(dim=1, keepdim=True))
        apart = self.discriminator.features(images) - self.discriminator.features(generated)
        share = self.config.reconstruction_share
        return score_map, share * self._reconstruction(score_map) + (1 - share) * (apart * apart).mean(dim=(1, 2, 3))

    def _images(self, frames: Tensor) -> Tensor:
        """(n, H, W, C) uint8 to (n, C, H, W), -1 to 1 without illumination normalisation."""
        planes: Tensor = self.illumination(planes_from_frames(frames))
        return planes / 127.5 - 1.0

    def _spoilt(self, images: Tensor) -> Tensor:
        """What the generator is given in training, (n, C, H, W) in -1 to 1."""
        return images if self.config.spoil == "none" else 2 * erased((images + 1) / 2, fill=self.config.spoil) - 1

    def _reconstruction(self, score_map: Tensor) -> Tensor:
        """(n, 1, H, W) to (n,)."""
        return maximum(score_map) if self.config.reconstruction == "maximum" else score_map.mean(dim=(1, 2, 3))

    def _discriminator_loss(self, real: Tensor, generated: Tensor) -> Tensor:
        """Source: Sun et al. 2025, eq. 5."""
        logit_real, logit_generated = self.discriminator(real)[0], self.discriminator(generated)[0]
        return functional.softplus(-logit_real).mean() + functional.softplus(logit_generated).mean()

    def _generator_losses(self, images: Tensor, generated: Tensor) -> dict[str, Tensor]:
        """Source: Sun et al. 2025, eq. 2, 5 and 7."""
        with torch.no_grad():
            seen = self.discriminator(images)[1]
        logit, imagined = self.discriminator(generated)
        return {
            "adversarial": functional.softplus(-logit).mean(),
            "context": functional.l1_loss(generated, images),
            "latent": functional.mse_loss(imagined, seen),
        }

    def _weighted(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Source: Sun et al. 2025, eq. 8."""
        config = self.config
        return config.adversarial * parts["adversarial"] + config.context * parts["context"] + config.latent * parts["latent"]


@contextmanager
def _only_passing(network: nn.Module) -> Iterator[None]:
    """Gradients go through the network to its input, none are kept for its own weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def _descend(loss: Tensor, optimizer: Optimizer) -> None:
    """One step down."""
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
