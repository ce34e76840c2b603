"""Pixel by pixel at the mask's resolution: AUROC, and AUPRO (how much of every defect is found, per false alarm).

The score map is laid over the frame through the placement and read between its cells bilinearly; the mask stays as it was
drawn, since a scratch of two pixels would not survive being shrunk to cells. Only counts are kept, not pixels: how many lie
above each of some two thousand scores. Those are quantiles of the map's own cells, so that nothing depends on the scale.

What the recipe does not search counts against the engine or not at all: a defective pixel there is missed at every
threshold, a good one is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import auc, roc_auc_score

from edge_inspect.datatypes import CellMask, ScoreMap
from edge_inspect.errors import CameraError
from edge_inspect.workshop.evaluation.judging import Judged, Progress, Seen, silent
from edge_inspect.workshop.evaluation.labelled import read_mask

MOST_CELLS = 4_000_000
"""Cells that the thresholds are taken from; more do not move a quantile."""

LEVELS = np.unique(np.concatenate([np.linspace(0, 1, 1001), 1 - np.geomspace(1e-7, 1, 1001)]))
"""Quantiles taken as thresholds: evenly, and closer and closer towards the highest score, where AUPRO is decided."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFigures:
    """What is measured pixel by pixel.

    Attributes:
        auroc: area under the ROC curve of all pixels.
        aupro_30, aupro_05: area under the mean overlap with every defect against the share of good pixels above the
            threshold, up to 0.30 and 0.05 of it, divided by that limit.
        images: pictures that count.
        regions: connected defects (8 neighbours).
    """

    auroc: float
    aupro_30: float
    aupro_05: float
    images: int
    regions: int


class PixelCounts:
    """How many pixels lie between neighbouring thresholds, added up picture by picture.

    Attributes:
        good: (t + 2,) good pixels in each interval; the first is not searched, the last above every threshold.
        defective: (t + 2,) defective pixels likewise.
        overlap: (t + 2,) shares of defects likewise: every connected defect adds 1 in all.
        regions: connected defects so far.
        images: pictures so far.
    """

    def __init__(self, thresholds: ScoreMap) -> None:
        self._thresholds = np.append(np.float32(-np.inf), thresholds)  # below all: what is not searched
        self.good = np.zeros(len(thresholds) + 2)
        self.defective = np.zeros(len(thresholds) + 2)
        self.overlap = np.zeros(len(thresholds) + 2)
        self.regions = 0
        self.images = 0

    def add(self, scores: ScoreMap, mask: CellMask) -> None:
        """Count one picture: scores (H, W), -inf where nothing is searched, and its mask (H, W)."""
        searched_good = np.sort(scores[~mask & np.isfinite(scores)])
        above = np.searchsorted(searched_good, self._thresholds, side="right")
        self.good += np.diff(above, prepend=0, append=len(searched_good))
        self.images += 1
        if mask.any():
            self._add_defects(scores, mask)

    def _add_defects(self, scores: ScoreMap, mask: CellMask) -> None:
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        interval = np.searchsorted(self._thresholds, scores[mask], side="left")
        shares = 1 / stats[labels[mask], cv2.CC_STAT_AREA]
        self.defective += np.bincount(interval, minlength=len(self.defective))
        self.overlap += np.bincount(interval, weights=shares, minlength=len(self.overlap))
        self.regions += count - 1


def pixel_figures(judged: Sequence[Judged], progress: Progress = silent) -> tuple[PixelFigures | None, tuple[str, ...]]:
    """Measure pixel by pixel.

    Returns:
        The figures, None where no defective picture has a usable mask; and why defective pictures were left out of them.
    """
    seen = [(one, one.seen) for one in judged if one.seen is not None]
    left_out = [f"{one.image.name}: was not inspected" for one in judged if one.seen is None]
    counts = PixelCounts(thresholds_from_cells([at.score_map for _, at in seen]))
    for number, (one, at) in enumerate(seen):
        try:
            mask = read_mask(one.image, width=one.frame_width, height=one.frame_height)
        except CameraError as error:
            left_out.append(str(error))
        else:
            counts.add(frame_scores(at, width=one.frame_width, height=one.frame_height), mask)
        progress("pixels", number + 1, len(seen))
    return (figures_from_counts(counts) if counts.regions and counts.good.any() else None), tuple(left_out)


def frame_scores(seen: Seen, *, width: int, height: int) -> ScoreMap:
    """The score map laid over a frame (height, width) float32, engine units; -inf where the recipe does not search."""
    affine = seen.placement.cell_affine(seen.score_map.shape[1], seen.score_map.shape[0])
    size = (width, height)
    scores = np.asarray(cv2.warpAffine(seen.score_map, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    searched = cv2.warpAffine(seen.searched.astype(np.uint8), affine, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    scores[searched == 0] = -np.inf
    return scores


def thresholds_from_cells(maps: Sequence[ScoreMap]) -> ScoreMap:
    """Increasing thresholds (t,) float32: quantiles of all cells, the lowest and the highest among them; none of none."""
    if not maps:
        return np.zeros(0, np.float32)
    every = max(1, -(-sum(cells.size for cells in maps) // MOST_CELLS))
    chosen = np.concatenate([np.append(cells.ravel()[::every], (cells.min(), cells.max())) for cells in maps])
    chosen.sort()
    return np.unique(chosen[np.rint(LEVELS * (len(chosen) - 1)).astype(np.intp)])


def figures_from_counts(counts: PixelCounts) -> PixelFigures:
    """The figures of all pictures counted; at least one good pixel and one defect."""
    intervals = np.arange(len(counts.good))
    labels = np.repeat([False, True], len(intervals))
    weights = np.concatenate([counts.good, counts.defective])
    return PixelFigures(
        auroc=float(roc_auc_score(labels, np.tile(intervals, 2), sample_weight=weights)),
        aupro_30=aupro(counts, limit=0.30),
        aupro_05=aupro(counts, limit=0.05),
        images=counts.images,
        regions=counts.regions,
    )


def aupro(counts: PixelCounts, *, limit: float) -> float:
    """Area under the per-region overlap up to a false positive rate of `limit`, divided by it: 1 is perfect.

    Between thresholds the curve is straight; at the limit it is cut. Source: Bergmann et al. 2021, The MVTec Anomaly
    Detection Dataset, section 5.2 (per-region overlap, limit 0.3).
    """
    false_positives = _share_above(counts.good)
    overlap = _share_above(counts.overlap)
    inside = false_positives <= limit
    rates = np.append(false_positives[inside], limit)
    overlaps = np.append(overlap[inside], np.interp(limit, false_positives, overlap))
    return float(auc(rates, overlaps)) / limit


def _share_above(counts: Numbers) -> Numbers:
    """Share above each threshold, from the highest (0 of 1) to none (1)."""
    return np.append(0.0, np.cumsum(counts[::-1]) / counts.sum())
