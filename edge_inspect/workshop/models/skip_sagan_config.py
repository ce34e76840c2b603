"""What can be set about the skip self-attention GAN."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.random_erasing import Fill
from edge_inspect.workshop.models.system import SystemConfig


class SkipSaganConfig(SystemConfig):
    """Defaults are the paper's, or Skip-GANomaly's where it is silent; those marked (ours) neither has.

    Attributes:
        attention: off gives the ablation.
        widths: channels of the generator's levels, fine to coarse.
        keys_pooled: for every level, side of the neighbourhoods that self-attention looks at [cells] (ours); 1 looks at every cell.
        attention_share: queries, keys and values have this part of a level's channels; the paper's 1 is all of them.
        first_width, most_width: channels of the discriminator's first convolution, and at most.
        adversarial, context, latent: weights of the losses.
        reconstruction_share: of the image score; the rest is the latent difference.
        spoil: (ours) in training a box of the generator's input is filled as this says (`random_erasing.py`), and the loss still asks for
            the whole good image: a U-net with skips otherwise learns to hand everything on, defects too. "none" is the paper's.
        reconstruction: how the score map becomes a number: its "mean", or its "maximum" (ours), which a small defect moves more.
    """

    epochs: int = Field(default=500, ge=0)
    batch: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=2e-4, gt=0)
    attention: bool = True
    widths: tuple[int, ...] = Field(default=(64, 128, 256, 512, 512), min_length=1, max_length=8)
    keys_pooled: tuple[int, ...] = (32, 8, 4, 2, 1)
    attention_share: int = Field(default=1, ge=1)
    first_width: int = Field(default=64, ge=1)
    most_width: int = Field(default=512, ge=1)
    adversarial: float = Field(default=0.5, ge=0)
    context: float = Field(default=0.3, ge=0)
    latent: float = Field(default=0.2, ge=0)
    reconstruction_share: float = Field(default=0.9, ge=0, le=1)
    spoil: Literal["none"] | Fill = "none"
    reconstruction: Literal["mean", "maximum"] = "mean"

    @model_validator(mode="after")
    def _one_pool_a_level(self) -> SkipSaganConfig:
        if len(self.keys_pooled) != len(self.widths):
            raise ValueError(f"keys_pooled has {len(self.keys_pooled)} numbers for {len(self.widths)} widths; give one for every level")
        return self


def check(config: SkipSaganConfig, size: ImageSize) -> None:
    """Refuse an image size.

    Raises:
        ConfigError: the image cannot be halved as often as there are levels.
    """
    whole = 2 ** len(config.widths)
    if size.width % whole or size.height % whole or min(size.width, size.height) < 8:
        raise ConfigError(
            f"skip_sagan: an image of {size.width} x {size.height} px cannot be halved {len(config.widths)} times; "
            f"choose multiples of {whole} px, at least 8, or fewer widths"
        )
