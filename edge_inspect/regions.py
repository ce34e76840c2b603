"""From a score map to regions: what lies above the pixel threshold and hangs together, told in frame coordinates."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import CellMask, Placement, Region, ScoreMap

Row = npt.NDArray[np.float64]
Cells = npt.NDArray[np.intp]

ROUNDING_PX = 1e-6
"""A box edge this close to a whole pixel lies on it; the rest is rounding in float64."""


def find_regions(
    score_map: ScoreMap, *, pixel_threshold: float, searched: CellMask, placement: Placement, mm_per_px: float | None
) -> tuple[Region, ...]:
    """Find what is wrong, worst first.

    Cells belong together when they touch at an edge or a corner. A cell that is not a number is never above the
    threshold: `decision.is_finite` faults the part.

    Args:
        score_map: (h, w) float32, engine units.
        pixel_threshold: a cell counts when its score is strictly above.
        searched: (h, w) bool, the cells that count.
        placement: where the network's image lies in the frame.
        mm_per_px: scale of the frame, or None.

    Returns:
        The regions, by highest peak, then larger area, then place (top, then left). Boxes and centres are measured from the
        frame's top left corner: a pixel reaches from i to i + 1.
    """
    above = (score_map > _float32_at_or_below(pixel_threshold)) & searched
    if not above.any():
        return ()
    return tuple(sorted(_regions(score_map, above, placement, mm_per_px), key=_worst_first))


def _float32_at_or_below(threshold: float) -> np.float32:
    """The largest float32 not above the threshold: a float32 score exceeds both or neither, with every numpy."""
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))


def _regions(score_map: ScoreMap, above: CellMask, placement: Placement, mm_per_px: float | None) -> Iterator[Region]:
    """Describe each connected part of `above`; the cells are sorted by region once, then each region is a run of them."""
    affine = placement.cell_affine(above.shape[1], above.shape[0])
    cell_px = abs(float(np.linalg.det(affine[:, :2])))
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA].tolist()
    centres = (centroids[1:] @ affine[:, :2].T + affine[:, 2] + 0.5).tolist()
    row, column = np.nonzero(above)
    order = np.argsort(labels[row, column], kind="stable")
    row, column = row[order], column[order]
    starts = np.concatenate([[0], np.cumsum(areas[:-1], dtype=np.intp)])
    lefts, rights = _ends(affine[0], column, row, starts)
    tops, bottoms = _ends(affine[1], column, row, starts)
    scores = score_map[row, column].astype(np.float64)
    peaks = np.maximum.reduceat(scores, starts).tolist()
    sums = np.add.reduceat(scores, starts).tolist()
    for i in range(count - 1):
        area_px = areas[i] * cell_px
        yield Region(
            left=lefts[i],
            top=tops[i],
            right=rights[i],
            bottom=bottoms[i],
            centre_x=centres[i][0],
            centre_y=centres[i][1],
            area_px=area_px,
            area_mm2=None if mm_per_px is None else area_px * mm_per_px**2,
            peak=peaks[i],
            mean=sums[i] / areas[i],
        )


def _ends(axis: Row, column: Cells, row: Cells, starts: Cells) -> tuple[list[int], list[int]]:
    """First and last edge of each region's cells along one axis of the frame, on whole pixels."""
    centre = axis[0] * column + axis[1] * row + axis[2] + 0.5
    half = (abs(axis[0]) + abs(axis[1])) / 2
    low = np.floor(np.minimum.reduceat(centre, starts) - half + ROUNDING_PX).astype(np.int64).tolist()
    high = np.ceil(np.maximum.reduceat(centre, starts) + half - ROUNDING_PX).astype(np.int64).tolist()
    return low, high


def _worst_first(region: Region) -> tuple[float, ...]:
    return (-region.peak, -region.area_px, region.top, region.left, region.centre_y, region.centre_x)
