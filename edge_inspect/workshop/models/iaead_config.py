"""IAEAD's settings, and those that make its two baselines of it. Source: Cheng et al. 2021, sections 4.1 and 4.3."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from edge_inspect.workshop.models.system import SystemConfig

CAE: Mapping[str, Any] = MappingProxyType({"loss": "reconstruction", "score": "reconstruction"})
"""Setting of the paper's first baseline: lambda 0, score (3)."""
DEEP_SVDD: Mapping[str, Any] = MappingProxyType(
    {"loss": "svdd", "measured_from": "centre", "optimizer": "adam", "learning_rate": 1e-4, "weight_decay": 1e-6}
)
"""Setting of the second: (4), score (5); Adam, learning rate and decay are Ruff's code's, which the paper ran."""


class IaeadConfig(SystemConfig):
    """Defaults are the paper's; those of `weight_gain`, `centre_floor` and `embedding` are its published code's.

    Attributes:
        score: what the two outputs are, see `iaead.py`.
        loss: what is learnt after the warm-up: both terms of (8), its first or (7) alone.
        svdd_weight: lambda of (8); for "svdd" it is 1.
        nu: of (7).
        warm_up_epochs: without (7).
        halve_every_epochs: the learning rate.
        optimizer, weight_decay: the paper's is plain SGD; Adam is for Deep SVDD.
        channels: of the first block; the next have twice and four times as many, and no more.
        embedding: numbers for a whole part: a quarter of the paper's 32 x 32 pixels.
        cell_embedding: numbers for 8 x 8 pixels ("map"): a quarter too. Ours.
        cell_mean: "map" measures from the mean of the cell's own position, or from one mean of all positions. Ours.
        measured_from: the mean embedding after training, or c.
        weight_gain: Xavier's weights are multiplied by this at the start.
        centre_floor: c keeps this distance from zero in every coordinate.
    """

    score: Literal["global", "map", "reconstruction"] = "global"
    loss: Literal["both", "reconstruction", "svdd"] = "both"
    svdd_weight: float = Field(default=5e-5, ge=0)
    nu: float = Field(default=1.0, gt=0, le=1)
    warm_up_epochs: int = Field(default=20, ge=0)
    halve_every_epochs: int = Field(default=50, ge=1)
    optimizer: Literal["sgd", "adam"] = "sgd"
    weight_decay: float = Field(default=0.0, ge=0)
    channels: int = Field(default=64, ge=1)
    embedding: int = Field(default=256, ge=1)
    cell_embedding: int = Field(default=16, ge=1)
    cell_mean: Literal["position", "shared"] = "position"
    measured_from: Literal["mean", "centre"] = "mean"
    weight_gain: float = Field(default=0.02, gt=0)
    centre_floor: float = Field(default=0.1, ge=0)
    epochs: int = Field(default=250, ge=0)
    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=0.1, gt=0)
    patience: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _patience_outlasts_the_warm_up(self) -> IaeadConfig:
        if 0 < self.patience <= self.warm_up_epochs:
            raise ValueError(f"patience {self.patience} would stop within warm_up_epochs {self.warm_up_epochs}; take more patience or 0")
        return self
