"""`recipe.yaml`: how one kind of part is inspected."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edge_inspect.config.reading import Written, read_bytes, read_written

Point = tuple[float, float]
PartBackground = Literal["light", "dark"]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3)]


class RegionOfInterest(Written):
    """The rectangle of the frame that the network sees, turned about its centre. All in frame pixels.

    `rotation_deg` turns the rectangle clockwise as seen on the screen (y points down).
    """

    left: float = Field(ge=0)
    top: float = Field(ge=0)
    width: float = Field(gt=0)
    height: float = Field(gt=0)
    rotation_deg: float = Field(default=0.0, ge=-180, le=180)


class Locator(Written):
    """A loose part is found in the region of interest, and the network's image laid about it, turned onto its long axis.

    `background` says whether the part is darker (`light`) or lighter (`dark`) than what it lies on. `width` and `height` are what
    the network sees about the part's middle, along and across its axis, in frame pixels: the scale is fixed by them. Where `ends`
    differ, the wider one comes to lie on the left. `even_light` takes shadows off the background before the part is looked for; they
    stay in what the network sees.
    """

    kind: Literal["principal_axis"]
    background: PartBackground
    width: float = Field(gt=0)
    height: float = Field(gt=0)
    ends: Literal["differ", "alike"] = "differ"
    even_light: bool = False

    @property
    def moves_scores(self) -> dict[str, Any]:
        """All of it, for hashes and comparisons; without `even_light` it is what it was before there was one."""
        return self.model_dump(mode="json", exclude=None if self.even_light else {"even_light"})


class Masks(Written):
    """Where defects count. Polygons are in frame pixels; in a PNG mask every pixel above 0 is searched.

    A cell is searched when it lies in `include` (everything, if empty), not in `ignore`, on the PNG's white, and at
    least `border_px` from the edge of the region of interest (with a locator: of what it shows).
    """

    include: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    png: Path | None = None
    border_px: float = Field(default=0.0, ge=0)

    @property
    def empty(self) -> bool:
        """Whether everything is searched."""
        return not (self.include or self.ignore or self.png or self.border_px)


class RegionRule(Written):
    """Which regions make a part NG: those of at least this area and peak, when there are more than `max_count`."""

    min_area_px: float = Field(default=0.0, ge=0)
    min_area_mm2: float | None = Field(default=None, ge=0)
    min_peak: float | None = None
    max_count: int = Field(default=0, ge=0)


class Rectangle(Written):
    """Left, top, width and height [px]."""

    left: float
    top: float
    width: float = Field(gt=0)
    height: float = Field(gt=0)

    @property
    def as_tuple(self) -> tuple[float, float, float, float]:
        """Left, top, width, height."""
        return self.left, self.top, self.width, self.height


class Zone(Written):
    """A place with limits of its own: a border, a label, a weld.

    Its cells count for regions by its own threshold, and not for the image score.

    `pixels` says whose they are: the frame's, or the network's image (for parts that a locator turns: the zone lies still on the part).
    What is not given of `min_area_px`, `min_area_mm2` and `min_peak` is what `decision.regions` says.
    """

    name: str = Field(min_length=1, max_length=40)
    rectangle: Rectangle | None = None
    polygon: Polygon | None = None
    pixels: Literal["frame", "network"] = "frame"
    min_area_px: float | None = Field(default=None, ge=0)
    min_area_mm2: float | None = Field(default=None, ge=0)
    min_peak: float | None = None

    @model_validator(mode="after")
    def _has_one_outline(self) -> Zone:
        if (self.rectangle is None) is (self.polygon is None):
            raise ValueError("give rectangle: {left: ..., top: ..., width: ..., height: ...}, or polygon: [[x, y], ...]")
        return self


class DecisionRule(Written):
    """A part is NG by its image score, by its regions, or by either."""

    image_score: bool = True
    regions: RegionRule | None = None

    @model_validator(mode="after")
    def _decides_by_something(self) -> DecisionRule:
        if not self.image_score and self.regions is None:
            raise ValueError("nothing decides: set image_score to true, or give regions")
        return self


class FrameSize(Written):
    """The only frame size this recipe is made for; another one is a FAULT."""

    width: int = Field(gt=0, le=32_768)
    height: int = Field(gt=0, le=32_768)


class Tiles(Written):
    """The region of interest is seen in `across` x `down` pieces by the same engine, so that small defects keep their pixels.

    Neighbours overlap by `overlap_px` frame pixels at least; a defect on a seam is then whole in one of them.
    """

    across: int = Field(ge=1, le=64)
    down: int = Field(ge=1, le=64)
    overlap_px: float = Field(default=0.0, ge=0)


class Recipe(Written):
    """How one kind of part is inspected. Paths are relative to the recipe's folder.

    `despeckle` takes black and white specks out of a frame that has many of them, before anything else looks at it. `reference_patch` is a
    place of the frame [px] that shows the same with every part, such as a spot of the fixture: the guard watches light and camera by it.
    """

    part: str = Field(min_length=1, max_length=80)
    engine: Path
    thresholds: Path = Path("thresholds.json")
    frame: FrameSize | None = None
    region_of_interest: RegionOfInterest | None = None
    locator: Locator | None = None
    tiles: Tiles | None = None
    despeckle: bool = False
    mm_per_px: float | None = Field(default=None, gt=0)
    masks: Masks = Masks()
    zones: tuple[Zone, ...] = Field(default=(), max_length=100)
    reference_patch: Rectangle | None = None
    decision: DecisionRule = DecisionRule()

    @model_validator(mode="after")
    def _areas_need_a_scale(self) -> Recipe:
        rule = self.decision.regions
        if rule is not None and rule.min_area_mm2 is not None and self.mm_per_px is None:
            raise ValueError("decision.regions.min_area_mm2 needs mm_per_px: give the scale, or use min_area_px")
        if self.mm_per_px is None and any(zone.min_area_mm2 is not None for zone in self.zones):
            raise ValueError("zones: min_area_mm2 needs mm_per_px: give the scale, or use min_area_px")
        return self

    @model_validator(mode="after")
    def _zones_decide_and_lie_still(self) -> Recipe:
        if len({zone.name for zone in self.zones}) < len(self.zones):
            raise ValueError("zones: two have the same name; records and thresholds tell them apart by it")
        if self.zones and self.decision.regions is None:
            raise ValueError("zones: only regions are found in them; add decision: {regions: {}}")
        if self.locator is not None and any(zone.pixels == "frame" for zone in self.zones):
            raise ValueError(
                "zones lie still in the frame, but with a locator the part does not; give them in pixels of the network's image: "
                "pixels: network"
            )
        if self.tiles is not None and any(zone.pixels == "network" for zone in self.zones):
            raise ValueError("zones: with tiles there is no one network image; give them in pixels of the frame")
        return self

    @model_validator(mode="after")
    def _masks_lie_on_the_part(self) -> Recipe:
        if self.locator is not None and (self.masks.include or self.masks.ignore or self.masks.png):
            raise ValueError(
                "masks.include, ignore and png lie still in the frame, but with a locator the part does not; remove them, or the locator "
                "(border_px may stay)"
            )
        return self

    @model_validator(mode="after")
    def _tiles_lie_still(self) -> Recipe:
        if self.tiles is not None and self.locator is not None:
            raise ValueError("tiles lie still in the frame, but with a locator the part does not; remove one of them")
        if self.tiles is not None and self.frame is None:
            raise ValueError("tiles are laid once, over frames of one size: give frame: {width: ..., height: ...}")
        return self

    @property
    def sha256(self) -> str:
        """Hash of everything in the recipe that moves a score; a threshold is bound to it.

        Without a locator, tiles or `despeckle` it is what it was before there were any, so that thresholds on devices stay valid. A PNG
        mask counts by its content, not by its place, so that a project folder may move.

        Raises:
            ConfigError: the PNG mask cannot be read.
        """
        moves_scores = self.model_dump(mode="json", include={"frame", "region_of_interest", "masks"})
        if self.locator is not None:
            moves_scores["locator"] = self.locator.moves_scores
        if self.tiles is not None:
            moves_scores["tiles"] = self.tiles.model_dump(mode="json")
        if self.zones:
            where = {"name", "rectangle", "polygon", "pixels"}
            moves_scores["zones"] = [zone.model_dump(mode="json", include=where) for zone in self.zones]
        if self.despeckle:
            moves_scores["despeckle"] = True
        if self.masks.png is not None:
            moves_scores["masks"]["png"] = hashlib.sha256(read_bytes(self.masks.png)).hexdigest()
        return hashlib.sha256(json.dumps(moves_scores, sort_keys=True).encode()).hexdigest()

    @property
    def whole_sha256(self) -> str:
        """Hash of everything in the recipe but the place of its files: what moves a score, and how a verdict is made of it.

        Raises:
            ConfigError: the PNG mask cannot be read.
        """
        later = {"reference_patch"} if self.reference_patch is None else set()  # a recipe without it has the hash that it always had
        whole = self.model_dump(mode="json", exclude={"engine", "masks", *later}) | {"moves_scores": self.sha256}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def load_recipe(path: Path) -> Recipe:
    """Read `recipe.yaml`; its paths come back absolute.

    Raises:
        ConfigError: the file cannot be read, or everything that is wrong in it.
    """
    recipe = read_written(path, Recipe).content
    base = path.resolve().parent
    png = None if recipe.masks.png is None else base / recipe.masks.png
    return recipe.model_copy(
        update={
            "engine": base / recipe.engine,
            "thresholds": base / recipe.thresholds,
            "masks": recipe.masks.model_copy(update={"png": png}),
        }
    )
