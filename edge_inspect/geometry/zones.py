"""Which zone of the recipe each cell of the score map lies in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_inspect.config import Polygon, Zone
from edge_inspect.datatypes import Placement, ZoneCells
from edge_inspect.geometry.masks import Edges, cell_centres, inside


def zone_cells(placement: Placement, map_width: int, map_height: int, zones: Sequence[Zone]) -> ZoneCells:
    """The number of each cell's zone (map_height, map_width) uint8: its place in the recipe from 1, 0 outside of all.

    A cell belongs where its centre lies, and to the first of several zones.
    """
    in_frame = cell_centres(placement, map_width, map_height)
    in_network = _centres_in_network(placement, map_width, map_height)
    cells = np.zeros((map_height, map_width), np.uint8)
    for number, zone in reversed(list(enumerate(zones, start=1))):
        x, y = in_frame if zone.pixels == "frame" else in_network
        cells[inside(x, y, outline(zone))] = number
    return cells


def outline(zone: Zone) -> Polygon:
    """The zone as a polygon, in its own pixels."""
    if zone.polygon is not None:
        return zone.polygon
    assert zone.rectangle is not None
    left, top = zone.rectangle.left, zone.rectangle.top
    right, bottom = left + zone.rectangle.width, top + zone.rectangle.height
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _centres_in_network(placement: Placement, map_width: int, map_height: int) -> tuple[Edges, Edges]:
    x = (np.arange(map_width) + 0.5) * placement.width / map_width
    y = (np.arange(map_height) + 0.5) * placement.height / map_height
    across, down = np.meshgrid(x, y)
    return across, down
