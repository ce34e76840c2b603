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

from edge_inspect.acceptance import ACCEPTANCE_FILE, Acceptance, Binding, accept, bind, demand_acceptance, demand_agreement
from edge_inspect.config import PluginBlock, Recipe, load_recipe
from edge_inspect.datatypes import Frame, Latency, Placement, Region, Scores, Verdict, ZoneCells
from edge_inspect.decision import decide, is_finite
from edge_inspect.model_folder import ModelFolder, open_model_folder
from edge_inspect.plugins import prepare, served
from edge_inspect.protocols import Runtime
from edge_inspect.regions import Zoned, find_regions
from edge_inspect.scoring import Scorer, limits_from, refuse_unmaskable, zoned
from edge_inspect.service.machine import device
from edge_inspect.thresholds import Thresholds, load_thresholds
from edge_inspect.transfer import AT_START, accepted_with_calibration


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


class Inspector(Scorer):
    """One recipe with its accepted engine and its thresholds.

    Attributes:
        acceptance: what the gate found when the engine was opened.
        binding: what that holds for.
        recipe_sha256: hash of the whole recipe.
    """

    def __init__(
        self, *, recipe: Recipe, model: ModelFolder, thresholds: Thresholds, runtime: Runtime, acceptance: Acceptance, binding: Binding
    ) -> None:
        super().__init__(recipe=recipe, model=model, runtime=runtime)
        self.acceptance = acceptance
        self.binding = binding
        self.recipe_sha256 = recipe.whole_sha256  # a hash: taken once, not for every part
        self.take_over(thresholds)

    def take_over(self, thresholds: Thresholds) -> None:
        """Hold every part from the next one on against these thresholds; they have been found to be for this engine and recipe."""
        self.thresholds = thresholds
        self.calibration_id = thresholds.calibration_id  # a hash: taken once, not for every part
        self.binding = self.binding.model_copy(update={"calibration_id": self.calibration_id})
        self.limits = limits_from(thresholds, self.recipe)
        self._laid_zones: Zoned | None = None

    def inspect(self, frame: Frame) -> Finding:
        """Place, infer, find and decide.

        Raises:
            CameraError: the frame has another size than the recipe is made for.
            PartNotLocated: the recipe's locator finds no part, or none whose direction is clear.
            EngineError: the engine failed on this frame.
        """
        started = time.monotonic_ns()
        frame = self.cleaned(frame)
        view = self.view(frame)
        placement = view.placement
        placed = time.monotonic_ns()
        scores = self._runtime.infer(frame.pixels, placement)
        inferred = time.monotonic_ns()
        score = self.image_score(scores, view.scored)
        regions = find_regions(
            scores.map,
            pixel_threshold=self.limits.pixel_threshold,
            searched=view.searched,
            placement=placement,
            mm_per_px=self.recipe.mm_per_px,
            zones=None if view.zones is None else self._zones_over(view.zones),
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

    def _zones_over(self, cells: ZoneCells) -> Zoned | None:
        """The thresholds of every cell: laid once for frames of one size, with a locator for each frame."""
        if self._laid_zones is None or self._laid_zones.cells is not cells:
            self._laid_zones = zoned(cells, self.limits)
        return self._laid_zones


@contextmanager
def open_inspector(
    recipe_file: Path,
    runtime: PluginBlock,
    *,
    base: Path,
    accepted_before: bool = False,
    public_key: Path | None = None,
    calibration_held: bool = True,
) -> Iterator[Inspector]:
    """Open a recipe with its engine and thresholds; the engine is warm and accepted when this returns.

    Args:
        recipe_file: `recipe.yaml`.
        runtime: which runtime opens the engine, with its options; `precision` says which of its files.
        base: folder that `Path` options of the runtime are relative to.
        accepted_before: refuse an engine that `acceptance.json` beside the thresholds does not hold for; the gate is passed all the same.
        public_key: refuse a model folder that the owner of this key has not signed; None asks for no signature.
        calibration_held: refuse an engine that rejects more of the stored calibration frames than was promised; a study of it does not.

    Raises:
        ConfigError: recipe or thresholds are wrong, or do not belong to this engine.
        PluginError: the runtime is not installed.
        EngineError: the model folder is damaged, the engine does not agree with its golden frames or rejects more of the stored
            calibration frames than was promised, or has not been accepted before.
        UntrustedModel: the model folder is unsigned, signed by another key, or altered.
    """
    recipe = load_recipe(recipe_file)
    model = open_model_folder(recipe.engine, public_key=public_key)
    refuse_unmaskable(recipe_file, recipe, model)
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    model, block = served(model, runtime)
    with prepare("runtimes", block, base=base, given={"model": model})() as opened:
        binding = bind(model, opened, kind=block.kind, device=device(), thresholds=thresholds)
        if accepted_before:
            demand_acceptance(recipe.thresholds.with_name(ACCEPTANCE_FILE), binding)
        acceptance = accept(opened, model, image_threshold=thresholds.image_threshold, pixel_threshold=thresholds.pixel_threshold)
        inspector = Inspector(recipe=recipe, model=model, thresholds=thresholds, runtime=opened, acceptance=acceptance, binding=binding)
        inspector.rehearse()
        if calibration_held:
            inspector.acceptance = demand_agreement(model, accepted_with_calibration(inspector, acceptance, most=AT_START))
        yield inspector
