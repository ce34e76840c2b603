"""Rules that look at good parts only and promise nothing: a threshold as a paper sets it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST = 2


def mean_of_errors(scores: Sequence[float]) -> float:
    """The mean of the good parts' scores. About half of all good parts lie above it: it is here to be compared with.

    Args:
        scores: image score of each good part, engine units; at least two.

    Raises:
        ValueError: too few scores.

    Source: Kumar, Malik and Puglisi 2025, "mean of the training images' errors".
    """
    if len(scores) < FEWEST:
        raise ValueError(f"{len(scores)} good scores have no mean worth the name; {FEWEST} or more are needed")
    return float(np.mean(scores))
