"""The line between good and defective in the plane of mean and maximum distance: a linear support vector machine.

Source: Tayeh et al. 2020, section IV.E, figure 8, fits it on the test images. Here it is fitted on calibration images that are named:
by the triplet system on the good training images and on defects drawn onto copies of them, never on test images. Errors count squared
(the paper's solver counts them plainly): with its C of 1e8 and clouds that overlap the plain one does not end, and what it has after
200,000 iterations points from defective to good. Where the clouds do not touch, both are the same hard margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PENALTY = 1e8
"""C of the paper: nearly a hard margin."""

TOLERANCE = 1e-8
MOST_ITERATIONS = 10_000
"""Of the solver; it needs about a hundred."""

Features = npt.NDArray[np.float64]
"""Mean and maximum of the distance map, (n, 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """Score = mean_weight * mean + maximum_weight * maximum + bias; above zero is the defective side."""

    mean_weight: float
    maximum_weight: float
    bias: float

    def scores(self, features: Features) -> npt.NDArray[np.float64]:
        """The score (n,) of each mean and maximum (n, 2)."""
        return np.asarray(features @ [self.mean_weight, self.maximum_weight] + self.bias)


def fit_svm(good: Features, defective: Features, *, penalty: float) -> Separation:
    """Fit a linear support vector machine.

    Args:
        good: mean and maximum of good images.
        defective: of defective ones.
        penalty: C; the paper's is 1e8, nearly a hard margin.

    Raises:
        ValueError: one side is empty.
    """
    if not (len(good) and len(defective)):
        raise ValueError(f"{len(good)} good and {len(defective)} defective images; a separation needs both, so calibrate with some of each")
    points = np.concatenate([good, defective])
    centre, spread = points.mean(axis=0), np.maximum(points.std(axis=0), 1e-12)
    weights, bias = _solved((points - centre) / spread, np.repeat([0, 1], [len(good), len(defective)]), penalty)
    slopes = weights / spread
    return Separation(mean_weight=float(slopes[0]), maximum_weight=float(slopes[1]), bias=float(bias - slopes @ centre))


def _solved(points: Features, labels: npt.NDArray[np.int64], penalty: float) -> tuple[Features, float]:
    """Weights and bias in standardised coordinates: on raw ones the solver stalls."""
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=penalty, dual=False, tol=TOLERANCE, max_iter=MOST_ITERATIONS).fit(points, labels)
    return np.asarray(machine.coef_[0], np.float64), float(machine.intercept_[0])
