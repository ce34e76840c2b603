"""Frames to time with: the golden frames as the camera would show them, or pictures that the camera took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from edge_inspect.cameras.pictures import Channels, list_pictures, read_picture, with_channels
from edge_inspect.config import Recipe, RegionOfInterest
from edge_inspect.datatypes import Frame, Placement, UInt8Image
from edge_inspect.errors import CameraError
from edge_inspect.geometry import lay, place
from edge_inspect.model_folder import ModelFolder

MOST = 64
"""Pictures read from a folder: a camera's frames of 5 MP take 15 MB each."""


def make_frames(model: ModelFolder, width: int, height: int, channels: int, *, recipe: Recipe | None = None) -> tuple[Frame, ...]:
    """The golden frames at the camera's size [px] and in its channels, 1 or 3, laid where the recipe looks for them.

    Around them their outermost pixels are repeated; a recipe with tiles shows them once a tile. With a locator they lie in the
    middle of the region of interest, as they would if the part lay there straight.

    Raises:
        ConfigError: the recipe's region of interest reaches out of a frame of this size.
    """
    images = model.load_golden().images
    if recipe is not None and recipe.tiles is not None:
        images = np.tile(images, (1, recipe.tiles.down, recipe.tiles.across, 1))
    placement = _laid(recipe, width, height, images.shape[2], images.shape[1])
    return tuple(_frame(_drawn(_in_channels(image, channels), placement, width, height), number) for number, image in enumerate(images))


def read_frames(folder: Path, *, channels: Channels | None = None) -> tuple[Frame, ...]:
    """The first pictures of a folder, 64 at most, as frames of one size.

    Args:
        folder: of pictures.
        channels: 1 or 3 converts; None takes them as they are.

    Raises:
        CameraError: there is no picture, one cannot be read, or one has another size than the first.
    """
    frames = [_frame(with_channels(read_picture(path), channels), number) for number, path in enumerate(list_pictures(folder)[:MOST])]
    for frame in frames:
        if frame.pixels.shape != frames[0].pixels.shape:
            sizes = f"{_size(frame.pixels)}, the first {_size(frames[0].pixels)}"
            raise CameraError(f"{folder}: picture {frame.sequence + 1} is {sizes}; show pictures of one size")
    return tuple(frames)


def _laid(recipe: Recipe | None, width: int, height: int, across: int, down: int) -> Placement:
    region = None if recipe is None else recipe.region_of_interest
    if recipe is None or recipe.locator is None:
        return place(width, height, region, width=across, height=down, channels=1)
    region = region or RegionOfInterest(left=0, top=0, width=width, height=height)
    middle = (region.left + region.width / 2 - 0.5, region.top + region.height / 2 - 0.5)
    return lay(middle, (1.0, 0.0), (recipe.locator.width, recipe.locator.height), width=across, height=down, channels=1)


def _drawn(image: UInt8Image, placement: Placement, width: int, height: int) -> UInt8Image:
    drawn = cv2.warpAffine(image, placement.affine, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.uint8).reshape(height, width, -1)


def _in_channels(image: UInt8Image, channels: int) -> UInt8Image:
    if image.shape[2] == channels:
        return image
    converted = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY)
    return np.asarray(converted, np.uint8).reshape(*image.shape[:2], channels)


def _frame(pixels: UInt8Image, number: int) -> Frame:
    pixels.setflags(write=False)
    now = datetime.now(timezone.utc)
    return Frame(pixels=pixels, sequence=number, exposed_ns=time.monotonic_ns(), taken_at=now, camera="bench")


def _size(pixels: UInt8Image) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]} x {pixels.shape[2]}"


def frame_size(frames: Sequence[Frame]) -> tuple[int, int, int]:
    """Width, height [px] and channels of the frames."""
    height, width, channels = frames[0].pixels.shape
    return width, height, channels
