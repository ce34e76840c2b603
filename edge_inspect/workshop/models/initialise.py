"""How weights start: what the papers say, in one place."""

from __future__ import annotations

from torch import nn


def xavier_uniform(module: nn.Module) -> None:
    """Uniform by fan-in and fan-out for convolutions and dense layers, zero biases; for `module.apply`. Source: Glorot, Bengio 2010."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
