"""Which cells of the score map count: polygons, a PNG and a border rule, all in frame pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.config import Masks, Polygon
from edge_inspect.datatypes import CellMask, Placement
from edge_inspect.errors import ConfigError

Edges = npt.NDArray[np.float64]
"""Positions of cell centres (h, w), measured from the frame's top left corner [px]."""


def searched_cells(  # noqa: PLR0917 - two sizes, in the order everybody writes them
    placement: Placement, map_width: int, map_height: int, frame_width: int, frame_height: int, masks: Masks
) -> CellMask:
    """Say which cells of the score map count. A cell belongs where its centre lies; beyond the frame's edge there is no part.

    Args:
        placement: where the network's image lies in the frame.
        map_width: width of the score map [cells].
        map_height: height of the score map [cells].
        frame_width: width of the frame [px].
        frame_height: height of the frame [px].
        masks: polygons from the frame's top left corner, a PNG of the frame's size, and the border of the region of interest.

    Returns:
        (map_height, map_width) bool, True where a defect counts.

    Raises:
        ConfigError: the PNG cannot be read or has another size than the frame, or no cell is left.
    """
    x, y = cell_centres(placement, map_width, map_height)
    searched = _far_from_edge(placement, map_width, map_height, masks.border_px)
    searched &= (x >= 0) & (x <= frame_width) & (y >= 0) & (y <= frame_height)
    if masks.include:
        searched &= _in_any(x, y, masks.include)
    searched &= ~_in_any(x, y, masks.ignore)
    if masks.png is not None:
        white = _load_png(masks.png, frame_width, frame_height)
        searched &= white[_pixel_at(y, frame_height), _pixel_at(x, frame_width)]
    if not searched.any():
        raise ConfigError(
            f"masks: nothing would be inspected: none of the {map_width} x {map_height} cells of the score map is left; "
            "enlarge `include` or the PNG's white, or reduce `ignore` and `border_px`"
        )
    return searched


def cell_centres(placement: Placement, map_width: int, map_height: int) -> tuple[Edges, Edges]:
    """Column and row of every cell's centre (h, w), from the frame's top left corner [px]."""
    row, column = np.arange(map_height, dtype=np.float64)[:, np.newaxis], np.arange(map_width, dtype=np.float64)
    (a, b, left), (c, d, top) = placement.cell_affine(map_width, map_height).tolist()
    return a * column + b * row + left + 0.5, c * column + d * row + top + 0.5


def _far_from_edge(placement: Placement, map_width: int, map_height: int, border_px: float) -> CellMask:
    """Cells whose centre is at least `border_px` from every edge of the network's image."""
    step_x, step_y = np.linalg.norm(placement.cell_affine(map_width, map_height)[:, :2], axis=0).tolist()
    across, down = np.arange(map_width) + 0.5, np.arange(map_height) + 0.5
    far_across = np.minimum(across, map_width - across) * step_x >= border_px
    far_down = np.minimum(down, map_height - down) * step_y >= border_px
    far: CellMask = far_down[:, np.newaxis] & far_across
    return far


def _in_any(x: Edges, y: Edges, polygons: tuple[Polygon, ...]) -> CellMask:
    found = np.zeros(x.shape, np.bool_)
    for polygon in polygons:
        found |= inside(x, y, polygon)
    return found


def inside(x: Edges, y: Edges, polygon: Polygon) -> CellMask:
    """Even-odd rule: inside is where a ray to the right crosses the outline an odd number of times."""
    found = np.zeros(x.shape, np.bool_)
    for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            found ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return found


def _pixel_at(edges: Edges, length: int) -> npt.NDArray[np.int64]:
    return np.clip(np.floor(edges), 0, length - 1).astype(np.int64)


def _load_png(path: Path, frame_width: int, frame_height: int) -> CellMask:
    """Read which pixels (H, W) are not black. Transparency does not count."""
    image = _decoded(path)
    height, width = image.shape[:2]
    if (width, height) != (frame_width, frame_height):
        raise ConfigError(
            f"{path}: the mask is {width} x {height} px, the frame {frame_width} x {frame_height}; draw it on a frame of this camera"
        )
    return np.asarray(np.any(image.reshape(height, width, -1)[:, :, :3], axis=2), np.bool_)


def _decoded(path: Path) -> cv2.typing.MatLike:
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    except OSError as error:
        raise ConfigError(f"{path}: the mask cannot be read: {error.strerror}; check masks.png and the permissions") from error
    except cv2.error as error:
        raise ConfigError(f"{path}: the mask is not an image: {error.err}; save it as PNG again") from error
    if image is None:
        raise ConfigError(f"{path}: the mask is not an image: its content cannot be decoded; save it as PNG again")
    return image
