"""The network's image read out of the frame by an NVIDIA GPU: what `warp.cu` is told of a frame and its placement.

The kernel's numbers are tested on the CPU, through a shim and against `geometry.warp`, and its source is compiled for eight
GPU architectures. It has not run on a GPU here. The TensorRT worker launches it (`tensorrt_worker.py`).
"""

from __future__ import annotations

import enum
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from edge_inspect.datatypes import Affine, Placement
from edge_inspect.errors import EngineError
from edge_inspect.geometry import walk
from edge_inspect.runtimes.tensorrt_worker import PARAMETERS

KERNEL_FILE = Path(__file__).with_name("warp.cu")
_POSITION_UNITS = 2**32
_FARTHEST_BLOCK = 2**30
_GREATEST_BLOCK_PX = 2**24


class PixelLayout(enum.Enum):
    """How a camera lays out 8-bit pixels, by the names of the Pixel Format Naming Convention. Bayer: the first row's colours first.

    Source: EMVA, GenICam Pixel Format Naming Convention (PFNC).
    """

    MONO = "Mono8"
    RGB = "RGB8"
    BGR = "BGR8"
    BAYER_RGGB = "BayerRG8"
    BAYER_BGGR = "BayerBG8"
    BAYER_GRBG = "BayerGR8"
    BAYER_GBRG = "BayerGB8"

    @property
    def bytes_per_pixel(self) -> int:
        """3 where a pixel has its three colours, else 1."""
        return 3 if self in (PixelLayout.RGB, PixelLayout.BGR) else 1


_MONO, _COLOUR, _BAYER = 0, 1, 2
_KIND_AND_RED = {
    PixelLayout.MONO: (_MONO, 0, 0),
    PixelLayout.RGB: (_COLOUR, 0, 0),
    PixelLayout.BGR: (_COLOUR, 2, 0),
    PixelLayout.BAYER_RGGB: (_BAYER, 0, 0),
    PixelLayout.BAYER_GRBG: (_BAYER, 1, 0),
    PixelLayout.BAYER_GBRG: (_BAYER, 0, 1),
    PixelLayout.BAYER_BGGR: (_BAYER, 1, 1),
}
"""Kind of pixel, and where its red is: `kind`, `red_x` and `red_y` of the parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFormat:
    """How a frame lies in memory.

    Attributes:
        width, height: of the frame [px].
        pitch: from the start of one row to the start of the next [bytes]; what lies between rows is not read.
        layout: of its pixels.

    Raises:
        EngineError: a row does not fit into the pitch, or the frame is too small for its layout.
    """

    width: int
    height: int
    pitch: int
    layout: PixelLayout

    def __post_init__(self) -> None:
        least = 3 if _KIND_AND_RED[self.layout][0] == _BAYER else 1
        if min(self.width, self.height) < least:
            raise EngineError(
                f"frame format: {self.width} x {self.height} px of {self.layout.value}, wanted {least} x {least} or more; "
                "read the size from the camera again"
            )
        row_bytes = self.width * self.layout.bytes_per_pixel
        if self.pitch < row_bytes:
            raise EngineError(
                f"frame format: pitch {self.pitch} bytes, but a row of {self.width} px of {self.layout.value} has {row_bytes}; "
                "give the pitch in bytes"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WarpParameters:
    """What the kernel is told: `struct Plan` of warp.cu, in its order.

    Attributes:
        along_u_x, along_v_x, offset_x: network pixel (u, v) to block position x [2^-32 blocks].
        along_u_y, along_v_y, offset_y: and to block position y.
        pitch: from one row of the frame to the next [bytes].
        frame_width, frame_height: of the frame [px].
        left, top, right, bottom, block_width, block_height: as in `geometry.Walk`.
        width, height, channels: of the network's image.
        kind: 0 mono, 1 colour, 2 Bayer.
        red_x, red_y: colour: which sample of a pixel is red (red_x, 0 or 2). Bayer: a red pixel's column and row, 0 or 1.
    """

    along_u_x: int
    along_v_x: int
    offset_x: int
    along_u_y: int
    along_v_y: int
    offset_y: int
    pitch: int
    frame_width: int
    frame_height: int
    left: int
    top: int
    right: int
    bottom: int
    block_width: int
    block_height: int
    width: int
    height: int
    channels: int
    kind: int
    red_x: int
    red_y: int

    def packed(self) -> bytes:
        """The struct's bytes: the kernel's first argument. A worker process that has the kernel needs no more than these."""
        return PARAMETERS.pack(*astuple(self))

    @property
    def rows(self) -> tuple[int, int]:
        """The frame's rows that the kernel reads, half-open: the window's, and for Bayer a neighbour's above and below."""
        if self.kind != _BAYER:
            return self.top, self.bottom
        innermost = self.frame_height - 2
        return min(max(self.top, 1), innermost) - 1, min(max(self.bottom - 1, 1), innermost) + 2


def warp_parameters(placement: Placement, frame: FrameFormat) -> WarpParameters:
    """Plan a warp, with the window, blocks and affine of `geometry.walk`.

    Raises:
        EngineError: the network's image has neither 1 nor 3 channels, or lies too far from the frame, or its pixels are too large.
    """
    if placement.channels not in (1, 3):
        raise EngineError(f"placement: {placement.channels} channels, wanted 1 or 3; place the frame for this engine")
    plan = walk(placement, frame.width, frame.height)
    _refuse_beyond_integers(plan.affine, plan.block_width * plan.block_height, placement)
    along_u_x, along_v_x, offset_x, along_u_y, along_v_y, offset_y = (
        round(value * _POSITION_UNITS) for value in plan.affine.ravel().tolist()
    )
    kind, red_x, red_y = _KIND_AND_RED[frame.layout]
    return WarpParameters(
        along_u_x=along_u_x,
        along_v_x=along_v_x,
        offset_x=offset_x,
        along_u_y=along_u_y,
        along_v_y=along_v_y,
        offset_y=offset_y,
        pitch=frame.pitch,
        frame_width=frame.width,
        frame_height=frame.height,
        left=plan.left,
        top=plan.top,
        right=plan.right,
        bottom=plan.bottom,
        block_width=plan.block_width,
        block_height=plan.block_height,
        width=placement.width,
        height=placement.height,
        channels=placement.channels,
        kind=kind,
        red_x=red_x,
        red_y=red_y,
    )


def _refuse_beyond_integers(affine: Affine, block_px: int, placement: Placement) -> None:
    """The kernel counts positions in 64 bits and adds a block's levels in 32."""
    corners = np.array([[u, v, 1] for u in (0, placement.width) for v in (0, placement.height)], np.float64)
    farthest = float(np.abs(corners @ affine.T).max())
    if not farthest < _FARTHEST_BLOCK:
        raise EngineError(f"placement: reaches {farthest:.3g} network pixels away from the frame, more than 2^30; place the frame again")
    if block_px > _GREATEST_BLOCK_PX:
        raise EngineError(f"placement: a network pixel covers {block_px} frame pixels, more than 2^24; use a smaller region of interest")
