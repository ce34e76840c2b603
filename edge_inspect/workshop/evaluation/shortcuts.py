"""Could good and defective pictures be told apart without looking for a defect? Then the set measures something else too.

Where all defective pictures were taken in brighter light than the good ones, an engine that sees only the light is perfect,
and a disturbance of the light makes defects easier or harder to find than they are. No engine is asked here: only how
bright, how contrasty, how noisy and how large each picture is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from edge_inspect.datatypes import UInt8Image
from edge_inspect.workshop.evaluation.labelled import GOOD

LOOKS = ("brightness", "contrast", "noise", "size")

SUSPICIOUS = 0.9
"""From here on a plain look alone tells good from defective well enough to be taken for an engine."""

NOISE_SIGMA_PX = 1.5

Look = tuple[float, ...]
"""One number for each of `LOOKS`."""


def look_at(pixels: UInt8Image) -> Look:
    """Median grey level, its standard deviation, the median distance from the smoothed picture, and the number of pixels.

    Medians, because a defect of usual size does not move them.
    """
    grey = pixels.mean(axis=2, dtype=np.float32)
    rough = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), NOISE_SIGMA_PX))
    return float(np.median(grey)), float(grey.std()), float(np.median(rough)), float(grey.size)


def shortcuts(kinds: npt.NDArray[np.str_], looks: Sequence[Look]) -> Mapping[str, float]:
    """How well each plain look tells good from defective: AUROC, whichever way round, so that 0.5 is not at all and 1 is always.

    Args:
        kinds: (n,) "good" or the kind of defect; both occur.
        looks: one for each picture.
    """
    columns = np.asarray(looks).T
    aurocs = [float(roc_auc_score(kinds != GOOD, column)) for column in columns]
    return {name: max(auroc, 1 - auroc) for name, auroc in zip(LOOKS, aurocs, strict=True)}


def suspicious(found: Mapping[str, float]) -> Mapping[str, float]:
    """Those that tell too well."""
    return {name: auroc for name, auroc in found.items() if auroc >= SUSPICIOUS}
