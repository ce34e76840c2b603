"""Where the network's image lies in the frame, and how its pixels are read there. The only preprocessing outside the graph.

Two ways to say where: a *position* is a pixel's centre (the top left pixel's centre is 0, 0), as in every affine; an *edge*
counts from the frame's top left corner, so that a pixel reaches from i to i + 1, as in regions of interest, polygons and
boxes. An edge is the position plus one half.

`placing` makes a `Placement` for the region of interest, `locating` one for a loose part that `outlining` finds there, `tiling`
one for each of several pieces, `despeckling` takes black and white specks out before, `warping` reads the pixels, `masks` says which
cells of the score map count, `zones` which of them have limits of their own.
"""

from edge_inspect.geometry.despeckling import despeckle
from edge_inspect.geometry.locating import locate
from edge_inspect.geometry.masks import searched_cells
from edge_inspect.geometry.placing import frame_points, lay, place
from edge_inspect.geometry.tiling import Grid, Tiling, tile
from edge_inspect.geometry.warping import Walk, walk, warp
from edge_inspect.geometry.zones import zone_cells

__all__ = [
    "Grid",
    "Tiling",
    "Walk",
    "despeckle",
    "frame_points",
    "lay",
    "locate",
    "place",
    "searched_cells",
    "tile",
    "walk",
    "warp",
    "zone_cells",
]
