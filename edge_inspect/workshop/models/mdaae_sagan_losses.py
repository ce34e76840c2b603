"""Losses of the multi-level autoencoder and of the adversaries. Source: An, Wu, Li 2026, eq. 6, 8, 9, 13, 14 (reconstructed)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

FOCUS = 3.0
"""Weight of an anomalous cell against a good one: a planted anomaly covers a few cells of a thousand. Ours."""


def masked_reconstruction(levels: Sequence[Tensor], again: Sequence[Tensor], masks: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Eq. 6 without its last term: sum over l of beta_l mean of M_l (F_l - F^_l)^2.

    Args:
        levels: (n, c_l, h_l, w_l) each.
        again: the same, reconstructed.
        masks: (1 or n, 1, h_l, w_l), the effective area, 0 to 1.
        weights: beta_l.
    """
    terms = [
        beta * (mask * (level - other) ** 2).sum() / (mask.expand(len(level), -1, -1, -1).sum() * level.shape[1]).clamp(min=1)
        for level, other, mask, beta in zip(levels, again, masks, weights, strict=True)
    ]
    return torch.stack(terms).sum()


def sparsity(code: Tensor) -> Tensor:
    """||z||_1 by element, the last term of eq. 6."""
    return code.abs().mean()


def discrimination(judged: Tensor, anomalous: Tensor) -> Tensor:
    """Eq. 8 cell by cell: -log D where good, -log (1 - D) where not, hard cells counting more.

    Args:
        judged: (n, 1, h, w), the logit that a cell is anomalous.
        anomalous: (n, 1, h, w), 0 or 1.
    """
    plain = functional.binary_cross_entropy_with_logits(judged, anomalous, reduction="none")
    wrong = (torch.sigmoid(judged.detach()) - anomalous).abs()
    return (plain * wrong * (1 + (FOCUS - 1) * anomalous)).mean()


def non_saturating(judged: Tensor) -> Tensor:
    """Eq. 9: the generator wants its cells taken for good, -log D(G)."""
    return functional.softplus(judged).mean()


def feature_matching(real: Tensor, made: Tensor) -> Tensor:
    """Eq. 13's second term: squared difference of the mean features of what is real and what was made."""
    return ((real.mean(dim=(0, 2, 3)) - made.mean(dim=(0, 2, 3))) ** 2).mean()
