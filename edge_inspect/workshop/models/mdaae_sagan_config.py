"""Configuration of the five systems of An, Wu, Li 2026. The paper gives hardly a number; what is ours is marked so."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge_inspect.workshop.models.backbones import Lite
from edge_inspect.workshop.models.system import Illumination, SystemConfig

Error = Literal["ssim", "squared", "whitened"]


class MdaaeSaganConfig(SystemConfig):
    """Systems A to E: what reconstructs, whether there is an adversary, whether there is attention.

    Attributes:
        illumination: chosen as `discriminator_weight` is.
        reconstruction: `mdaae` reconstructs levels of a frozen backbone (B, D, E), `generator` the image itself (A, C).
        adversary: a discriminator is trained too (all but B).
        attention: self-attention in generator and discriminator (C, E; in B nothing else has it).
        backbone: frozen network of the levels. Ours: EfficientNet-Lite.
        fused_channels: of the fused map. Ours.
        code: channels of the bottleneck z. Ours.
        heads: of the attention. Ours.
        temperature: tau of eq. 3. Ours.
        level_weights: beta_l of eq. 6, finest first; one value serves all.
        sparsity_weight: lambda of eq. 6. Ours.
        masked: M_l of eq. 6 leaves out cells that lie beyond the part in a moved copy; else all cells count.
        error: of a cell. `ssim` is eq. 7; `squared` the mean squared difference; `whitened` the Mahalanobis length of the difference
            by position (ours, measured).
        dimensions: of the difference that is whitened, an orthogonal random embedding as PaDiM's.
        block, pooling: covariance shared by block x block positions, and with all (PaDiM's).
        by_position: the error is measured in standard deviations about its mean over good parts at the same position, frozen
            in the graph (promise 5: never per image).
        memory: neighbourhoods of good parts that every one is held against, wherever it lies (ours, PatchCore's; `neighbours.py`).
            Added to the error, both by position; 0: none.
        memory_whitening: neighbourhoods are compared after whitening, their directions' variances raised by this share of the mean
            one; 0 compares them as they are. Chosen as `discriminator_weight` is (DECISIONS 84).
        highest_share: the image score is the mean of this share of the map's cells, the highest; 0: of the highest alone. Chosen
            likewise (DECISIONS 83).
        discriminator_weight: gamma of eq. 15; all terms are in standard deviations over good parts. Of 0 to 2, chosen on the
            polycrystalline cells of elpv_dataset, which nothing else is judged on (docs/results/accuracy.md, DECISIONS 41).
        discriminator_width: channels inside it. Ours.
        adversarial_weight, matching_weight: of eq. 9 and of feature matching in eq. 14. Ours.
        penalty: weight decay of the discriminator's parameters, the last term of eq. 13. Ours.
        copies: rows made of every training picture; the first is as taken, the others are moved (eq. 12). Each has a planted
            anomaly beside it for the discriminator.
        turn_deg, shift_share: how far copies are moved. Ours.
        noise: standard deviation added to the standardised levels that the autoencoder is given (eq. 12). Ours.
    """

    illumination: Illumination = "homomorphic"
    reconstruction: Literal["mdaae", "generator"] = "mdaae"
    adversary: bool = True
    attention: bool = True
    backbone: Lite = "lite0"
    fused_channels: int = Field(default=128, ge=8)
    code: int = Field(default=48, ge=4)
    heads: int = Field(default=4, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    level_weights: tuple[float, ...] = (1.0,)
    sparsity_weight: float = Field(default=1e-4, ge=0)
    masked: bool = True
    error: Error = "whitened"
    dimensions: int = Field(default=100, ge=1)
    block: int = Field(default=2, ge=1)
    pooling: float = Field(default=0.1, ge=0, le=1)
    by_position: bool = False
    memory: int = Field(default=0, ge=0)
    memory_whitening: float = Field(default=0.01, ge=0)
    highest_share: float = Field(default=0.0, ge=0, le=1)
    discriminator_weight: float = Field(default=0.5, ge=0)
    discriminator_width: int = Field(default=64, ge=8)
    adversarial_weight: float = Field(default=0.01, ge=0)
    matching_weight: float = Field(default=0.01, ge=0)
    penalty: float = Field(default=1e-3, ge=0)
    copies: int = Field(default=2, ge=1)
    turn_deg: float = Field(default=0.0, ge=0, le=180)
    shift_share: float = Field(default=0.01, ge=0, le=0.5)
    noise: float = Field(default=0.1, ge=0)
    smoothing_cells: float = Field(default=0.5, gt=0, le=32)
    epochs: int = Field(default=40, ge=0)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    patience: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _heads_divide(self) -> MdaaeSaganConfig:
        if self.code % self.heads or (self.discriminator_width // 2) % self.heads:
            raise ValueError(f"heads {self.heads} must divide code {self.code} and half of discriminator_width {self.discriminator_width}")
        return self
