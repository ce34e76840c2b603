import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.models.iaead import Iaead
from edge_inspect.workshop.models.iaead_config import CAE, DEEP_SVDD, IaeadConfig
from edge_inspect.workshop.models.svdd import away_from_zero, best_radius, squared_distances, svdd_loss
from edge_inspect.workshop.models.system import Batches, Prepared, System
from edge_inspect.workshop.traced_graph import traced_graph

pytestmark = pytest.mark.torch

TINY = {"channels": 4, "embedding": 8, "cell_embedding": 4, "batch": 8, "warm_up_epochs": 1}
Plate = Callable[..., np.ndarray]


def opened(*, side: int = 32, channels: int = 1, seed: int = 0, **overrides: Any) -> Iaead:
    torch.manual_seed(seed)
    config = configure("iaead", {**TINY, **overrides})
    assert isinstance(config, IaeadConfig)
    return Iaead(config, ImageSize(width=side, height=side, channels=channels))


def frames_of(count: int, *, side: int = 32, channels: int = 1, seed: int = 0) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (count, side, side, channels), dtype=np.uint8))


def batches_of(frames: Tensor) -> Batches:
    def batches() -> Iterator[Prepared]:
        return ((batch,) for batch in frames.split(8))

    return batches


def train(system: Iaead, frames: Tensor, epochs: range, optimizers: Any) -> list[dict[str, float]]:
    batches = batches_of(frames)
    losses = []
    for epoch in epochs:
        system.start_epoch(epoch, batches)
        losses += [system.step(rows, optimizers) for rows in batches()]
    return losses


def trained(system: Iaead, frames: Tensor, epochs: int) -> list[dict[str, float]]:
    losses = train(system, frames, range(epochs), system.optimizers())
    system.settle(batches_of(frames))
    return losses


def scored(system: Iaead, frames: Tensor) -> tuple[Tensor, Tensor]:
    system.eval()
    with torch.no_grad():
        return system(frames)


def test_the_svdd_loss_is_what_a_hand_computes() -> None:
    squared = squared_distances(torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]])[:, :, None, None], torch.zeros(1, 2, 1, 1))
    assert squared.flatten().tolist() == [25, 1, 4]
    # R 2: only the first is outside, by 21; 4 + 21 / (0.5 * 3)
    assert float(svdd_loss(squared, torch.tensor(2.0), 0.5)) == pytest.approx(4 + 21 / 1.5)
    assert float(svdd_loss(squared, torch.tensor(0.0), 1.0)) == pytest.approx(10.0)


@pytest.mark.parametrize("nu", [0.01, 0.1, 0.25, 0.3, 0.5, 0.77, 1.0])
def test_no_radius_on_a_fine_grid_has_a_smaller_loss_than_the_best_one(nu: float) -> None:
    squared = torch.from_numpy(np.random.default_rng(3).gamma(2.0, 1.0, 30))
    found = svdd_loss(squared, best_radius(squared, nu), nu)
    on_grid = [float(svdd_loss(squared, torch.tensor(radius), nu)) for radius in np.linspace(0, 4, 4001)]
    assert float(found) <= min(on_grid) + 1e-9


def test_the_radius_leaves_nu_n_outside_and_is_the_nearest_distance_where_all_may_be() -> None:
    squared = torch.tensor([16.0, 1.0, 4.0, 9.0, 25.0, 36.0, 49.0, 64.0, 81.0, 100.0])
    assert float(best_radius(squared, 1.0)) == 1.0
    assert float(best_radius(squared, 0.3)) == 8.0  # three outside: 9 and 10, and 8 itself is the upper end of the equal minima
    assert float(best_radius(squared, 0.25)) == 8.0  # 2.5 may be outside: with 2 the slope still rises, with 3 it falls
    assert float(best_radius(squared, 0.01)) == 10.0


def test_a_centre_keeps_away_from_zero_on_its_own_side() -> None:
    moved = away_from_zero(torch.tensor([0.5, 0.05, 0.0, -0.02, -0.3]), 0.1)
    assert moved.tolist() == pytest.approx([0.5, 0.1, 0.1, -0.1, -0.3])


@pytest.mark.parametrize(
    ("score", "side", "channels"),
    [("global", 28, 1), ("global", 32, 3), ("global", 64, 1), ("reconstruction", 28, 3), ("map", 32, 3), ("map", 64, 1)],
)
def test_shapes_are_promised_and_values_finite(score: str, side: int, channels: int) -> None:
    system = opened(side=side, channels=channels, score=score)
    assert isinstance(system, System)
    score_map, image_score = scored(system, frames_of(3, side=side, channels=channels))
    cells = side // (8 if score == "map" else 4)
    assert (score_map.shape, image_score.shape) == ((3, 1, cells, cells), (3,))
    assert score_map.dtype == image_score.dtype == torch.float32
    assert torch.isfinite(score_map).all()
    assert torch.isfinite(image_score).all()
    assert system.image_score == ("map maximum" if score == "map" else "own")


def test_the_paper_s_network_has_three_halvings_and_a_dense_embedding_of_256() -> None:
    config = IaeadConfig(width=28, height=28)
    system = Iaead(config, ImageSize(width=28, height=28, channels=1))
    assert (config.svdd_weight, config.nu, config.warm_up_epochs, config.halve_every_epochs) == (5e-5, 1.0, 20, 50)
    assert (config.epochs, config.batch, config.learning_rate, config.optimizer) == (250, 256, 0.1, "sgd")
    assert (system.shape.widths, system.shape.before, system.shape.rim) == ((64, 128, 256), (4, 4), (2, 2, 2, 2))
    assert system.encoder(system.planes(frames_of(2, side=28))).shape == (2, 256, 1, 1)


def test_a_part_of_256_pixels_gets_six_halvings_and_a_map_of_eight_pixel_cells() -> None:
    assert opened(side=256).shape.before == (4, 4)
    assert opened(side=256, score="map").shape.cells == (32, 32)


def test_pixels_are_seen_in_minus_one_to_one_with_a_black_rim() -> None:
    frames = torch.zeros(1, 28, 28, 1, dtype=torch.uint8)
    frames[:, 14:] = 255
    planes = opened(side=28).planes(frames)
    assert planes.shape == (1, 1, 32, 32)
    assert (float(planes.min()), float(planes.max())) == (-1, 1)
    assert bool((planes[0, 0, -2:] == -1).all())


@pytest.mark.parametrize("score", ["global", "map"])
def test_gradient_reaches_every_parameter(score: str) -> None:
    system = opened(score=score, warm_up_epochs=0, svdd_weight=0.1)
    system.start_epoch(0, batches_of(frames_of(8)))
    losses, _ = system.train().losses((frames_of(8),))
    losses["loss"].backward()
    untouched = [name for name, weights in system.named_parameters() if weights.grad is None or not bool(weights.grad.abs().max() > 0)]
    # a bias before batch norm is taken out again: its gradient is zero but for rounding
    assert not [name for name in untouched if not name.endswith("bias")]


def test_deep_svdd_leaves_the_decoder_alone_once_it_is_warm() -> None:
    system = opened(side=16, **DEEP_SVDD)
    optimizers = system.optimizers()
    cold, before = train(system, frames_of(16, side=16), range(1), optimizers), [weights.clone() for weights in system.decoder.parameters()]
    warm = train(system, frames_of(16, side=16), range(1, 2), optimizers)
    assert all(losses["loss"] == losses["reconstruction"] for losses in cold)
    assert all(losses["loss"] == losses["svdd"] for losses in warm)
    assert all(torch.equal(*pair) for pair in zip(before, system.decoder.parameters(), strict=True))


def test_the_sphere_comes_in_after_the_warm_up_with_the_mean_embedding_as_centre() -> None:
    system, frames = opened(warm_up_epochs=2, centre_floor=0.0), frames_of(20)
    optimizers = system.optimizers()
    cold = train(system, frames, range(2), optimizers)
    assert all("svdd" not in losses for losses in cold)
    assert float(system.radius) == 0
    assert not bool(system.centre.any())
    system.start_epoch(2, batches_of(frames))
    with torch.no_grad():
        assert torch.allclose(system.centre, system.eval().encoder(system.planes(frames)).mean(dim=0, keepdim=True), atol=1e-6)
    losses = system.step((frames[:8],), optimizers)
    assert losses["loss"] == pytest.approx(losses["reconstruction"] + 5e-5 * losses["svdd"], rel=1e-6)
    assert losses["radius"] == float(system.radius) > 0


def test_the_cae_never_sees_a_sphere() -> None:
    system = opened(**CAE)
    losses = trained(system, frames_of(16), 3)
    assert all(set(one) == {"loss", "reconstruction", "radius"} for one in losses)
    assert not bool(system.centre.any())


def test_the_learning_rate_is_halved_by_epochs() -> None:
    system = opened(halve_every_epochs=2)
    optimizers = system.optimizers()
    rates = []
    for epoch in range(5):
        train(system, frames_of(8), range(epoch, epoch + 1), optimizers)
        rates.append(optimizers["all"].param_groups[0]["lr"])
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025]


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_training_that_goes_on_from_a_checkpoint_ends_with_the_same_weights(stopped_after: int) -> None:
    frames, settings = frames_of(24), {"warm_up_epochs": 2, "halve_every_epochs": 2}
    whole = opened(**settings)
    trained(whole, frames, 4)
    first, second = opened(**settings), opened(seed=99, **settings)
    optimizers, others = first.optimizers(), second.optimizers()
    train(first, frames, range(stopped_after), optimizers)
    kept = io.BytesIO()
    torch.save([first.state_dict(), optimizers["all"].state_dict()], kept)
    state, learnt = torch.load(io.BytesIO(kept.getvalue()), weights_only=True)
    second.load_state_dict(state)
    others["all"].load_state_dict(learnt)
    train(second, frames, range(stopped_after, 4), others)
    second.settle(batches_of(frames))
    assert all(torch.equal(one, second.state_dict()[name]) for name, one in whole.state_dict().items())


def test_a_score_is_the_distance_from_the_mean_embedding_of_the_training_set() -> None:
    system, frames = opened(), frames_of(20)
    trained(system, frames, 2)
    with torch.no_grad():
        embedded = system.encoder(system.planes(frames))[:, :, 0, 0]
    expected = (embedded - embedded.mean(dim=0)).norm(dim=1)
    assert torch.allclose(scored(system, frames)[1], expected, atol=1e-5)


def test_deep_svdd_measures_from_the_sphere_s_centre() -> None:
    system = opened(**DEEP_SVDD)
    trained(system, frames_of(16), 2)
    assert torch.equal(system.origin, system.centre)
    assert bool(system.centre.any())


def test_the_cae_s_score_is_its_mean_reconstruction_error() -> None:
    system, frames = opened(side=28, **CAE), frames_of(3, side=28)
    planes = system.eval().planes(frames)
    with torch.no_grad():
        errors = (planes - system.decoder(system.encoder(planes))).abs()[:, :, 2:-2, 2:-2]
    assert torch.allclose(scored(system, frames)[1], errors.mean(dim=(1, 2, 3)), atol=1e-6)


def test_batch_norm_is_measured_over_the_training_set_and_remembers_no_first_weights() -> None:
    system, frames = opened(), frames_of(64)
    trained(system, frames, 1)
    norm, convolution = system.encoder[1], system.encoder[0]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        seen = convolution(system.planes(frames))
    assert torch.allclose(norm.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)
    assert norm.momentum == 0.1


@pytest.mark.parametrize(("cell_mean", "cells"), [("position", (4, 4)), ("shared", (1, 1))])
def test_cells_are_measured_from_their_own_position_s_mean_or_from_one(cell_mean: str, cells: tuple[int, int]) -> None:
    system, frames = opened(score="map", cell_mean=cell_mean), frames_of(20)
    trained(system, frames, 2)
    assert system.origin.shape == system.centre.shape == (1, 4, *cells)
    with torch.no_grad():
        embedded = system.encoder(system.planes(frames))
    mean = embedded.mean(dim=0, keepdim=True) if cell_mean == "position" else embedded.mean(dim=(0, 2, 3))[None, :, None, None]
    assert torch.allclose(system.origin, mean, atol=1e-5)


def test_a_cell_s_field_lies_around_the_middle_of_what_it_stands_for() -> None:
    system = opened(side=128, score="map").eval()
    planes = torch.randn(1, 1, 128, 128, requires_grad=True)
    system.encoder(planes)[0, :, 7, 7].abs().sum().backward()
    rows = torch.nonzero(planes.grad[0, 0].abs().sum(dim=1))[:, 0]
    assert (len(rows), float(rows.float().mean())) == (31, pytest.approx(7 * 8 + 3.5, abs=0.51))


def test_the_stop_loss_is_repeatable_and_an_epoch_of_the_warm_up_is_never_the_best() -> None:
    system, frames = opened(warm_up_epochs=2), frames_of(16)
    optimizers = system.optimizers()
    train(system, frames, range(2), optimizers)
    cold = system.stop_loss((frames,))
    train(system, frames, range(2, 3), optimizers)
    warm = [system.stop_loss((frames,)) for _ in range(2)]
    assert warm[0] == warm[1] < cold


def test_patience_that_would_stop_within_the_warm_up_is_refused() -> None:
    with pytest.raises(ConfigError, match="would stop within warm_up_epochs 20"):
        configure("iaead", {"patience": 20})


@pytest.mark.parametrize(("overrides", "side"), [({}, 30), ({"score": "map"}, 28), ({"illumination": "both"}, 28)])
def test_an_image_that_the_map_cannot_cover_evenly_is_refused(overrides: dict[str, Any], side: int) -> None:
    with pytest.raises(ConfigError, match=f"image is {side} x {side}; width and height must be multiples of"):
        opened(side=side, **overrides)


def spotted(plate: Plate, seed: int) -> np.ndarray:
    pixels = plate(seed, width=48, height=48).copy()
    row, column = np.random.default_rng(seed).integers(4, 34, 2)
    pixels[row : row + 10, column : column + 10] = 20
    return pixels


def auroc_of(scores: Tensor) -> float:
    return float(roc_auc_score([0] * (len(scores) // 2) + [1] * (len(scores) // 2), scores.numpy()))


def plates(plate: Plate, seeds: range) -> Tensor:
    return torch.from_numpy(np.stack([plate(seed, width=48, height=48) for seed in seeds]))


@pytest.mark.parametrize(("score", "loss"), [("global", "both"), ("map", "both"), ("reconstruction", "reconstruction")])
def test_after_a_short_training_the_map_tells_a_planted_defect_from_good_parts(score: str, loss: str, plate: Plate) -> None:
    system = opened(side=48, score=score, loss=loss)
    trained(system, plates(plate, range(40)), 6)
    bad = torch.from_numpy(np.stack([spotted(plate, seed) for seed in range(200, 230)]))
    score_map, image_score = scored(system, torch.cat([plates(plate, range(100, 130)), bad]))
    assert auroc_of(score_map.amax(dim=(1, 2, 3))) >= 0.9
    assert score == "global" or auroc_of(image_score) >= 0.9


def test_after_a_short_training_with_a_weighty_sphere_the_global_score_tells_another_kind_of_part(plate: Plate) -> None:
    system = opened(side=48, svdd_weight=5e-3, nu=0.1, learning_rate=1e-3)
    trained(system, plates(plate, range(40)), 30)
    other = plates(plate, range(200, 230)).transpose(1, 2)
    assert auroc_of(scored(system, torch.cat([plates(plate, range(100, 130)), other]))[1]) >= 0.9


@pytest.mark.parametrize(("score", "side"), [("global", 28), ("map", 32), ("reconstruction", 28)])
def test_the_exported_graph_says_what_the_model_says(score: str, side: int) -> None:
    system, frames = opened(side=side, score=score), frames_of(5, side=side)
    trained(system, frames_of(16, side=side), 2)
    wanted = scored(system, frames)
    graph = traced_graph(system, system.size, dynamic_batch=True)
    onnx.checker.check_model(graph)
    assert [(imported.domain, imported.version) for imported in graph.opset_import] == [("", 13)]
    assert next(node.op_type for node in graph.graph.node if "frame" in node.input) == "Cast"
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"frame": frames.numpy()})
    for here, there in zip(wanted, found, strict=True):
        assert np.abs(here.numpy() - there).max() <= 1e-4 * float(here.max() - here.min())
