"""From a score map to regions: what lies above the pixel threshold and hangs together, told in frame coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import CellMask, Placement, Region, ScoreMap, ZoneCells

Row = npt.NDArray[np.float64]
Cells = npt.NDArray[np.intp]
Ends = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

ROUNDING_PX = 1e-6
"""A box edge this close to a whole pixel lies on it; the rest is rounding in float64."""


class Zoned:
    """Zones of a score map, each with a threshold of its own. Made once for a map; the line only compares.

    Attributes:
        cells: (h, w) uint8, the number of each cell's zone.
        names: of the zones, from number 1.
        thresholds: (h, w) float32, the threshold of each cell.
        lowest: of them.
    """

    def __init__(self, cells: ZoneCells, *, names: Sequence[str], thresholds: Sequence[float], outside: float) -> None:
        self.cells = cells
        self.names = ("", *names)
        each = np.array([_float32_at_or_below(threshold) for threshold in (outside, *thresholds)], np.float32)
        self.thresholds: npt.NDArray[np.float32] = each[cells]
        self.lowest: np.float32 = self.thresholds.min()

    def of(self, labels: npt.NDArray[np.int32], count: int) -> list[int]:
        """Number of the zone that most cells of each of `count` regions lie in; of as many the lowest number, so outside comes first.

        Args:
            labels: (h, w), the number of each cell's region, from 1; 0 for none.
            count: how many regions there are.
        """
        kinds = len(self.names)
        pairs = labels.astype(np.int64).ravel() * kinds + self.cells.ravel()
        table = np.bincount(pairs, minlength=(count + 1) * kinds).reshape(count + 1, kinds)
        numbers: list[int] = table[1:].argmax(axis=1).tolist()
        return numbers


def find_regions(
    score_map: ScoreMap,
    *,
    pixel_threshold: float,
    searched: CellMask,
    placement: Placement,
    mm_per_px: float | None,
    zones: Zoned | None = None,
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
        zones: thresholds of their own for some cells, in place of `pixel_threshold`; None where the recipe has no zones.

    Returns:
        The regions, by highest peak, then larger area, then place (top, then left). Boxes and centres are measured from the
        frame's top left corner: a pixel reaches from i to i + 1.
    """
    threshold = _float32_at_or_below(pixel_threshold) if zones is None else zones.thresholds
    lowest = threshold if zones is None else zones.lowest
    if score_map.max() <= lowest:  # most parts are good; not so where a cell is no number
        return ()
    above = (score_map > threshold) & searched
    return _regions(score_map, above, placement, mm_per_px, zones) if above.any() else ()


def _float32_at_or_below(threshold: float) -> np.float32:
    """The largest float32 not above the threshold: a float32 score exceeds both or neither, with every numpy."""
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))


def _regions(
    score_map: ScoreMap, above: CellMask, placement: Placement, mm_per_px: float | None, zones: Zoned | None
) -> tuple[Region, ...]:
    """Describe each connected part of `above`; the cells are sorted by region once, then each region is a run of them."""
    affine = placement.cell_affine(above.shape[1], above.shape[0])
    cell_px = abs(float(np.linalg.det(affine[:, :2])))
    _, labels, stats, centroids = cv2.connectedComponentsWithStats(above.view(np.uint8), connectivity=8)
    cells = stats[1:, cv2.CC_STAT_AREA]
    row, column = np.nonzero(above)
    order = np.argsort(labels[row, column], kind="stable")
    row, column = row[order], column[order]
    starts = np.concatenate([[0], np.cumsum(cells[:-1], dtype=np.intp)])
    scores = score_map[row, column].astype(np.float64)
    table = _Table(
        centre=centroids[1:] @ affine[:, :2].T + affine[:, 2] + 0.5,
        horizontal=_ends(affine[0], column, row, starts),
        vertical=_ends(affine[1], column, row, starts),
        area_px=np.asarray(cells * cell_px, np.float64),
        peak=np.maximum.reduceat(scores, starts),
        mean=np.add.reduceat(scores, starts) / cells,
        zone=[0] * len(cells) if zones is None else zones.of(np.asarray(labels, np.int32), len(cells)),
        names=("",) if zones is None else zones.names,
    )
    return table.regions(None if mm_per_px is None else mm_per_px**2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """All regions at once, a column for each of their numbers: a map full of noise has thousands."""

    centre: Row
    horizontal: Ends
    vertical: Ends
    area_px: Row
    peak: Row
    mean: Row
    zone: list[int]
    names: tuple[str, ...]

    def regions(self, mm2_per_px: float | None) -> tuple[Region, ...]:
        """A row each, the worst first."""
        left, top = self.horizontal[0], self.vertical[0]
        worst_first = np.lexsort((self.centre[:, 0], self.centre[:, 1], left, top, -self.area_px, -self.peak))
        columns = (left, top, self.horizontal[1], self.vertical[1], *self.centre.T, self.area_px, self.peak, self.mean)
        return tuple(
            Region(
                left=left,
                top=top,
                right=right,
                bottom=bottom,
                centre_x=centre_x,
                centre_y=centre_y,
                area_px=area_px,
                area_mm2=None if mm2_per_px is None else area_px * mm2_per_px,
                peak=peak,
                mean=mean,
                zone=self.names[self.zone[index]],
                zone_number=self.zone[index],
            )
            for index, left, top, right, bottom, centre_x, centre_y, area_px, peak, mean in zip(
                worst_first.tolist(), *(column[worst_first].tolist() for column in columns), strict=True
            )
        )


def _ends(axis: Row, column: Cells, row: Cells, starts: Cells) -> Ends:
    """First and last edge of each region's cells along one axis of the frame, on whole pixels."""
    centre = axis[0] * column + axis[1] * row + axis[2] + 0.5
    half = (abs(axis[0]) + abs(axis[1])) / 2
    low = np.floor(np.minimum.reduceat(centre, starts) - half + ROUNDING_PX).astype(np.int64)
    high = np.ceil(np.maximum.reduceat(centre, starts) + half - ROUNDING_PX).astype(np.int64)
    return low, high
