"""Good images on their way into the workshop: read, checked against the recipe, placed and warped as the line does it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_inspect.cameras.pictures import hash_pixels, read_picture
from edge_inspect.config import Recipe
from edge_inspect.datatypes import CellMask, Placement, UInt8Image
from edge_inspect.errors import CameraError, ConfigError, PartNotLocated
from edge_inspect.geometry import Grid, Tiling, despeckle, locate, place, searched_cells, tile, warp
from edge_inspect.model_folder import ImageSize

FEWEST = 10
"""Fewer good images than this say too little about how good parts differ."""

Named = tuple[str, UInt8Image]
Cells = tuple[int, int]
"""Width and height of a score map."""

Given = Named | Path
"""An image as it is given: with its name, or as a file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoodImages:
    """Good parts as the network sees them.

    Attributes:
        names: one for each image, in the order given.
        pixels: (n, H, W, C) uint8, placed and warped.
        hashes: SHA-256 of each image as it came.
        refused: names of images that could not be read or whose part could not be located, with the reason; they are not among
            the others.
        placements: of each image.
        frames: number of the frame that each image is of; several images are of one frame where the recipe has tiles.
        frame_width, frame_height: of the first image [px].
    """

    names: tuple[str, ...]
    pixels: UInt8Image
    hashes: tuple[str, ...]
    refused: tuple[str, ...]
    placements: tuple[Placement, ...]
    frames: tuple[int, ...]
    frame_width: int
    frame_height: int

    @property
    def size(self) -> ImageSize:
        """The network's image."""
        return ImageSize(width=self.pixels.shape[2], height=self.pixels.shape[1], channels=1 if self.pixels.shape[3] == 1 else 3)

    def fingerprint(self, chosen: Iterable[int]) -> str:
        """Hash over the sorted hashes of the chosen images."""
        return hashlib.sha256("".join(sorted(self.hashes[index] for index in chosen)).encode()).hexdigest()

    def searched(self, recipe: Recipe, *, width: int, height: int, image: int | None = None) -> CellMask:
        """Cells (height, width) that the recipe searches in one image; without it, those searched in any.

        They differ where a located part lies so close to the frame's edge that some of what is shown lies beyond it, and
        from tile to tile.

        Raises:
            ConfigError: the recipe's masks do not fit the frame.
        """
        placements = self.placements if image is None else self.placements[image : image + 1]
        if recipe.tiles is not None:
            return self._searched_in_tiles(recipe, placements, width, height)
        looks = placements if recipe.locator is not None else placements[:1]
        searched = [searched_cells(look, width, height, self.frame_width, self.frame_height, recipe.masks) for look in looks]
        return np.asarray(np.any(searched, axis=0), np.bool_)

    def _searched_in_tiles(self, recipe: Recipe, placements: Sequence[Placement], width: int, height: int) -> CellMask:
        """Of the whole region of interest, cut to the tiles: their inner edges are no border."""
        tiling = _tiling(recipe, self.size, (width, height))
        whole = searched_cells(tiling.placement, tiling.width, tiling.height, self.frame_width, self.frame_height, recipe.masks)
        corners = {place.affine.tobytes(): corner for place, corner in zip(tiling.placements, tiling.corners, strict=True)}
        found = [corners[placement.affine.tobytes()] for placement in placements]
        cut = [whole[row : row + height, column : column + width] for row, column in dict.fromkeys(found)]
        return np.asarray(np.any(cut, axis=0), np.bool_)


def place_good_images(
    images: Iterable[Given], recipe: Recipe, *, width: int, height: int, cells: Cells | None = None, fewest: int = FEWEST
) -> GoodImages:
    """Read, check, place and warp every image; of a recipe with tiles each tile of it.

    Images of different sizes are allowed only where each is seen whole (no region of interest, no locator, no masks, no frame
    size in the recipe): anything else is measured in pixels of one frame.

    Args:
        images: as files, or with their names.
        recipe: says where the network looks.
        width: of the network's image [px].
        height: likewise.
        cells: width and height of the score map, in which tiles are laid; None where a recipe with tiles is refused.
        fewest: usable images that are enough.

    Raises:
        ConfigError: fewer than 10 usable images (with the count and the refused ones), or sizes or channels that do
            not belong to one recipe (with the image's name).
    """
    refused: list[str] = []
    rows: list[tuple[str, UInt8Image, str, Placement, int]] = []
    first: UInt8Image | None = None
    for number, (name, frame) in enumerate(_readable(images, refused)):
        first = frame if first is None else first
        _refuse_another_kind(name, frame, first, recipe)
        seen = despeckle(frame) if recipe.despeckle else frame
        try:
            size = ImageSize(width=width, height=height, channels=1 if first.shape[2] == 1 else 3)
            placements = _placed(seen, recipe, size, cells)
        except PartNotLocated as error:
            refused.append(f"{name}: {error}")
            continue
        digest = hash_pixels(frame)
        for piece, placement in enumerate(placements, start=1):
            rows.append((_named(name, len(placements), piece), warp(seen, placement), digest, placement, number))
    frames = len({number for *_, number in rows})
    if first is None or frames < fewest:
        raise ConfigError(_too_few(frames, refused))
    return GoodImages(
        names=tuple(name for name, *_ in rows),
        pixels=np.stack([pixels for _, pixels, *_ in rows]),
        hashes=tuple(digest for _, _, digest, _, _ in rows),
        refused=tuple(refused),
        placements=tuple(placement for _, _, _, placement, _ in rows),
        frames=tuple(number for *_, number in rows),
        frame_width=first.shape[1],
        frame_height=first.shape[0],
    )


def _readable(images: Iterable[Given], refused: list[str]) -> Iterator[Named]:
    for image in images:
        if isinstance(image, Path):
            try:
                yield image.name, read_picture(image)
            except CameraError as error:
                refused.append(str(error))
        else:
            yield image


def _placed(frame: UInt8Image, recipe: Recipe, size: ImageSize, cells: Cells | None) -> tuple[Placement, ...]:
    """Where the line would lay the network's image: once, or once a tile."""
    region, locator = recipe.region_of_interest, recipe.locator
    if recipe.tiles is not None:
        return _tiling(recipe, size, cells).placements
    if locator is None:
        return (place(frame.shape[1], frame.shape[0], region, width=size.width, height=size.height, channels=size.channels),)
    return (locate(frame, region, locator, width=size.width, height=size.height, channels=size.channels),)


def _tiling(recipe: Recipe, size: ImageSize, cells: Cells | None) -> Tiling:
    tiles, frame = recipe.tiles, recipe.frame
    if cells is None or tiles is None or frame is None:
        raise ConfigError("the recipe has tiles, and only `teach` makes engines for them; teach the part, or remove `tiles`")
    grid = Grid(width=size.width, height=size.height, channels=size.channels, map_width=cells[0], map_height=cells[1])
    return tile(frame.width, frame.height, recipe.region_of_interest, tiles, grid)


def _named(name: str, count: int, number: int) -> str:
    """The frame's name, and which of its tiles."""
    return name if count == 1 else f"{name}, tile {number}"


def _refuse_another_kind(name: str, frame: UInt8Image, first: UInt8Image, recipe: Recipe) -> None:
    height, width, channels = frame.shape
    if channels != first.shape[2]:
        raise ConfigError(f"{name}: has {channels} channels, the first image {first.shape[2]}; teach from images of one camera")
    wanted = recipe.frame
    if wanted is not None and (width, height) != (wanted.width, wanted.height):
        raise ConfigError(f"{name}: is {width} x {height}, the recipe's frame is {wanted.width} x {wanted.height}; correct either")
    seen_whole = recipe.region_of_interest is None and recipe.locator is None and recipe.masks.empty
    if not seen_whole and frame.shape != first.shape:
        raise ConfigError(
            f"{name}: is {width} x {height}, the first image {first.shape[1]} x {first.shape[0]}; a region of interest, a "
            "locator or masks need frames of one size"
        )


def _too_few(usable: int, refused: Sequence[str]) -> str:
    unusable = f"; left out: {'; '.join(refused[:5])}" if refused else ""
    return f"{usable} usable good images, {FEWEST} or more are needed ({FEWEST * 20} make a good part){unusable}; take more of good parts"
