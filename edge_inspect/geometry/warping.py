"""Reads the network's image out of the frame: block means first, so that shrinking does not alias, then bilinear.

`warp` is the arithmetic; `walk` says in whole numbers which frame pixels it reads. A kernel on another device takes its
numbers from `walk` and must come to the same image within one grey level.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import Affine, Placement, UInt8Image
from edge_inspect.geometry.placing import EDGE_SLACK_PX, reach

LONGEST_STEP = 1.25
"""Longest step of the bilinear reading [blocks]: halfway between two steps a single pixel still keeps (1 - 1.25 / 2)² = 14 %."""

STILL_PX = 1e-3
"""A displacement that cannot change a grey level: 255 / 1000 is a quarter of one."""

_NO_FRACTION = np.empty(0, np.uint16)
_AT_NETWORK_PIXELS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """Which frame pixels a warp reads, and in which blocks it averages them.

    Attributes:
        left, top, right, bottom: half-open window of the frame [frame px]; nothing outside it is read.
        block_width, block_height: size of a block [frame px]. Block (i, j) starts at (left + i * block_width,
            top + j * block_height); the last one of a row or column ends at the window's edge.
        affine: (2, 3) float64, network pixel centre to block centre.
    """

    left: int
    top: int
    right: int
    bottom: int
    block_width: int
    block_height: int
    affine: Affine


def walk(placement: Placement, frame_width: int, frame_height: int) -> Walk:
    """Plan a warp from a frame of this size.

    The window is every frame pixel that the placed image touches (for a turned image: its upright bounding box), inside
    the frame. A block is as long as the step from one network pixel to the next, rounded to the nearest whole pixel, but
    never so short that a step of more than `LONGEST_STEP` blocks is left; a whole-numbered step is its own block. The step
    along an axis of the frame is the root of the sum of squares of that row of the affine: the step itself, whatever the
    angle, where both scales are equal, and the matching one of two at quarter turns.
    """
    row_x, row_y = placement.affine.tolist()
    left, right, block_width = _window_and_block(row_x, placement, frame_width)
    top, bottom, block_height = _window_and_block(row_y, placement, frame_height)
    return Walk(
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        block_width=block_width,
        block_height=block_height,
        affine=np.array([_in_blocks(row_x, left, block_width), _in_blocks(row_y, top, block_height)]),
    )


def warp(pixels: UInt8Image, placement: Placement, out: UInt8Image | None = None) -> UInt8Image:
    """Read the network's image out of the frame: crop, scale and rotation as one affine.

    Three steps in real numbers, the result rounded to the nearest grey level:

    1. The pixels in `walk`'s window become block means: the mean of those pixels that the block has in the window.
    2. Network pixel (u, v) reads the blocks at `walk`'s affine, bilinear between the four nearest block centres; beyond
       the outermost block centres the outermost blocks are repeated.
    3. A grey frame is repeated into three channels, a colour frame becomes 0.299 R + 0.587 G + 0.114 B.

    Args:
        pixels: the frame (H, W, C) uint8, C is 1 or 3 (RGB); only the window is read.
        placement: where the network's image lies.
        out: (height, width, channels) uint8 to write into; without it a new array.

    Returns:
        `out`: the network's image (height, width, channels) uint8, within one grey level of these steps. (Here each step
        rounds. A pattern made to round the same way in every block, at a step that is no whole number, can make it two.)

    Raises:
        ValueError: `out` is not of that shape and type.
    """
    shape = (placement.height, placement.width, placement.channels)
    if out is None:
        out = np.empty(shape, np.uint8)
    if out.shape != shape or out.dtype != np.uint8:
        raise ValueError(f"out is {out.shape} {out.dtype}, the placement wants {shape} uint8")
    plan = walk(placement, pixels.shape[1], pixels.shape[0])
    window = pixels[plan.top : plan.bottom, plan.left : plan.right]
    if window.shape[2] == placement.channels:
        _read(window, plan, out)
    else:
        _read_and_convert(window, plan, out)
    return out


def _in_blocks(row: list[float], start: int, block: int) -> list[float]:
    """A row of the affine, in block centres instead of pixel centres."""
    along_u, along_v, offset = row
    return [along_u / block, along_v / block, (offset - start + 0.5) / block - 0.5]


def _window_and_block(row: list[float], placement: Placement, length: int) -> tuple[int, int, int]:
    """First pixel, end and block of a walk along one axis of the frame, `length` pixels long."""
    low, high = reach(row, placement)
    first = min(max(math.floor(low + EDGE_SLACK_PX), 0), length - 1)
    end = max(min(math.ceil(high - EDGE_SLACK_PX), length), first + 1)
    step = math.hypot(row[0], row[1]) - EDGE_SLACK_PX
    return first, end, max(1, math.ceil(step - 0.5), math.ceil(step / LONGEST_STEP))


def _read_and_convert(window: UInt8Image, plan: Walk, out: UInt8Image) -> None:
    read = np.empty((*out.shape[:2], window.shape[2]), np.uint8)
    _read(window, plan, read)
    cv2.cvtColor(read, cv2.COLOR_GRAY2RGB if out.shape[2] == 3 else cv2.COLOR_RGB2GRAY, dst=out)


def _read(window: UInt8Image, plan: Walk, out: UInt8Image) -> None:
    blocks_across = -(-window.shape[1] // plan.block_width)
    blocks_down = -(-window.shape[0] // plan.block_height)
    if (blocks_down, blocks_across) == out.shape[:2] and _is_at_blocks(plan.affine, out):
        _average_blocks(window, plan, out)
    elif plan.block_width == plan.block_height == 1:
        _interpolate(window, plan.affine, out)
    else:
        blocks = np.empty((blocks_down, blocks_across, window.shape[2]), np.uint8)
        _average_blocks(window, plan, blocks)
        _interpolate(blocks, plan.affine, out)


def _is_at_blocks(affine: Affine, out: UInt8Image) -> bool:
    """Whether every network pixel's centre is a block's centre."""
    height, width = out.shape[:2]
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [0, height - 1, 1]], np.float64)
    return bool(np.abs(corners @ affine.T - corners[:, :2]).max() < STILL_PX)


def _average_blocks(window: UInt8Image, plan: Walk, out: UInt8Image) -> None:
    for rows, blocks_down in _whole_and_rest(window.shape[0], plan.block_height):
        for columns, blocks_across in _whole_and_rest(window.shape[1], plan.block_width):
            _average(window[rows, columns], out[blocks_down, blocks_across])


def _whole_and_rest(length: int, block: int) -> Iterator[tuple[slice, slice]]:
    """Pixels and numbers of the whole blocks, and those of the last one where it is cut."""
    whole = length // block
    if whole:
        yield slice(0, whole * block), slice(0, whole)
    if whole * block < length:
        yield slice(whole * block, length), slice(whole, whole + 1)


def _average(part: UInt8Image, out: UInt8Image) -> None:
    """Average blocks of part.shape / out.shape pixels; blocks that are even both ways are halved first.

    OpenCV halves about five times faster than it averages by another number. Once only: halving rounds up more than down,
    by an eighth of a level in the mean, and twice would be seen as a second grey level now and then.
    """
    height, width = out.shape[:2]
    block_height, block_width = part.shape[0] // height, part.shape[1] // width
    if block_height % 2 == block_width % 2 == 0 and max(block_height, block_width) > 2:
        half = np.empty((part.shape[0] // 2, part.shape[1] // 2, part.shape[2]), np.uint8)
        cv2.resize(part, (half.shape[1], half.shape[0]), dst=half, interpolation=cv2.INTER_AREA)
        part = half
    cv2.resize(part, (width, height), dst=out, interpolation=cv2.INTER_AREA)


def _interpolate(image: UInt8Image, affine: Affine, out: UInt8Image) -> None:
    """Read `image` (H, W, C) at `affine`, bilinear, with its outermost pixels repeated beyond its edge."""
    size = (out.shape[1], out.shape[0])
    if _is_scaled_whole(image, affine, size):
        cv2.resize(image, size, dst=out, interpolation=cv2.INTER_LINEAR)
    elif _opencv_reads_exactly():
        cv2.warpAffine(image, affine, size, dst=out, flags=_AT_NETWORK_PIXELS, borderMode=cv2.BORDER_REPLICATE)
    else:
        _read_four_neighbours(image, affine, out)


def _is_scaled_whole(image: UInt8Image, affine: Affine, size: tuple[int, int]) -> bool:
    """Whether the affine is what resizing the whole image does."""
    step_x, step_y = image.shape[1] / size[0], image.shape[0] / size[1]
    resizing = np.array([[step_x, 0, step_x / 2 - 0.5], [0, step_y, step_y / 2 - 0.5]])
    return bool((np.abs(affine - resizing) @ np.array([*size, 1])).max() < STILL_PX)


@functools.cache
def _opencv_reads_exactly() -> bool:
    """Whether this OpenCV's warpAffine reads at the very position (5.0 does) or rounds it to 1/32 px (4.8 to 4.11 do).

    Between black and white 1/64 px are four grey levels: too far from what another device reads.
    """
    stripes = np.tile(np.array([[[0], [255]]], np.uint8), (64, 32, 1))
    exact = np.tile(np.array([[[255 / 64], [255 - 255 / 64]]]), (64, 32, 1))[:, :-1]
    shift = np.array([[1, 0, 1 / 64], [0, 1, 0]], np.float64)
    return all(_differs_little(stripes.repeat(channels, axis=2), shift, exact) for channels in (1, 3))


def _differs_little(image: UInt8Image, affine: Affine, exact: npt.NDArray[np.float64]) -> bool:
    height, width = exact.shape[:2]
    read = np.empty((height, width, image.shape[2]), np.uint8)
    cv2.warpAffine(image, affine, (width, height), dst=read, flags=_AT_NETWORK_PIXELS)
    return bool(np.abs(read - exact).max() < 1)


def _read_four_neighbours(image: UInt8Image, affine: Affine, out: UInt8Image) -> None:
    """What an exact warpAffine does, with every OpenCV; several times slower."""
    corners, right, down = _neighbours(tuple(affine.ravel().tolist()), out.shape[1], out.shape[0])
    fine = image.astype(np.float32)
    read = [cv2.remap(fine, corner, _NO_FRACTION, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE) for corner in corners]
    above = cv2.blendLinear(read[0], read[1], 1 - right, right)
    below = cv2.blendLinear(read[2], read[3], 1 - right, right)
    cv2.convertScaleAbs(cv2.blendLinear(above, below, 1 - down, down), dst=out)


@functools.lru_cache(maxsize=4)
def _neighbours(
    affine: tuple[float, ...], width: int, height: int
) -> tuple[list[npt.NDArray[np.int16]], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Top left, top right, bottom left and bottom right pixel (height, width, 2) of each position, and how far right and down it is."""
    v, u = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = (affine[i] * u + affine[i + 1] * v + affine[i + 2] for i in (0, 3))
    column, row = np.floor(x), np.floor(y)
    corners = [np.dstack([column + right, row + down]).astype(np.int16) for down in (0, 1) for right in (0, 1)]
    return corners, (x - column).astype(np.float32), (y - row).astype(np.float32)
