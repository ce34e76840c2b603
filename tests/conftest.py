"""A taught part for every test that needs one: the tiny model of tests/golden with a recipe and thresholds beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edge_inspect.config import load_recipe
from edge_inspect.model_folder import open_model_folder
from edge_inspect.service import giving_way
from edge_inspect.thresholds import Sample, Thresholds, save_thresholds
from edge_inspect.thresholds.taught_frames import TAUGHT_FILE, packed_frames

MODELS = Path(__file__).parent / "golden" / "models"

# Times never decide a test: these machines are shared.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def named_memory() -> set[str]:
    """What lies in shared memory by a name; Chromium, which tests may run at the same time, hides its own."""
    return {path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith(".")}


def with_taught_frames(folder: Path, frames: Sequence[str] | bytes) -> Path:
    """A copy of the tiny model that names the frames it was made from, by their hashes or as the file's content; its folder."""
    shutil.copytree(MODELS / "tiny", folder)
    content = frames if isinstance(frames, bytes) else packed_frames(frames)
    (folder / TAUGHT_FILE).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][TAUGHT_FILE] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_part(
    folder: Path, *, model: str | Path = "tiny", extra: str = "", image_threshold: float = 20.0, pixel_threshold: float = 10.0
) -> Path:
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


@pytest.fixture(scope="session", autouse=True)
def _the_tests_keep_their_priority() -> Iterator[None]:
    """A verb beside a running station lowers that of its process for good; here it is the process of the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(giving_way, "NICENESS", 0)
        yield
