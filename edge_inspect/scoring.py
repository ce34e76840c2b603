"""From a frame to its scores, with no threshold in it: place and infer. What `inspector` decides on, and `calibrate` measures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_inspect.acceptance import Acceptance, Binding, accept, bind
from edge_inspect.config import Locator, PluginBlock, Recipe, RegionRule, Zone, load_recipe
from edge_inspect.datatypes import CellMask, Frame, Placement, Region, ScoreMap, Scores, UInt8Image, ZoneCells
from edge_inspect.decision import Decision, Limits, ZoneLimits, decide, is_finite, masked_score
from edge_inspect.errors import CameraError, ConfigError, EngineError
from edge_inspect.geometry import Grid, Tiling, despeckle, locate, place, searched_cells, tile, zone_cells
from edge_inspect.model_folder import ModelFolder, open_model_folder
from edge_inspect.plugins import prepare, served
from edge_inspect.protocols import Runtime
from edge_inspect.regions import Zoned, find_regions
from edge_inspect.service.machine import device
from edge_inspect.thresholds import Thresholds
from edge_inspect.tiled import Tiled


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Where the engine looks in a frame, and which cells count for what.

    Attributes:
        placement: where the network's image lies in the frame.
        searched: (h, w) bool, the cells that count.
        zones: (h, w) uint8, the number of each cell's zone; None where the recipe has none.
        scored: (h, w) bool, the cells that count for the image score: those in zones do not.
    """

    placement: Placement
    searched: CellMask
    zones: ZoneCells | None
    scored: CellMask


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """What an engine says of one frame.

    Attributes:
        score: image score, engine units; zones do not count for it.
        peak: largest searched cell outside of zones; the same where the engine has no score of its own.
        zone_peaks: largest searched cell of each zone, in the recipe's order; minus infinity where it has none.
        mean: mean of the searched cells outside of zones.
        scores: score map, copied, and the engine's own score.
        placement: where the network's image lay in the frame.
        searched: (h, w) bool, the cells that count.
        zones: (h, w) uint8, the number of each cell's zone; None where the recipe has none.
    """

    score: float
    peak: float
    mean: float
    scores: Scores
    placement: Placement
    searched: CellMask
    zone_peaks: tuple[float, ...] = ()
    zones: ZoneCells | None = None

    def regions(self, limits: Limits, *, mm_per_px: float | None) -> tuple[Region, ...]:
        """What is found under these limits, whether it counts or not."""
        return find_regions(
            self.scores.map,
            pixel_threshold=limits.pixel_threshold,
            searched=self.searched,
            placement=self.placement,
            mm_per_px=mm_per_px,
            zones=zoned(self.zones, limits),
        )

    def decide(self, limits: Limits, *, mm_per_px: float | None) -> Decision:
        """The verdict of the line under these limits."""
        regions = self.regions(limits, mm_per_px=mm_per_px)
        return decide(self.score, regions, limits, finite=True)


class Scorer:
    """One recipe with its opened engine."""

    def __init__(self, *, recipe: Recipe, model: ModelFolder, runtime: Runtime) -> None:
        """Lay the recipe's tiles, if it has any.

        Raises:
            ConfigError: they cannot be laid as wanted.
        """
        self.recipe = recipe
        self.model = model
        self._engine = runtime
        self._tiling = _tiling(recipe, model)
        self._runtime = runtime if self._tiling is None else Tiled(runtime, self._tiling)
        self._locator = recipe.locator
        self.own_score = model.manifest.image_score != "map maximum"  # then the highest cell has a threshold of its own
        self._highest_cells = model.manifest.highest_cells
        self._views: dict[tuple[int, int], View] = {}

    def score(self, frame: Frame) -> Scored:
        """Place and infer.

        Raises:
            CameraError: the frame has another size than the recipe is made for.
            PartNotLocated: the recipe's locator finds no part, or none whose direction is clear.
            EngineError: the engine failed on this frame, or gave a score that is not a finite number.
        """
        frame = self.cleaned(frame)
        view = self.view(frame)
        return self._scored(self._runtime.infer(frame.pixels, view.placement), view)

    def cleaned(self, frame: Frame) -> Frame:
        """The frame that everything else looks at: without specks where the recipe wants that, else the same."""
        if not self.recipe.despeckle:
            return frame
        pixels = despeckle(frame.pixels)
        return frame if pixels is frame.pixels else replace(frame, pixels=pixels)

    def score_network_image(self, pixels: UInt8Image, searched: CellMask, zones: ZoneCells | None) -> Scored:
        """Infer on what the network saw once (H, W, C) uint8, with the cells that counted then; with tiles it is one tile.

        Raises:
            EngineError: the engine failed on it, or gave a score that is not a finite number.
        """
        image = self.model.manifest.input
        unmoved = Placement(affine=np.eye(2, 3), width=image.width, height=image.height, channels=image.channels)
        view = View(placement=unmoved, searched=searched, zones=zones, scored=searched if zones is None else searched & (zones == 0))
        return self._scored(self._engine.infer(pixels, unmoved), view)

    def _scored(self, scores: Scores, view: View) -> Scored:
        if not is_finite(scores):
            raise EngineError("the engine gave a score that is not a finite number")
        return Scored(
            score=self.image_score(scores, view.scored),
            peak=masked_score(scores, view.scored, highest_cells=1),
            mean=float(scores.map.mean(where=view.scored)) if view.scored.any() else -math.inf,
            scores=replace(scores, map=scores.map.copy()),
            placement=view.placement,
            searched=view.searched,
            zone_peaks=() if view.zones is None else _zone_peaks(scores.map, view, len(self.recipe.zones)),
            zones=view.zones,
        )

    def image_score(self, scores: Scores, searched: CellMask) -> float:
        """The score that is held against the image threshold; not a number where a cell that counts is not.

        Raises:
            EngineError: the engine gave no image score, but should.
        """
        return masked_score(scores, searched, highest_cells=self._highest_cells)

    def gate(self, thresholds: Thresholds, *, kind: str) -> tuple[Binding, Acceptance]:
        """Hold the engine, opened in a runtime of this kind, against its golden frames once more, now with these thresholds.

        Raises:
            EngineError: it does not agree.
        """
        image, pixel = thresholds.image_threshold, thresholds.pixel_threshold
        acceptance = accept(self._engine, self.model, image_threshold=image, pixel_threshold=pixel)
        return bind(self.model, self._engine, kind=kind, device=device(), thresholds=thresholds), acceptance

    def view(self, frame: Frame) -> View:
        """Placement, searched cells and zones: computed once for frames of one size, with a locator for each `cleaned` frame.

        Raises:
            CameraError: the frame has another size than the recipe is made for.
            PartNotLocated: the recipe's locator finds no part, or none whose direction is clear.
        """
        height, width = frame.pixels.shape[:2]
        if (width, height) not in self._views:
            self._views[width, height] = self._view_of(width, height)
        return self._views[width, height] if self._locator is None else self._located(frame.pixels, self._locator)

    def looks(self, frame: Frame) -> tuple[Placement, ...]:
        """Where the engine looks in this frame, once for each of its inferences. Raises what `view` raises."""
        return (self.view(self.cleaned(frame)).placement,) if self._tiling is None else self._tiling.placements

    def rehearse(self) -> None:
        """Inspect a black frame, so that no part pays for what is set up at first use.

        Raises:
            EngineError: the engine failed.
        """
        size = self.recipe.frame
        region = self.recipe.region_of_interest
        width, height = (size.width, size.height) if size else (640, 480)
        if region is not None and size is None:
            width, height = int(2 * (region.left + region.width)), int(2 * (region.top + region.height))
        pixels = np.zeros((height, width, self.model.manifest.input.channels), np.uint8)
        self._runtime.infer(pixels, self._laid(width, height)[0])

    @property
    def tiling(self) -> Tiling | None:
        """How the recipe's tiles lie; None where it has none."""
        return self._tiling

    def _view_of(self, width: int, height: int) -> View:
        size = self.recipe.frame
        if size is not None and (width, height) != (size.width, size.height):
            raise CameraError(
                f"the frame is {width} x {height}, the recipe is made for {size.width} x {size.height}; "
                "set the camera's size, or correct `frame` in the recipe"
            )
        try:
            placement, map_width, map_height = self._laid(width, height)
            searched = searched_cells(placement, map_width, map_height, width, height, self.recipe.masks)
            return self._zoned_view(placement, searched)
        except ConfigError as error:
            raise CameraError(f"a frame of {width} x {height} does not fit the recipe: {error}") from error

    def _zoned_view(self, placement: Placement, searched: CellMask) -> View:
        """The view with the recipe's zones laid over it.

        Raises:
            ConfigError: nothing is left for the image score, or a zone has no cell.
        """
        zones = self.recipe.zones
        if not zones:
            return View(placement=placement, searched=searched, zones=None, scored=searched)
        cells = zone_cells(placement, searched.shape[1], searched.shape[0], zones)
        scored = searched & (cells == 0)
        if not scored.any():
            raise ConfigError("zones: no searched cell lies outside of them, so nothing is left for the image score; make them smaller")
        empty = [zone.name for number, zone in enumerate(zones, start=1) if not (searched & (cells == number)).any()]
        if empty and self._locator is None:
            raise ConfigError(f"zones: {', '.join(empty)}: no searched cell's middle lies in it; enlarge or move it, or remove it")
        return View(placement=placement, searched=searched, zones=cells, scored=scored)

    def _located(self, pixels: UInt8Image, locator: Locator) -> View:
        """The view of one frame, whose size has been found to fit."""
        image, cells = self.model.manifest.input, self.model.manifest.score_map
        region, masks = self.recipe.region_of_interest, self.recipe.masks
        placement = locate(pixels, region, locator, width=image.width, height=image.height, channels=image.channels)
        return self._zoned_view(placement, searched_cells(placement, cells.width, cells.height, pixels.shape[1], pixels.shape[0], masks))

    def _laid(self, width: int, height: int) -> tuple[Placement, int, int]:
        """Placement in a frame of this size, and width and height of the score map [cells]."""
        if self._tiling is not None:
            return self._tiling.placement, self._tiling.width, self._tiling.height
        image, cells, region = self.model.manifest.input, self.model.manifest.score_map, self.recipe.region_of_interest
        placement = place(width, height, region, width=image.width, height=image.height, channels=image.channels)
        return placement, cells.width, cells.height


def _tiling(recipe: Recipe, model: ModelFolder) -> Tiling | None:
    """How the recipe's tiles lie; None where it has none.

    Raises:
        ConfigError: they cannot overlap as far as wanted, or the region of interest reaches out of the frame.
    """
    tiles, size = recipe.tiles, recipe.frame
    if tiles is None or size is None:
        return None
    image, cells = model.manifest.input, model.manifest.score_map
    grid = Grid(width=image.width, height=image.height, channels=image.channels, map_width=cells.width, map_height=cells.height)
    return tile(size.width, size.height, recipe.region_of_interest, tiles, grid)


def limits_from(thresholds: Thresholds, recipe: Recipe) -> Limits:
    """What parts are held against: the recipe's rule, with regions that are at least as large and strong as was learnt from good parts."""
    rule, learnt = recipe.decision, thresholds.region_limits
    if rule.regions is not None and learnt is not None:
        peaks = [peak for peak in (rule.regions.min_peak, learnt.min_peak) if peak is not None]
        area = max(rule.regions.min_area_px, learnt.min_area_px)
        regions = rule.regions.model_copy(update={"min_area_px": area, "min_peak": max(peaks, default=None)})
        rule = rule.model_copy(update={"regions": regions})
    return Limits(
        image_threshold=thresholds.image_threshold,
        pixel_threshold=thresholds.pixel_threshold,
        rule=rule,
        zones=tuple(_zone_limits(zone, thresholds, recipe) for zone in recipe.zones),
    )


def _zone_limits(zone: Zone, thresholds: Thresholds, recipe: Recipe) -> ZoneLimits:
    """The zone's own wishes, else those of `decision.regions`; with regions at least as large as was learnt there."""
    asked = recipe.decision.regions or RegionRule()
    wishes = zone.model_dump(include={"min_area_px", "min_area_mm2", "min_peak"}, exclude_none=True)
    learnt = next((one for one in thresholds.zones if one.name == zone.name), None)
    rule = asked.model_copy(update=wishes)
    if learnt is None:
        return ZoneLimits(name=zone.name, pixel_threshold=thresholds.pixel_threshold, rule=rule)
    rule = rule.model_copy(update={"min_area_px": max(rule.min_area_px, learnt.min_area_px)})
    return ZoneLimits(name=zone.name, pixel_threshold=learnt.pixel_threshold, rule=rule)


def zoned(cells: ZoneCells | None, limits: Limits) -> Zoned | None:
    """The thresholds of the limits laid over a map's zones (h, w); None where there are none."""
    if cells is None:
        return None
    return Zoned(
        cells,
        names=[zone.name for zone in limits.zones],
        thresholds=[zone.pixel_threshold for zone in limits.zones],
        outside=limits.pixel_threshold,
    )


def _zone_peaks(score_map: ScoreMap, view: View, zones: int) -> tuple[float, ...]:
    assert view.zones is not None
    return tuple(float(score_map.max(where=view.searched & (view.zones == number), initial=-np.inf)) for number in range(1, zones + 1))


@contextmanager
def open_scorer(recipe_file: Path, runtime: PluginBlock, *, base: Path, public_key: Path | None = None) -> Iterator[Scorer]:
    """Open a recipe with its engine, as `open_inspector` does, but without thresholds: there may be none that fit yet.

    The engine is accepted on its golden frames by its scores; no verdict is compared.

    Raises:
        ConfigError: the recipe is wrong, or does not belong to this engine.
        PluginError: the runtime is not installed.
        EngineError: the model folder is damaged, or the engine does not agree with its golden frames.
        UntrustedModel: the model folder is unsigned, signed by another key than `public_key`, or altered.
    """
    recipe = load_recipe(recipe_file)
    model = open_model_folder(recipe.engine, public_key=public_key)
    refuse_unmaskable(recipe_file, recipe, model)
    model, block = served(model, runtime)
    with prepare("runtimes", block, base=base, given={"model": model})() as opened:
        accept(opened, model, image_threshold=None)
        scorer = Scorer(recipe=recipe, model=model, runtime=opened)
        scorer.rehearse()
        yield scorer


def refuse_unmaskable(recipe_file: Path, recipe: Recipe, model: ModelFolder) -> None:
    """Refuse masks and zones beside a score that is computed over the whole image.

    Raises:
        ConfigError: such a recipe.
    """
    part = "masks" if not recipe.masks.empty else "zones" if recipe.zones else ""
    if part and recipe.decision.image_score and model.manifest.image_score == "own":
        raise ConfigError(
            f"{recipe_file}: {part}: the engine {model.path.name} computes its image score over the whole image, so {part} "
            f"cannot apply to it; set decision.image_score to false and decide by regions, or remove the {part}"
        )
