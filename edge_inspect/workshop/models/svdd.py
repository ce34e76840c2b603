"""Deep SVDD: the smallest sphere around the embeddings of good parts.

Source: Ruff, Goernitz, Deecke et al. 2018, Deep One-Class Classification, eq. 3; Cheng et al. 2021, eq. 7 is the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def squared_distances(embedded: Tensor, centre: Tensor) -> Tensor:
    """||f(x) - c||^2 of every embedding: (n, e, h, w) and a centre (1, e, h or 1, w or 1) to (n, h, w)."""
    apart = embedded - centre
    return (apart * apart).sum(dim=1)


def svdd_loss(squared: Tensor, radius: Tensor, nu: float) -> Tensor:
    """R^2 + 1 / (nu n) sum max(0, ||f(x) - c||^2 - R^2). Source: Cheng et al. 2021, eq. 7.

    Args:
        squared: squared distances of the n embeddings, any shape.
        radius: R, a scalar without gradient: it is solved for, not learnt.
        nu: share of the embeddings that may lie outside, above 0 and at most 1.
    """
    return radius**2 + functional.relu(squared - radius**2).mean() / nu


def best_radius(squared: Tensor, nu: float) -> Tensor:
    """The R that minimises `svdd_loss` for these distances: the line search, solved exactly.

    The loss is piecewise linear in R^2 with slope 1 - (number outside) / (nu n): it is least where nu n embeddings lie outside.
    Of a range of equal minima the largest R is taken, so that nu 1 gives the nearest embedding's distance, as Ruff's quantile does.
    Source: Ruff et al. 2018, section 3.2 and proposition 4.
    """
    ordered = squared.detach().flatten().sort().values
    outside = math.ceil(round(nu * len(ordered), 9))
    return torch.sqrt(ordered[len(ordered) - outside])


def away_from_zero(centre: Tensor, least: float) -> Tensor:
    """Coordinates nearer to zero than `least` are moved to it: zero weights would meet a zero. Source: Ruff's published code."""
    moved = torch.where(centre < 0, -least, least)
    return torch.where(centre.abs() < least, moved.to(centre.dtype), centre)
