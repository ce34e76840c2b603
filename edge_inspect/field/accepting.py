"""Accept engines on this device: each is opened as a station opens it, goes through the gate, and what came of it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_inspect.acceptance import ACCEPTANCE_FILE, AcceptanceRecord, bind, compare, write_acceptance
from edge_inspect.config import PluginBlock, Recipe
from edge_inspect.model_folder import PRECISION_FILES, ModelFolder, Precision, open_model_folder
from edge_inspect.plugins import prepare, served
from edge_inspect.scoring import Scorer
from edge_inspect.service.machine import device
from edge_inspect.thresholds import Thresholds, load_thresholds
from edge_inspect.transfer import accepted_with_calibration


def accept_engines(
    recipe: Recipe, precisions: Sequence[Precision], *, kind: str, options: Mapping[str, Any], base: Path
) -> tuple[AcceptanceRecord, ...]:
    """Run the gate for each precision and write `acceptance.json` beside the thresholds; a refusal is written too.

    Where calibration frames are stored, they are scored again: an engine on which a threshold would have to rise too far is refused.

    Args:
        recipe: its engine is accepted against its thresholds.
        precisions: which of the engine's files.
        kind: of the runtime.
        options: of the runtime.
        base: folder that relative paths among the options are relative to.

    Raises:
        ConfigError: no thresholds of this engine, or the file cannot be written.
        EngineError: the model folder is damaged, or an engine cannot be opened or run at all.
    """
    model = open_model_folder(recipe.engine)
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    blocks = [PluginBlock.model_validate({"kind": kind, "precision": precision, **options}) for precision in precisions]
    path = recipe.thresholds.with_name(ACCEPTANCE_FILE)
    return tuple(_accept(path, recipe, model, block, thresholds, base) for block in blocks)


def precisions_of(model: ModelFolder) -> list[Precision]:
    """The precisions that a model folder has files of."""
    return [precision for precision, name in PRECISION_FILES.items() if name in model.manifest.files]


def _accept(  # noqa: PLR0917 - what one acceptance needs
    path: Path, recipe: Recipe, model: ModelFolder, block: PluginBlock, thresholds: Thresholds, base: Path
) -> AcceptanceRecord:
    model, block = served(model, block)
    with prepare("runtimes", block, base=base, given={"model": model})() as runtime:
        binding = bind(model, runtime, kind=block.kind, device=device(), thresholds=thresholds)
        image, pixel = thresholds.image_threshold, thresholds.pixel_threshold
        found = compare(runtime, model, image_threshold=image, pixel_threshold=pixel)
        found = accepted_with_calibration(Scorer(recipe=recipe, model=model, runtime=runtime), found)
        return write_acceptance(path, binding, found)
