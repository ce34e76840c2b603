"""From a frame to its scores, with no threshold in it: place and infer. What `inspector` decides on, and `calibrate` measures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_inspect.acceptance import Acceptance, Binding, accept, bind
from edge_inspect.config import Locator, PluginBlock, Recipe, load_recipe
from edge_inspect.datatypes import CellMask, Frame, Placement, Scores, UInt8Image
from edge_inspect.decision import Decision, Limits, decide, is_finite, masked_score
from edge_inspect.errors import CameraError, ConfigError, EngineError
from edge_inspect.geometry import Grid, Tiling, locate, place, searched_cells, tile
from edge_inspect.model_folder import ModelFolder, open_model_folder
from edge_inspect.plugins import prepare, served
from edge_inspect.protocols import Runtime
from edge_inspect.regions import find_regions
from edge_inspect.service.machine import device
from edge_inspect.thresholds import Thresholds
from edge_inspect.tiled import Tiled


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """What an engine says of one frame.

    Attributes:
        score: image score, engine units.
        peak: largest searched cell; the same where the engine has no score of its own.
        mean: mean of the searched cells.
        scores: score map, copied, and the engine's own score.
        placement: where the network's image lay in the frame.
        searched: (h, w) bool, the cells that count.
    """

    score: float
    peak: float
    mean: float
    scores: Scores
    placement: Placement
    searched: CellMask

    def decide(self, limits: Limits, *, mm_per_px: float | None) -> Decision:
        """The verdict of the line under these limits."""
        regions = find_regions(
            self.scores.map,
            pixel_threshold=limits.pixel_threshold,
            searched=self.searched,
            placement=self.placement,
            mm_per_px=mm_per_px,
        )
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
        self._views: dict[tuple[int, int], tuple[Placement, CellMask]] = {}

    def score(self, frame: Frame) -> Scored:
        """Place and infer.

        Raises:
            CameraError: the frame has another size than the recipe is made for.
            PartNotLocated: the recipe's locator finds no part, or none whose direction is clear.
            EngineError: the engine failed on this frame, or gave a score that is not a finite number.
        """
        placement, searched = self.view(frame)
        return self.score_placed(frame.pixels, placement, searched)

    def score_placed(self, pixels: UInt8Image, placement: Placement, searched: CellMask) -> Scored:
        """Infer on a frame whose placement is known. Arguments and errors are those of `score`."""
        scores = self._runtime.infer(pixels, placement)
        if not is_finite(scores):
            raise EngineError("the engine gave a score that is not a finite number")
        return Scored(
            score=self.image_score(scores, searched),
            peak=masked_score(scores, searched, highest_cells=1),
            mean=float(scores.map.mean(where=searched)),
            scores=replace(scores, map=scores.map.copy()),
            placement=placement,
            searched=searched,
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

    def view(self, frame: Frame) -> tuple[Placement, CellMask]:
        """Placement and searched cells (h, w): computed once for frames of one size, with a locator for each frame.

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
        placement, _ = self.view(frame)
        return (placement,) if self._tiling is None else self._tiling.placements

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

    def _view_of(self, width: int, height: int) -> tuple[Placement, CellMask]:
        size = self.recipe.frame
        if size is not None and (width, height) != (size.width, size.height):
            raise CameraError(
                f"the frame is {width} x {height}, the recipe is made for {size.width} x {size.height}; "
                "set the camera's size, or correct `frame` in the recipe"
            )
        try:
            placement, map_width, map_height = self._laid(width, height)
            return placement, searched_cells(placement, map_width, map_height, width, height, self.recipe.masks)
        except ConfigError as error:
            raise CameraError(f"a frame of {width} x {height} does not fit the recipe: {error}") from error

    def _located(self, pixels: UInt8Image, locator: Locator) -> tuple[Placement, CellMask]:
        """The view of one frame, whose size has been found to fit."""
        image, cells = self.model.manifest.input, self.model.manifest.score_map
        region, masks = self.recipe.region_of_interest, self.recipe.masks
        placement = locate(pixels, region, locator, width=image.width, height=image.height, channels=image.channels)
        return placement, searched_cells(placement, cells.width, cells.height, pixels.shape[1], pixels.shape[0], masks)

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
    return Limits(image_threshold=thresholds.image_threshold, pixel_threshold=thresholds.pixel_threshold, rule=rule)


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
    """Refuse masks beside a score that is computed over the whole image.

    Raises:
        ConfigError: such a recipe.
    """
    if not recipe.masks.empty and recipe.decision.image_score and model.manifest.image_score == "own":
        raise ConfigError(
            f"{recipe_file}: masks: the engine {model.path.name} computes its image score over the whole image, so a mask "
            "cannot apply to it; set decision.image_score to false and decide by regions, or remove the masks"
        )
