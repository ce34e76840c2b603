"""From a frame to a finding: place, infer, find, decide. `inspect` is steps 2 to 5 of the walk.

`open_inspector` opens everything one recipe needs, and refuses what does not belong together: an engine that does not
agree with its golden frames, thresholds made for another engine or recipe, a mask that the engine's score cannot obey.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_inspect.acceptance import accept
from edge_inspect.config import Locator, PluginBlock, Recipe, load_recipe
from edge_inspect.datatypes import CellMask, Frame, Latency, Placement, Region, Scores, UInt8Image, Verdict
from edge_inspect.decision import Limits, decide, is_finite, masked_score
from edge_inspect.errors import CameraError, ConfigError
from edge_inspect.geometry import locate, place, searched_cells
from edge_inspect.model_folder import ModelFolder, open_model_folder
from edge_inspect.plugins import prepare, served
from edge_inspect.protocols import Runtime
from edge_inspect.regions import find_regions
from edge_inspect.thresholds import Thresholds, load_thresholds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finding:
    """What is found on one frame.

    Attributes:
        verdict: OK, NG, or FAULT where the scores are not finite.
        reason: one line for the operator.
        score: image score, engine units; None where it is not finite.
        regions: the regions that count, worst first.
        scores: what the engine said.
        placement: where the network's image lay in the frame.
        latency: stages place to decide, and `wait` since exposure.
    """

    verdict: Verdict
    reason: str
    score: float | None
    regions: tuple[Region, ...]
    scores: Scores
    placement: Placement
    latency: Latency


class Inspector:
    """One recipe with its accepted engine and its thresholds."""

    def __init__(self, *, recipe: Recipe, model: ModelFolder, thresholds: Thresholds, runtime: Runtime) -> None:
        self.recipe = recipe
        self.model = model
        self.thresholds = thresholds
        self.calibration_id = thresholds.calibration_id  # a hash: taken once, not for every part
        self.limits = Limits(image_threshold=thresholds.image_threshold, pixel_threshold=thresholds.pixel_threshold, rule=recipe.decision)
        self._runtime = runtime
        self._locator = recipe.locator
        self._highest_cells = model.manifest.highest_cells
        self._views: dict[tuple[int, int], tuple[Placement, CellMask]] = {}

    def inspect(self, frame: Frame) -> Finding:
        """Place, infer, find and decide.

        Raises:
            CameraError: the frame has another size than the recipe is made for.
            PartNotLocated: the recipe's locator finds no part, or none whose direction is clear.
            EngineError: the engine failed on this frame.
        """
        started = time.monotonic_ns()
        placement, searched = self.view(frame)
        placed = time.monotonic_ns()
        scores = self._runtime.infer(frame.pixels, placement)
        inferred = time.monotonic_ns()
        score = masked_score(scores, searched, highest_cells=self._highest_cells)
        regions = find_regions(
            scores.map,
            pixel_threshold=self.limits.pixel_threshold,
            searched=searched,
            placement=placement,
            mm_per_px=self.recipe.mm_per_px,
        )
        found = time.monotonic_ns()
        finite = is_finite(scores)
        decision = decide(score, regions, self.limits, finite=finite)
        decided = time.monotonic_ns()
        return Finding(
            verdict=decision.verdict,
            reason=decision.reason,
            score=score if finite else None,
            regions=decision.regions,
            scores=scores,
            placement=placement,
            latency=Latency(
                wait=max(0, started - frame.exposed_ns),
                place=placed - started,
                infer=inferred - placed,
                find=found - inferred,
                decide=decided - found,
            ),
        )

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
        self._runtime.infer(pixels, self._placement(width, height))

    def _view_of(self, width: int, height: int) -> tuple[Placement, CellMask]:
        size = self.recipe.frame
        if size is not None and (width, height) != (size.width, size.height):
            raise CameraError(
                f"the frame is {width} x {height}, the recipe is made for {size.width} x {size.height}; "
                "set the camera's size, or correct `frame` in the recipe"
            )
        cells = self.model.manifest.score_map
        try:
            placement = self._placement(width, height)
            return placement, searched_cells(placement, cells.width, cells.height, width, height, self.recipe.masks)
        except ConfigError as error:
            raise CameraError(f"a frame of {width} x {height} does not fit the recipe: {error}") from error

    def _located(self, pixels: UInt8Image, locator: Locator) -> tuple[Placement, CellMask]:
        """The view of one frame, whose size has been found to fit."""
        image, cells = self.model.manifest.input, self.model.manifest.score_map
        region, masks = self.recipe.region_of_interest, self.recipe.masks
        placement = locate(pixels, region, locator, width=image.width, height=image.height, channels=image.channels)
        return placement, searched_cells(placement, cells.width, cells.height, pixels.shape[1], pixels.shape[0], masks)

    def _placement(self, width: int, height: int) -> Placement:
        image = self.model.manifest.input
        return place(width, height, self.recipe.region_of_interest, width=image.width, height=image.height, channels=image.channels)


@contextmanager
def open_inspector(recipe_file: Path, runtime: PluginBlock, *, base: Path) -> Iterator[Inspector]:
    """Open a recipe with its engine and thresholds; the engine is warm and accepted when this returns.

    Args:
        recipe_file: `recipe.yaml`.
        runtime: which runtime opens the engine, with its options; `precision` says which of its files.
        base: folder that `Path` options of the runtime are relative to.

    Raises:
        ConfigError: recipe or thresholds are wrong, or do not belong to this engine.
        PluginError: the runtime is not installed.
        EngineError: the model folder is damaged, or the engine does not agree with its golden frames.
    """
    recipe = load_recipe(recipe_file)
    model = open_model_folder(recipe.engine)
    _refuse_unmaskable(recipe_file, recipe, model)
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    model, block = served(model, runtime)
    with prepare("runtimes", block, base=base, given={"model": model})() as opened:
        accept(opened, model, image_threshold=thresholds.image_threshold, pixel_threshold=thresholds.pixel_threshold)
        inspector = Inspector(recipe=recipe, model=model, thresholds=thresholds, runtime=opened)
        inspector.rehearse()
        yield inspector


def _refuse_unmaskable(recipe_file: Path, recipe: Recipe, model: ModelFolder) -> None:
    if not recipe.masks.empty and recipe.decision.image_score and model.manifest.image_score == "own":
        raise ConfigError(
            f"{recipe_file}: masks: the engine {model.path.name} computes its image score over the whole image, so a mask "
            "cannot apply to it; set decision.image_score to false and decide by regions, or remove the masks"
        )
