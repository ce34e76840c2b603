"""A region of interest in pieces: one placement for each tile, on one grid of cells, so that maps join without a seam.

Tiles are laid in whole cells. A cell of the mosaic is the same piece of the frame in every tile that covers it, and what is found
on the mosaic is what would be found if the network's image were as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.config import RegionOfInterest, Tiles
from edge_inspect.datatypes import Placement, ScoreMap
from edge_inspect.errors import ConfigError
from edge_inspect.geometry.placing import place


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What one inference takes and gives: the network's image [px], its channels, and its score map [cells]."""

    width: int
    height: int
    channels: int
    map_width: int
    map_height: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiling:
    """How tiles lie.

    Attributes:
        placements: of each tile, row by row.
        corners: row and column of each tile's first cell in the mosaic.
        placement: of the mosaic, whose pixels are its cells.
        width, height: of the mosaic [cells].
    """

    placements: tuple[Placement, ...]
    corners: tuple[tuple[int, int], ...]
    placement: Placement
    width: int
    height: int

    def tile_at(self, row: int, column: int) -> tuple[Placement, slice, slice]:
        """The tile that sees a cell of the mosaic, of several the first: its placement, and which rows and columns of cells it has."""
        across, down = self.width - max(left for _, left in self.corners), self.height - max(top for top, _ in self.corners)
        index, (top, left) = next(
            (index, (top, left))
            for index, (top, left) in enumerate(self.corners)
            if top <= row < top + down and left <= column < left + across
        )
        return self.placements[index], slice(top, top + down), slice(left, left + across)

    def joined(self, maps: Sequence[ScoreMap]) -> ScoreMap:
        """The mosaic (height, width) of the tiles' maps: where they overlap, the higher score of a cell; NaN where one is."""
        mosaic = np.full((self.height, self.width), -np.inf, np.float32)
        for (row, column), score_map in zip(self.corners, maps, strict=True):
            below = mosaic[row : row + score_map.shape[0], column : column + score_map.shape[1]]
            np.maximum(below, score_map, out=below)
        return mosaic


def tile(frame_width: int, frame_height: int, region: RegionOfInterest | None, tiles: Tiles, grid: Grid) -> Tiling:
    """Lay tiles over the region of interest: together they cover it exactly, and nothing beyond it.

    Args:
        frame_width: width of the frame [px].
        frame_height: height of the frame [px].
        region: the region of interest; None is the whole frame. Tiles turn with it.
        tiles: how many, and how far neighbours overlap at least.
        grid: of one inference.

    Raises:
        ConfigError: the region reaches out of the frame, or tiles would have to overlap by more than they are large.
    """
    across_px, down_px = (frame_width, frame_height) if region is None else (region.width, region.height)
    columns, width = _along(across_px, tiles.across, grid.map_width, tiles.overlap_px, "across")
    rows, height = _along(down_px, tiles.down, grid.map_height, tiles.overlap_px, "down")
    mosaic = place(frame_width, frame_height, region, width=width, height=height, channels=grid.channels)
    corners = tuple((row, column) for row in rows for column in columns)
    placements = tuple(_placed(mosaic, row, column, grid) for row, column in corners)
    return Tiling(placements=placements, corners=corners, placement=mosaic, width=width, height=height)


def _along(length_px: float, count: int, cells: int, overlap_px: float, side: str) -> tuple[range, int]:
    """First cell of each tile along one side, and how many cells there are: the fewest shared ones that are wide enough."""
    for shared in range(cells):
        step = cells - shared
        total = (count - 1) * step + cells
        if shared * length_px / total >= overlap_px or count == 1:
            return range(0, (count - 1) * step + 1, step), total
    raise ConfigError(
        f"tiles: {count} tiles {side} over {length_px:g} px cannot overlap by {overlap_px:g} px, which is more than a tile is long; "
        f"lower overlap_px or {side}"
    )


def _placed(mosaic: Placement, row: int, column: int, grid: Grid) -> Placement:
    """The network's image laid over cells `row` and `column` onwards."""
    step_x, step_y = grid.map_width / grid.width, grid.map_height / grid.height
    to_mosaic = np.array([[step_x, 0, column + step_x / 2 - 0.5], [0, step_y, row + step_y / 2 - 0.5], [0, 0, 1]])
    return Placement(affine=mosaic.affine @ to_mosaic, width=grid.width, height=grid.height, channels=grid.channels)
