from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor

from edge_inspect.config import Recipe
from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize, ModelFolder
from edge_inspect.workshop.export import export
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.models.padim import Padim
from edge_inspect.workshop.models.system import System
from edge_inspect.workshop.padim import Head, distance
from edge_inspect.workshop.teach import Taught, teach
from edge_inspect.workshop.trained_folder import TrainedFolder, open_trained_folder
from edge_inspect.workshop.training import train

pytestmark = pytest.mark.torch

Plate = Callable[..., np.ndarray]
SEED = 3
SIDE = 64


def opened(*, width: int = SIDE, height: int = SIDE, channels: int = 1, **overrides: Any) -> Padim:
    return Padim(configure("padim", overrides), ImageSize(width=width, height=height, channels=channels)).eval()  # type: ignore[arg-type]


def frames_of(count: int, *, width: int = SIDE, height: int = SIDE, channels: int = 1, seed: int = 0) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (count, height, width, channels), dtype=np.uint8))


def fitted(system: Padim, frames: Tensor) -> Tensor:
    """Fit it on these frames; their features."""
    with torch.no_grad():
        features = system.prepare(frames, np.random.default_rng(0))[0]
        system.settle(lambda: ((batch,) for batch in features.split(4)))
    return features


@dataclass(frozen=True)
class Both:
    """One part, taught and trained on the same images with the same seed."""

    taught: Taught
    trained: TrainedFolder
    exported: ModelFolder


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def both(request: pytest.FixtureRequest, plate: Plate, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("padim")
    images = [(f"{seed:02}.png", plate(seed, channels=request.param)) for seed in range(16)]
    taught = teach(images, recipe=recipe_in(folder / "taught"), width=SIDE, height=SIDE, seed=SEED)
    config = configure("padim", {"width": SIDE, "height": SIDE, "embedding_seed": SEED})
    train(images, name="padim", config=config, recipe=recipe_in(folder / "trained"), out=folder / "weights", seed=SEED)
    exported = export(folder / "weights", recipe=recipe_in(folder / "trained"))
    return Both(taught, open_trained_folder(folder / "weights"), exported.finished.model)


def recipe_in(folder: Path) -> Recipe:
    folder.mkdir(exist_ok=True)
    return Recipe(part="plate", engine=folder / "engine", thresholds=folder / "thresholds.json")


def answers(model: ModelFolder, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps and image scores of the graph."""
    session = onnxruntime.InferenceSession(str(model.model_file), providers=["CPUExecutionProvider"])
    said = [session.run(["score_map", "image_score"], {"frame": frame[None]}) for frame in frames]
    return np.concatenate([one for one, _ in said]), np.concatenate([other for _, other in said])


def frames_to_judge(plate: Plate, channels: int) -> np.ndarray:
    """Good parts that neither has seen, and the same with a piece too many."""
    good = np.stack([plate(seed, width=SIDE, height=SIDE, channels=channels) for seed in range(100, 104)])
    spoilt = good.copy()
    spoilt[:, 40:52, 20:30] = 30
    return np.concatenate([good, spoilt])


def test_the_trained_system_holds_out_the_parts_that_teach_holds_out(both: Both) -> None:
    assert sorted(both.trained.good.names) == sorted(both.taught.held_out)
    assert both.trained.record.training == both.taught.model.manifest.training


def test_the_exported_system_says_what_the_taught_part_says(both: Both, plate: Plate) -> None:
    channels = both.exported.manifest.input.channels
    frames = frames_to_judge(plate, channels)
    wanted, found = answers(both.taught.model, frames), answers(both.exported, frames)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-3)
    assert found[1][4:].min() > found[1][:4].max()


def test_the_gaussians_are_those_of_the_taught_part(both: Both) -> None:
    graph = onnx.load(both.taught.model.model_file).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    gaussians = both.trained.load_system().gaussians
    np.testing.assert_allclose(gaussians.mean.numpy(), constants["mean"][0], rtol=0, atol=1e-4 * np.ptp(constants["mean"]))
    np.testing.assert_allclose(gaussians.whitening.numpy(), constants["whitening"], rtol=0, atol=1e-3 * np.ptp(constants["whitening"]))


def test_the_thresholds_are_those_of_the_taught_part(both: Both) -> None:
    own = both.taught.thresholds
    there = both.exported.path.parent / "thresholds.json"
    assert f'"promise": "{own.promise}"' in there.read_text(encoding="utf-8")
    assert own.image_threshold == pytest.approx(float(max(both.taught.scores)))


@pytest.mark.parametrize("backbone", ["lite0", "lite1", "lite2"])
@pytest.mark.parametrize("illumination", ["none", "both"])
def test_any_backbone_and_illumination_gives_a_map_of_a_fourth_of_the_image(backbone: str, illumination: str) -> None:
    system = opened(width=96, height=64, channels=3, backbone=backbone, illumination=illumination, dimensions=20)
    frames = frames_of(4, width=96, height=64, channels=3)
    fitted(system, frames)
    with torch.no_grad():
        score_map, image_score = system(frames)
    assert isinstance(system, System)
    assert (score_map.shape, image_score.shape) == ((4, 1, 16, 24), (4,))
    assert torch.isfinite(score_map).all()
    assert torch.equal(image_score, score_map.amax(dim=(1, 2, 3)))


def test_the_distance_is_that_of_the_plain_arithmetic() -> None:
    system = opened(dimensions=12)
    features = fitted(system, frames_of(6))
    head = Head(mean=system.gaussians.mean.numpy(), whitening=system.gaussians.whitening.numpy(), block=2)
    found = system.gaussians(features)[:, 0].numpy()
    np.testing.assert_allclose(found, distance(features.numpy(), head), rtol=1e-4)


def test_the_fit_does_not_depend_on_how_the_rows_are_batched() -> None:
    features = torch.randn(7, 12, 8, 8, generator=torch.Generator().manual_seed(0))
    systems = [opened(dimensions=12) for _ in range(2)]
    for system, batch in zip(systems, (2, 7), strict=True):
        system.settle(lambda batch=batch: ((rows,) for rows in features.split(batch)))
    torch.testing.assert_close(systems[0].gaussians.mean, systems[1].gaussians.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(systems[0].gaussians.whitening, systems[1].gaussians.whitening, rtol=1e-3, atol=1e-3)


def test_the_embedding_is_orthonormal_and_goes_by_its_own_seed() -> None:
    first, same, other = (opened(embedding_seed=seed).embed[:, :, 0, 0] for seed in (0, 0, 1))
    torch.testing.assert_close(first @ first.T, torch.eye(100), rtol=0, atol=1e-5)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_embedding_each_level_at_its_own_size_is_embedding_the_joined_levels() -> None:
    system, frames = opened(dimensions=12), frames_of(2)
    with torch.no_grad():
        fine, middle, coarse = system.backbone(frames.permute(0, 3, 1, 2).float())
        enlarged = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        joined = torch.cat([torch.nn.functional.avg_pool2d(fine, 2), middle, enlarged], dim=1)
        wanted = torch.nn.functional.conv2d(joined, system.embed)
    torch.testing.assert_close(system.prepare(frames, np.random.default_rng(0))[0], wanted, rtol=1e-4, atol=1e-4)


def test_nothing_is_trained() -> None:
    system = opened()
    assert system.optimizers() == {}
    assert not any(parameter.requires_grad for parameter in system.parameters())


def test_parts_like_those_it_was_fitted_on_lie_nearer_than_others(plate: Plate) -> None:
    system = opened(dimensions=20)
    good = torch.from_numpy(frames_to_judge(plate, 1))
    plates = torch.from_numpy(np.stack([plate(seed, width=SIDE, height=SIDE) for seed in range(12)]))
    fitted(system, plates)
    with torch.no_grad():
        near, far = (system.stop_loss(system.prepare(rows, np.random.default_rng(0))) for rows in (good[:4], good[4:]))
    assert far > 1.2 * near


@pytest.mark.parametrize(("width", "height", "block", "multiple"), [(72, 64, 2, 16), (64, 40, 2, 16), (64, 80, 4, 32)])
def test_an_image_without_whole_cells_is_refused(width: int, height: int, block: int, multiple: int) -> None:
    with pytest.raises(ConfigError, match=f"network image {width} x {height}: .* multiples of {multiple}"):
        opened(width=width, height=height, block=block)
