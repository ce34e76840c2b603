"""A runtime that looks at a frame in pieces: one inference a tile, one score map of all."""

from __future__ import annotations

from edge_inspect.datatypes import Placement, Scores, UInt8Image
from edge_inspect.geometry import Tiling
from edge_inspect.protocols import Runtime


class Tiled:
    """A `protocols.Runtime` over another one. What it costs grows with the number of tiles, and with nothing else."""

    def __init__(self, runtime: Runtime, tiling: Tiling) -> None:
        self._runtime = runtime
        self._tiling = tiling

    def infer(self, pixels: UInt8Image, placement: Placement) -> Scores:  # noqa: ARG002 - where the tiles lie is known
        """Infer every tile of the frame.

        Returns:
            The mosaic of the maps (h, w) float32, and the highest image score of any tile where the engine has one.

        Raises:
            EngineError: the engine failed on a tile.
        """
        said = [self._runtime.infer(pixels, place) for place in self._tiling.placements]
        own = [scores.image for scores in said if scores.image is not None]
        return Scores(map=self._tiling.joined([scores.map for scores in said]), image=_highest(own) if len(own) == len(said) else None)


def _highest(scores: list[float]) -> float:
    """The highest of them; not a number where one is none, so that the part is a FAULT."""
    return next((score for score in scores if score != score), max(scores))  # noqa: PLR0124 - NaN differs from itself
