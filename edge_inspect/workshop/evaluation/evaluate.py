"""Judge an exported engine on labelled pictures: `evaluate` is what `edge-inspect evaluate` runs.

    recipe -> the line's inspector (engine accepted, thresholds checked) -> every test picture -> figures

Nothing here chooses anything: engine, recipe and thresholds are those of the station, and what comes out is reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_inspect.cameras.pictures import part_name
from edge_inspect.config import PluginBlock
from edge_inspect.inspector import Inspector, open_inspector
from edge_inspect.model_folder import Manifest
from edge_inspect.thresholds import Thresholds
from edge_inspect.workshop.evaluation.intervals import RESAMPLES, Interval, bootstrap
from edge_inspect.workshop.evaluation.judging import Judged, Progress, judge, median_ms, silent
from edge_inspect.workshop.evaluation.labelled import LabelledSet
from edge_inspect.workshop.evaluation.outcomes import DefectFigures, ImageFigures, Outcomes, defect_figures, image_figures, outcomes_of
from edge_inspect.workshop.evaluation.pixels import PixelFigures, pixel_figures
from edge_inspect.workshop.evaluation.promise import Promise, held_against
from edge_inspect.workshop.evaluation.robustness import Disturbed, measure_robustness
from edge_inspect.workshop.evaluation.shortcuts import shortcuts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What an engine does on one test set.

    Attributes:
        set_name: of the test set.
        part: name of the part in the recipe.
        manifest: of the engine's model folder.
        engine_sha256: hash of the engine's model file.
        runtime: what opened it.
        thresholds: what the station rejects by.
        image: figures image by image.
        pixel: figures pixel by pixel; None where no mask could be used.
        without_mask: why defective pictures do not count in `pixel`.
        per_defect: every kind of defect against the good parts.
        intervals: 95 % confidence intervals by name of the figure.
        promise: false rejects against the promised bound.
        robustness: figures under disturbances; empty where not asked for.
        shortcuts: how well brightness, contrast, noise and size alone tell good from defective (AUROC, 0.5 to 1).
        ms_per_image: median time of one inspection [ms].
        outcomes: scores and verdicts, one row for each of `judged`.
        judged: every picture with its map.
        refused: pictures that could not be judged, with the reason.
        seed: of draws and disturbances.
        resamples: of the bootstrap.
        part_of: how a file name tells the part; None where every picture is one.
    """

    set_name: str
    part: str
    manifest: Manifest
    engine_sha256: str
    runtime: str
    thresholds: Thresholds
    image: ImageFigures
    pixel: PixelFigures | None
    without_mask: tuple[str, ...]
    per_defect: Mapping[str, DefectFigures]
    intervals: Mapping[str, Interval]
    promise: Promise
    robustness: tuple[Disturbed, ...]
    shortcuts: Mapping[str, float]
    ms_per_image: float
    outcomes: Outcomes = field(repr=False)
    judged: tuple[Judged, ...] = field(repr=False)
    refused: tuple[str, ...]
    seed: int
    resamples: int
    part_of: str | None


def evaluate(
    recipe_file: Path,
    labelled: LabelledSet,
    *,
    runtime: PluginBlock,
    base: Path | None = None,
    robustness: bool = False,
    part_of: re.Pattern[str] | None = None,
    calibration_held: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Judge the engine of a recipe, opened as a station opens it.

    Args:
        recipe_file: `recipe.yaml`, with its engine and thresholds.
        labelled: the test pictures.
        runtime: what opens the engine.
        base: folder that `Path` options of the runtime are relative to; None is the recipe's.
        robustness: also inspect every picture under every disturbance.
        part_of: its first group, found in a file name, is the physical part; intervals and promise then count parts.
        calibration_held: as `open_inspector` takes it.
        resamples: of the bootstrap.
        seed: of draws and disturbances.
        progress: called as the work goes on.

    Raises:
        ConfigError: recipe or thresholds are wrong, no good or no defective picture could be judged, or a name tells no part.
        PluginError: the runtime is not installed.
        EngineError: the engine is not accepted, or failed on a picture.
    """
    parts = None if part_of is None else {image: part_name(image.picture.name, part_of) for image in labelled.images}
    base = base or recipe_file.resolve().parent
    with open_inspector(recipe_file, runtime, base=base, calibration_held=calibration_held) as inspector:
        judgement = judge(inspector, labelled.images, progress)
        outcomes = outcomes_of((one.image.kind, one.score, one.verdict) for one in judgement.judged)
        disturbed = measure_robustness(inspector, judgement.judged, outcomes, seed=seed, progress=progress) if robustness else ()
    names = None if parts is None else [parts[one.image] for one in judgement.judged]
    pixel, without_mask = pixel_figures(judgement.judged, progress)
    return Evaluation(
        set_name=labelled.name,
        part=inspector.recipe.part,
        manifest=inspector.model.manifest,
        engine_sha256=inspector.model.engine_sha256,
        runtime=runtime.kind,
        thresholds=inspector.thresholds,
        image=image_figures(outcomes),
        pixel=pixel,
        without_mask=without_mask,
        per_defect=defect_figures(outcomes),
        intervals=bootstrap(outcomes, names, resamples=resamples, seed=seed),
        promise=_promise(inspector, outcomes, names),
        robustness=disturbed,
        shortcuts=shortcuts(outcomes.kinds, [one.look for one in judgement.judged]),
        ms_per_image=median_ms(judgement.judged),
        outcomes=outcomes,
        judged=judgement.judged,
        refused=judgement.refused,
        seed=seed,
        resamples=resamples,
        part_of=None if part_of is None else part_of.pattern,
    )


def _promise(inspector: Inspector, outcomes: Outcomes, parts: Sequence[str] | None) -> Promise:
    thresholds = inspector.thresholds
    return held_against(outcomes, parts, sentence=thresholds.promise, bound=thresholds.false_reject_bound)
