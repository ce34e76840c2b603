import copy
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.backbones_classic import ResNet50
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.models.kumar import Kumar, KumarConfig
from edge_inspect.workshop.models.kumar_network import Dissimilarity, contractive_penalty, projected_norm
from edge_inspect.workshop.models.ssim import LocalSsim
from edge_inspect.workshop.models.system import Prepared, System

pytestmark = pytest.mark.torch

SIX = ("dae", "dae_vgg16", "dae_resnet50", "cae", "cae_vgg16", "cae_resnet50")
TINY = {"widths": (8, 16, 16, 16), "latent": 16, "batch": 8}
Plate = Callable[..., np.ndarray]


def opened(name: str, *, side: int = 32, channels: int = 3, seed: int = 0, **overrides: Any) -> Kumar:
    torch.manual_seed(seed)
    config = configure(name, {**TINY, **overrides})
    assert isinstance(config, KumarConfig)
    return Kumar(config, ImageSize(width=side, height=side, channels=channels))


def frames_of(count: int, *, side: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (count, side, side, channels), dtype=np.uint8))


def scored(system: Kumar, frames: Tensor) -> tuple[Tensor, Tensor]:
    system.eval()
    with torch.no_grad():
        return system(frames)


def trained(system: Kumar, frames: Tensor, steps: int) -> list[dict[str, float]]:
    torch.manual_seed(1)
    optimizers = system.optimizers()
    batches = itertools.cycle(frames.split(8))
    losses = [system.step((batch,), optimizers) for batch, _ in zip(batches, range(steps), strict=False)]
    system.settle(lambda: ((batch,) for batch in frames.split(8)))
    return losses


class Echo(nn.Module):
    """An autoencoder that gives back what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.gain * images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SIX)
def test_map_covers_every_pixel_and_scores_are_finite(name: str, channels: int) -> None:
    system = opened(name, side=64, channels=channels)
    score_map, image_score = scored(system, frames_of(2, side=64, channels=channels))
    assert isinstance(system, System)
    assert score_map.shape == (2, 1, 64, 64)
    assert image_score.shape == (2,)
    assert score_map.dtype == image_score.dtype == torch.float32
    assert torch.isfinite(score_map).all()
    assert torch.isfinite(image_score).all()


@pytest.mark.parametrize("name", SIX)
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    system = opened(name)
    system.step((frames_of(4),), system.optimizers())
    unreached = [name for name, parameter in system.named_parameters() if parameter.grad is None or not parameter.grad.abs().sum() > 0]
    assert unreached == []


@pytest.mark.parametrize("name", SIX)
def test_the_loss_falls_within_a_few_steps(name: str, plate: Plate) -> None:
    frames = torch.from_numpy(np.stack([plate(seed, width=32, height=32, channels=3) for seed in range(4)]))
    losses = trained(opened(name), frames, 4)
    assert losses[-1]["reconstruction"] < losses[0]["reconstruction"]


@pytest.mark.parametrize("name", ["cae", "cae_vgg16", "cae_resnet50"])
def test_the_penalty_does_not_drown_the_reconstruction_at_the_start(name: str) -> None:
    system = opened(name, side=64, latent=128)
    losses = system.step((frames_of(4, side=64),), system.optimizers())
    assert 1e-4 * losses["reconstruction"] < losses["penalty"] < losses["reconstruction"]


@pytest.mark.parametrize("name", ["dae", "cae"])
def test_dissimilarity_can_be_learnt_too(name: str, plate: Plate) -> None:
    frames = torch.from_numpy(np.stack([plate(seed, width=32, height=32, channels=3) for seed in range(8)]))
    losses = trained(opened(name, loss="ssim", learning_rate=3e-3), frames, 20)
    assert losses[-1]["reconstruction"] < 0.9 * losses[0]["reconstruction"]


@pytest.mark.parametrize("image_score", ["mean", "maximum"])
@pytest.mark.parametrize("name", ["dae", "cae"])
def test_a_short_training_separates_a_gap_in_the_bar_and_a_piece_too_many(name: str, image_score: str, plate: Plate) -> None:
    parts = torch.from_numpy(np.stack([plate(seed, width=48, height=48) for seed in range(48)]))
    system = opened(name, side=48, channels=1, learning_rate=3e-3, image_score=image_score, smoothing_cells=2.0)
    gap, piece = parts[32:].clone(), parts[32:].clone()
    gap[:, 19:31, 20:28] = 100
    piece[:, 35:47, 20:28] = 160
    before = [separated(system, parts[32:], defective) for defective in (gap, piece)]
    trained(system, parts[:32], 120)
    after = [separated(system, parts[32:], defective) for defective in (gap, piece)]
    assert min(before) < 0.5  # whatever grey an untrained network gives is nearer to one of the two than to a good part
    assert min(after) >= 0.9


def test_the_score_map_rises_where_the_gap_is(plate: Plate) -> None:
    parts = torch.from_numpy(np.stack([plate(seed, width=48, height=48) for seed in range(32)]))
    system = opened("dae", side=48, channels=1, learning_rate=3e-3, smoothing_cells=2.0)
    trained(system, parts, 60)
    gap = parts.clone()
    gap[:, 19:31, 20:28] = 100
    risen = scored(system, gap)[0] - scored(system, parts)[0]
    assert (risen.amax(dim=(2, 3)) == risen[:, :, 17:33, 18:30].amax(dim=(2, 3))).all()


def separated(system: Kumar, good: Tensor, defective: Tensor) -> float:
    """AUROC of the image scores."""
    scores = torch.cat([scored(system, good)[1], scored(system, defective)[1]]).numpy()
    return float(roc_auc_score([0] * len(good) + [1] * len(defective), scores))


@pytest.mark.parametrize("name", SIX)
def test_a_system_is_its_configuration_and_its_state(name: str) -> None:
    one = opened(name, seed=0)
    trained(one, frames_of(4), 1)
    other = opened(name, seed=5)
    other.load_state_dict(one.state_dict())
    frames = frames_of(3, seed=9)
    for ours, theirs in zip(scored(one, frames), scored(other, frames), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["dae", "cae"])
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    one, other, another = (opened(name, seed=seed) for seed in (0, 0, 1))
    for system in (one, other, another):
        trained(system, frames_of(16), 3)
    states = [system.state_dict() for system in (one, other, another)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_the_image_score_is_the_mean_squared_error_of_all_pixels() -> None:
    system, frames = opened("dae"), frames_of(2)
    images = frames.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = ((system.autoencoder(images) - images) ** 2).flatten(1).mean(dim=1)
    torch.testing.assert_close(scored(system, frames)[1], expected)
    assert system.image_score == "own"


def test_the_image_score_can_be_the_smoothed_maps_maximum() -> None:
    system = opened("dae", image_score="maximum")
    score_map, image_score = scored(system, frames_of(2))
    assert torch.equal(image_score, score_map.amax(dim=(1, 2, 3)))
    assert system.image_score == "map maximum"


@pytest.mark.parametrize(("score", "expected"), [(None, "ssim"), ("mse", "mse")])
def test_the_score_measures_as_the_loss_does_unless_said_otherwise(score: str | None, expected: str) -> None:
    system = opened("dae", loss="ssim", score=score)
    assert isinstance(system.loss, Dissimilarity)
    assert isinstance(system.score, Dissimilarity) == (expected == "ssim")
    assert ("SSIM" in system.score_meaning) == (expected == "ssim")


def test_the_dissimilarity_is_one_minus_the_channels_mean_ssim() -> None:
    one, other = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(Dissimilarity()(one, other), 1 - LocalSsim()(one, other).mean(dim=1, keepdim=True))


def test_the_denoising_target_is_clean() -> None:
    system = opened("dae", noise_sigma=0.25)
    system.autoencoder = Echo()  # type: ignore[assignment]
    losses = system.step((frames_of(64),), system.optimizers())
    assert losses == {"reconstruction": pytest.approx(0.25**2, rel=0.02)}


def test_scoring_and_the_stop_loss_draw_no_noise() -> None:
    system, frames = opened("dae"), frames_of(2)
    drawn = torch.random.get_rng_state()
    stop_losses = [system.stop_loss((frames,)) for _ in range(2)]
    assert stop_losses[0] == stop_losses[1] == pytest.approx(float(scored(system, frames)[1].mean()))
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_the_contractive_input_is_clean_and_its_penalty_weighted() -> None:
    frames = frames_of(4)
    one, heavy = (opened("cae", penalty_weight=weight, learning_rate=1e-9) for weight in (1e-3, 1e-2))
    losses = []
    for system in (one, heavy):
        torch.manual_seed(2)
        losses.append(system.step((frames,), system.optimizers()))
    assert losses[0]["reconstruction"] == losses[1]["reconstruction"] == pytest.approx(one.stop_loss((frames,)), rel=1e-4)
    assert losses[1]["penalty"] == pytest.approx(10 * losses[0]["penalty"], rel=1e-4)


def test_the_penalty_makes_the_encoder_flatter() -> None:
    frames = frames_of(8)
    slopes = [slope_of(opened("cae", penalty_weight=weight, learning_rate=1e-3), frames) for weight in (0.0, 1.0)]
    assert slopes[1] < 0.5 * slopes[0]


def slope_of(system: Kumar, frames: Tensor) -> float:
    trained(system, frames, 20)
    images = (frames.permute(0, 3, 1, 2).float() / 255).requires_grad_()
    return contractive_penalty(system.autoencoder.encode(images), images, 16).item()


def small_encoder() -> nn.Module:
    torch.manual_seed(3)
    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))
    return nn.Sequential(*layers).double()


def exact_norm(encoder: nn.Module, images: Tensor) -> Tensor:
    """||dz/dx||_F^2 of each image by itself, then their mean."""
    jacobians = [torch.autograd.functional.jacobian(encoder, image[None], create_graph=True) for image in images]
    return torch.stack([jacobian.square().sum() for jacobian in jacobians]).mean()


def every_sign(images: int, latent: int) -> Iterator[Tensor]:
    """All sign vectors of one image's latent, the same for all images: their average is exact, not an estimate."""
    for signs in itertools.product((-1.0, 1.0), repeat=latent):
        yield torch.tensor(signs, dtype=torch.float64).expand(images, latent)


def exhausted_norm(encoder: nn.Module, images: Tensor) -> Tensor:
    latent = encoder(images)
    return torch.stack([projected_norm(latent, images, signs) for signs in every_sign(len(images), 3)]).mean()


def test_over_all_signs_the_projections_give_the_exact_jacobian_norm() -> None:
    encoder, images = small_encoder(), torch.rand(5, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(exhausted_norm(encoder, images), exact_norm(encoder, images), rtol=1e-12, atol=0)


def test_over_all_signs_they_give_the_exact_norms_gradient_too() -> None:
    encoder, images = small_encoder(), torch.rand(5, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    weights = [parameter for name, parameter in encoder.named_parameters() if name.endswith("weight")]
    ours = torch.autograd.grad(exhausted_norm(encoder, images), weights)
    exact = torch.autograd.grad(exact_norm(encoder, images), weights)
    for mine, theirs in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-14)


def test_random_projections_come_close_to_the_exact_jacobian_norm() -> None:
    encoder, images = small_encoder(), torch.rand(5, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(4)
    estimate = contractive_penalty(encoder(images), images, 2000)
    torch.testing.assert_close(estimate, exact_norm(encoder, images), rtol=0.03, atol=0)


def test_batch_norm_settles_on_all_clean_parts() -> None:
    system, frames = opened("dae_resnet50"), frames_of(16)
    trained(system, frames, 1)
    network = system.autoencoder.encoder.network
    assert isinstance(network, ResNet50)
    seen: list[Tensor] = []
    handle = network.conv1.register_forward_hook(lambda _layer, _given, made: seen.append(made))
    scored(system, frames)
    handle.remove()
    torch.testing.assert_close(network.bn1.running_mean, seen[0].mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert network.bn1.momentum == 0.1
    assert not system.training


def test_settling_changes_nothing_without_batch_norm() -> None:
    system = opened("dae")
    before = copy.deepcopy(system.state_dict())
    system.settle(lambda: pytest.fail("it asked for the parts"))
    assert all(torch.equal(before[key], value) for key, value in system.state_dict().items())


def test_what_is_prepared_are_the_frames_as_they_came() -> None:
    frames = frames_of(2)
    prepared: Prepared = opened("dae").prepare(frames, np.random.default_rng(0))
    assert len(prepared) == 1
    assert prepared[0] is frames


def test_the_illumination_normalisation_stands_before_the_network() -> None:
    plain, even = opened("dae"), opened("dae", illumination="both")
    even.load_state_dict(plain.state_dict())
    dark = torch.full((1, 32, 32, 3), 20, dtype=torch.uint8)
    bright = torch.full((1, 32, 32, 3), 200, dtype=torch.uint8)
    apart = [abs(scored(system, dark)[1] - scored(system, bright)[1]).item() for system in (plain, even)]
    assert apart[1] < 0.02 * apart[0]


def test_the_plain_layers_are_the_papers() -> None:
    system = opened("dae")
    encoder, decoder = (list(part.layers) for part in (system.autoencoder.encoder, system.autoencoder.decoder))
    assert [sum(isinstance(layer, kind) for layer in encoder) for kind in (nn.Conv2d, nn.MaxPool2d)] == [4, 4]
    assert [sum(isinstance(layer, kind) for layer in decoder) for kind in (nn.Conv2d, nn.Upsample)] == [5, 4]
    assert system.autoencoder.encode(torch.rand(1, 3, 32, 32)).shape == (1, 16, 2, 2)
    assert opened("cae").autoencoder.encode(torch.rand(1, 3, 32, 32)).shape == (1, 16)


def test_the_papers_figures_are_the_defaults() -> None:
    config = KumarConfig()
    assert (config.width, config.height, config.batch, config.learning_rate) == (256, 256, 32, 1e-4)


@pytest.mark.parametrize(("name", "side", "multiple"), [("dae", 40, 16), ("dae_vgg16", 48, 32), ("cae_resnet50", 80, 32)])
def test_a_size_that_leaves_cut_cells_is_refused(name: str, side: int, multiple: int) -> None:
    with pytest.raises(ConfigError, match=f"{side} x {side}.*multiples of {multiple}"):
        opened(name, side=side)


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("dae_vgg16", {"encoder_weights": "vgg16.pth"}, "go together"),
        ("dae_vgg16", {"encoder_weights_sha256": "0" * 64}, "go together"),
        ("dae", {"encoder_weights": "vgg16.pth", "encoder_weights_sha256": "0" * 64}, "for vgg16 and resnet50"),
        ("dae_vgg16", {"encoder_weights": "vgg16.pth", "encoder_weights_sha256": "short"}, "encoder_weights_sha256"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(name: str, overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        configure(name, overrides)


def test_an_encoder_without_a_file_says_that_its_weights_are_random(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        system = opened("dae_vgg16")
    assert "encoder vgg16 starts from random weights" in caplog.text
    assert system.score_meaning.endswith("encoder vgg16 started from random weights")


def test_an_encoder_takes_its_weights_from_the_named_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = ResNet50()
    file = tmp_path / "resnet50.pth"
    torch.save({**source.state_dict(), "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    with caplog.at_level(logging.WARNING):
        system = opened("dae_resnet50", encoder_weights=file, encoder_weights_sha256=sha256)
    assert caplog.text == ""
    assert system.score_meaning.endswith("started from pretrained weights")
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in system.autoencoder.encoder.network.state_dict().items())


def test_another_weights_file_than_the_named_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "vgg16.pth"
    file.write_bytes(b"another file")
    with pytest.raises(ConfigError, match="encoder_weights_sha256 says"):
        opened("dae_vgg16", encoder_weights=file, encoder_weights_sha256="0" * 64)
