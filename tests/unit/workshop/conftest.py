"""Pictures of made-up parts: a grey plate with a bright bar and grain, each a little different."""

import sys
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import cv2
import numpy as np
import pytest

# The line's own environments have no onnx, and must not need it: `make line-test`. Those that need torch are `make workshop-test`.
NEED_TORCH = ["test_training.py", "test_export.py", "test_cli_train.py", "test_onnx_check.py"]
collect_ignore_glob = [] if find_spec("onnx") else ["test_*.py"]
collect_ignore = [] if find_spec("torch") else NEED_TORCH


def plate_picture(seed: int, *, width: int = 80, height: int = 72, channels: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    pixels = random.normal(100, 4, (height, width, channels))
    top = 20 + int(random.integers(-1, 2))
    pixels[top : top + 10, 10:-10] += 60
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def plate() -> Callable[..., np.ndarray]:
    return plate_picture


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    for seed in range(20):
        cv2.imwrite(str(folder / f"{seed // 2:03}_{seed % 2}.png"), plate_picture(seed))
    return folder


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    file = tmp_path / "calibration" / "plate" / "recipe.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("part: plate\nengine: ../../engines/plate\n", encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def toy_class() -> type:
    """The smallest system there can be, registered as `toy` for as long as a test wants it. Needs torch."""
    spec = spec_from_file_location("toy_system", Path(__file__).with_name("toy_system.py"))
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Toy


@pytest.fixture
def toy(toy_class: type, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_inspect.workshop.models.catalogue import CATALOGUE

    monkeypatch.setitem(CATALOGUE, "toy", sys.modules[toy_class.__module__].ToyEntry())
