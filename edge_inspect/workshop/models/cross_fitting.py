"""What a term of a score says of good parts it was not fitted on.

A Gaussian or a memory fitted on some parts is nearer to these than to any part to come. Measured on them, its spread would be
too small, the more so the fewer they are, and one term would drown the other. So every part is measured by a term fitted on
the others; the held-out parts of the threshold stay untouched (DECISIONS 29).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Pair = tuple[list[Tensor], list[Tensor]]
"""Levels, and the same levels reconstructed: tensors of one length each."""

FOLDS = 4
CHUNK = 16
"""Parts in one step."""


class Term(Protocol):
    """One part of a score: fitted on good parts, then a map for each."""

    def fit(self, pairs: Iterable[Pair]) -> None:
        """Take from good parts what it needs."""

    def __call__(self, levels: Sequence[Tensor], again: Sequence[Tensor]) -> Tensor:
        """Map (n, 1, h, w)."""
        ...


def cross_fitted(term: Term, pair: Pair, *, folds: int = FOLDS) -> Tensor:
    """Maps (n, 1, h, w) of all parts, each by the term fitted on the other folds; afterwards it is fitted on all.

    Folds are runs of neighbouring parts: pictures of one part, or of one hour, stay together. With fewer than four parts
    there is nothing to hold back, and the maps are of the term fitted on all.
    """
    count = len(pair[0][0])
    everything = torch.arange(count)
    if count < folds:
        term.fit(_chunks(pair, everything))
        return torch.cat([term(*some) for some in _chunks(pair, everything)])
    maps = []
    for fold in np.array_split(np.arange(count), folds):
        others = np.setdiff1d(np.arange(count), fold)
        term.fit(_chunks(pair, torch.from_numpy(others)))
        maps += [term(*some) for some in _chunks(pair, torch.from_numpy(fold))]
    term.fit(_chunks(pair, everything))
    return torch.cat(maps)


def joined(pairs: Iterable[Pair]) -> Pair:
    """One pair of all parts."""
    levels, again = zip(*pairs, strict=True)
    return [torch.cat(same) for same in zip(*levels, strict=True)], [torch.cat(same) for same in zip(*again, strict=True)]


def _chunks(pair: Pair, indices: Tensor) -> Iterator[Pair]:
    for chunk in torch.split(indices, CHUNK):
        levels, again = ([level[chunk] for level in some] for some in pair)
        yield levels, again
