"""Before an engine serves: the GPU's warp, on this very GPU, against the CPU's.

Golden frames are of the network's size and say nothing of scale, angle and colours; what would be wrong there is found here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from edge_inspect.datatypes import Placement, UInt8Image
from edge_inspect.errors import EngineError
from edge_inspect.geometry import lay, warp
from edge_inspect.runtimes.tensorrt_buffers import SharedBuffers

GREATEST_DIFFERENCE = 1
"""Grey levels between the two, which round at each step (DECISIONS 46)."""

FRAME = (370, 517)
"""Height and width of the noise [px]: no multiple of anything."""

_TO_RGB = {
    "BayerRG8": cv2.COLOR_BayerRGGB2RGB,
    "BayerBG8": cv2.COLOR_BayerBGGR2RGB,
    "BayerGR8": cv2.COLOR_BayerGRBG2RGB,
    "BayerGB8": cv2.COLOR_BayerGBRG2RGB,
}


def prove_warp(buffers: SharedBuffers, run: Callable[[], None]) -> None:
    """Refuse a GPU whose warp makes another image than the CPU's; nothing where the CPU warps.

    Args:
        buffers: the engine's.
        run: has the GPU warp what was placed, into `buffers.image`.

    Raises:
        EngineError: the images differ, or the GPU failed.
    """
    if buffers.raw is None:
        return
    for what, pixels, same in _frames(buffers.raw.mosaic):
        for where, placement in _placements(buffers):
            buffers.place(pixels, placement)
            run()
            apart = np.abs(buffers.image[0].astype(np.float64) - warp(same, placement)).max()
            _refuse_difference(float(apart), f"{what} frame, {where}")


def _frames(mosaic: str | None) -> Iterator[tuple[str, UInt8Image, UInt8Image]]:
    """What it is called, pixels as a camera gives them, and the same for the CPU."""
    colours = np.random.default_rng(0).integers(0, 256, (*FRAME, 3), np.uint8)
    one = colours[..., :1].copy()
    yield "RGB8", colours, colours
    yield "BGR8", colours[..., ::-1], colours[..., ::-1].copy()
    yield (mosaic, one, cv2.cvtColor(one, _TO_RGB[mosaic]).astype(np.uint8, copy=False)) if mosaic else ("Mono8", one, one)


def _placements(buffers: SharedBuffers) -> Iterator[tuple[str, Placement]]:
    _, height, width, channels = buffers.frame.shape
    frame_height, frame_width = FRAME
    for where, turned_by, size in (
        ("whole", 0.0, (float(frame_width), float(frame_height))),
        ("turned", 0.5, (0.7 * frame_width, 0.6 * frame_height)),
        ("over its edge, enlarged", -2.0, (0.3 * width, 0.3 * height)),
    ):
        middle = (0.0, 0.0) if turned_by < 0 else ((frame_width - 1) / 2, (frame_height - 1) / 2)
        direction = (math.cos(turned_by), math.sin(turned_by))
        yield where, lay(middle, direction, size, width=width, height=height, channels=channels)


def _refuse_difference(difference: float, what: str) -> None:
    if not difference <= GREATEST_DIFFERENCE:
        raise EngineError(
            f"the GPU's warp is {difference:g} grey levels from the CPU's ({what}), {GREATEST_DIFFERENCE} is allowed; "
            "write gpu_warp: false into the runtime, and report this GPU"
        )
