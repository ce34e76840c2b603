"""What can be set about the triplet network, and how its map is made to cover the image."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.random_erasing import Fill
from edge_inspect.workshop.models.system import SystemConfig
from edge_inspect.workshop.models.triplet_network import seen_px


class TripletConfig(SystemConfig):
    """Defaults are the paper's; those marked (ours) it does not have.

    Attributes:
        batch: images in a step; each gives 16 or 8 triplets.
        filters: of every convolution.
        blocks: residual blocks.
        patch_px: side of a training patch; larger ones are the paper's suggestion.
        shrinks: the image is made so many times smaller, one of these at random.
        patches: cut from an image at each of these sizes.
        scaling: "fixed": grey levels are divided by 255; "image": every image by its own minimum and maximum, as the paper has it.
        batch_norm, same_padding: the paper's suggestions for later. Zeros around every layer, and no rim is left out.
        erase_fill: what stands in the erased box, see `random_erasing.py`; "noise" is its paper's, the others (ours).
        pairs: "class": anchor and positive are any two patches of the part; "place" (ours): two parts' patches at the same place.
        prototype: "per_cell": parts lie still; "mean" (ours): one vector over all cells, for textures and loose parts.
        border: "cells": the outermost computed cells are repeated over the rim, only real pixels are judged (15 cells a side);
            "pixels" (ours): the image is continued by 31 px of its outermost pixels and every cell is computed.
        decision: image score: "maximum" or "mean" of the distances, or "svm": the distance from the line that separates good training
            images from copies with a drawn defect in the plane of both.
        svm_penalty: C.
    """

    width: int = Field(default=1024, ge=16, le=2048)
    height: int = Field(default=1024, ge=16, le=2048)
    epochs: int = Field(default=40, ge=0)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    filters: int = Field(default=16, ge=1)
    blocks: int = Field(default=7, ge=1)
    patch_px: int = Field(default=64, ge=8)
    shrinks: tuple[int, int, int, int] = (1, 2, 4, 8)
    patches: tuple[int, int, int, int] = (16, 16, 8, 8)
    scaling: Literal["fixed", "image"] = "fixed"
    batch_norm: bool = False
    same_padding: bool = False
    erase_fill: Fill = "noise"
    pairs: Literal["class", "place"] = "class"
    prototype: Literal["per_cell", "mean"] = "per_cell"
    border: Literal["cells", "pixels"] = "cells"
    decision: Literal["maximum", "mean", "svm"] = "maximum"
    svm_penalty: float = Field(default=1e8, gt=0)


def check(config: TripletConfig, size: ImageSize) -> None:
    """Refuse a configuration that does not fit the image.

    Raises:
        ConfigError: the image has an odd side or holds no patch, or a patch is smaller than what one cell sees.
    """
    sides = f"image of {size.width} x {size.height} px"
    if size.width % 2 or size.height % 2:
        raise ConfigError(f"triplet: {sides}, but the map has a cell for every 2 px; choose an even width and height")
    if min(size.width, size.height) < config.patch_px:
        raise ConfigError(f"triplet: {sides} holds no patch of {config.patch_px} px; choose a larger image or a smaller patch_px")
    if not config.same_padding and config.patch_px < seen_px(config.blocks):
        least = seen_px(config.blocks)
        raise ConfigError(f"triplet: a cell of {config.blocks} blocks sees {least} px; set patch_px to {least} or more, or same_padding")


def border(config: TripletConfig) -> tuple[int, int]:
    """How the score map covers the image evenly: pixels by which the image is continued, cells that are repeated, on every side.

    Without padding the first cell's middle lies at 4 + 4 blocks px (32 for seven); a map that covers the image has it at 1. Continuing by
    3 + 4 blocks px moves it there; so does continuing by 1 px and repeating 1 + 2 blocks cells, two pixels each.
    """
    if config.same_padding:
        return 0, 0
    return (3 + 4 * config.blocks, 0) if config.border == "pixels" else (1, 1 + 2 * config.blocks)
