"""A taught part for every test that needs one: the tiny model of tests/golden with a recipe and thresholds beside it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_inspect.config import load_recipe
from edge_inspect.model_folder import open_model_folder
from edge_inspect.thresholds import Sample, Thresholds, save_thresholds

MODELS = Path(__file__).parent / "golden" / "models"


def write_part(folder: Path, *, model: str = "tiny", extra: str = "", image_threshold: float = 20.0, pixel_threshold: float = 10.0) -> Path:
    """Write recipe.yaml and thresholds.json for one of the tiny models; the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe_file = folder / "recipe.yaml"
    recipe_file.write_text(f"part: {folder.name}\nengine: {MODELS / model}\n{extra}", encoding="utf-8")
    recipe = load_recipe(recipe_file)
    thresholds = Thresholds(
        image_threshold=image_threshold,
        pixel_threshold=pixel_threshold,
        engine_sha256=open_model_folder(recipe.engine).engine_sha256,
        recipe_sha256=recipe.sha256,
        rule="by hand",
        promise="none: made by hand for a test",
        sample=Sample(images=0, fingerprint="", minimum=0, median=0, maximum=0),
        made_at=datetime(2026, 11, 21, tzinfo=timezone.utc),
        software="test",
    )
    save_thresholds(recipe.thresholds, thresholds)
    return recipe_file


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """`recipe.yaml` of a part called `cell`, inspected by the tiny model: a grey of 128 is good, 148 and above is not."""
    return write_part(tmp_path / "cell")
