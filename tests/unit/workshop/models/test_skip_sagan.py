import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.attention import SelfAttention
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.models.skip_sagan import SkipSagan, SkipSaganConfig
from edge_inspect.workshop.models.skip_sagan_networks import Discriminator, EncoderLevel, separable
from edge_inspect.workshop.models.system import System
from edge_inspect.workshop.onnx_check import refuse_unfit
from edge_inspect.workshop.traced_graph import traced_graph

pytestmark = pytest.mark.torch

SMALL = {"widths": (8, 16), "keys_pooled": (4, 2), "first_width": 8, "most_width": 16, "batch": 8, "learning_rate": 2e-3}


def small(*, width: int = 32, height: int = 32, channels: int = 1, **overrides: Any) -> SkipSagan:
    torch.manual_seed(0)
    config = SkipSaganConfig(width=width, height=height, **{**SMALL, **overrides})
    return SkipSagan(config, ImageSize(width=width, height=height, channels=channels)).eval()


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def moved(module: nn.Module, before: Mapping[str, torch.Tensor]) -> dict[str, bool]:
    return {name: bool((weight != before[name]).any()) for name, weight in module.named_parameters()}


def train(system: SkipSagan, frames: torch.Tensor, steps: int) -> list[dict[str, float]]:
    optimizers = system.optimizers()
    return [system.step((frames,), optimizers) for _ in range(steps)]


def standing_still(system: SkipSagan) -> dict[str, Optimizer]:
    return {"discriminator": SGD(system.discriminator.parameters(), lr=0.0), "generator": SGD(system.generator.parameters(), lr=0.0)}


@pytest.fixture
def plates(plate: Callable[..., np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack([plate(seed, width=32, height=32) for seed in range(8)]))


def test_it_is_a_system_with_the_papers_defaults() -> None:
    config = SkipSaganConfig()
    assert isinstance(small(), System)
    assert (config.adversarial, config.context, config.latent, config.learning_rate) == (0.5, 0.3, 0.2, 2e-4)
    assert config.epochs * 320 // config.batch == 10_000
    assert config.attention
    assert configure("skip_gan", {}).attention is False


def test_a_separable_convolution_is_one_kernel_a_channel_and_then_a_mixing_of_channels() -> None:
    layer = separable(6, 10)
    assert layer[0].weight.shape == (6, 1, 3, 3)
    assert layer[1].weight.shape == (10, 6, 1, 1)
    assert layer(torch.zeros(2, 6, 8, 12)).shape == (2, 10, 8, 12)


def test_an_encoder_level_hands_its_attended_map_over_and_its_maximum_down() -> None:
    attention = SelfAttention(4)
    nn.init.constant_(attention.gate, 0.5)
    level = EncoderLevel(3, 4, attention=attention).eval()
    maps = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        attended, below = level(maps)
        plain = level.convolutions(maps)
    torch.testing.assert_close(attended, attention(plain))
    assert not torch.allclose(attended, plain)
    assert torch.equal(below, functional.max_pool2d(attended, 2))


def test_every_decoder_level_gets_the_attended_map_of_its_size() -> None:
    system = small(width=48)
    skipped: list[torch.Tensor] = []
    attended: list[torch.Tensor] = []
    for level in system.generator.encoder:
        level.register_forward_hook(lambda module, given, found: attended.append(found[0]))
    for level in system.generator.decoder:
        level.register_forward_hook(lambda module, given, found: skipped.append(given[1]))
    with torch.no_grad():
        images = system.generator(torch.randn(2, 1, 32, 48))
    assert [tuple(maps.shape) for maps in skipped] == [(2, 16, 16, 24), (2, 8, 32, 48)]
    assert all(one is other for one, other in zip(skipped, reversed(attended), strict=True))
    assert images.shape == (2, 1, 32, 48)
    assert images.abs().max() <= 1


def test_the_papers_generator_has_five_levels_of_attention() -> None:
    system = SkipSagan(SkipSaganConfig(width=64, height=64), ImageSize(width=64, height=64, channels=3))
    attentions = [module for module in system.generator.modules() if isinstance(module, SelfAttention)]
    assert [(module.query.out_channels, module.pool) for module in attentions] == [(64, 32), (128, 8), (256, 4), (512, 2), (512, 1)]
    assert system.generator.image.out_channels == 3


def test_the_ablation_has_no_attention() -> None:
    assert not [module for module in small(attention=False).modules() if isinstance(module, SelfAttention)]


@pytest.mark.parametrize(("side", "cells"), [(32, 4), (64, 4), (48, 6)])
def test_the_discriminator_halves_until_four_cells_are_left_and_says_one_number(side: int, cells: int) -> None:
    discriminator = Discriminator(1, side, 2 * side, first_width=8, most_width=16)
    logit, latent = discriminator(torch.randn(3, 1, side, 2 * side))
    assert logit.shape == (3,)
    assert latent.shape == (3, 16, cells, 2 * cells)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("attention", [True, False])
def test_maps_are_as_large_as_the_image_and_finite(attention: bool, channels: int) -> None:
    system = small(width=48, channels=channels, attention=attention)
    frames = torch.randint(0, 256, (3, 32, 48, channels), dtype=torch.uint8)
    with torch.no_grad():
        score_map, score = system(frames)
    assert (score_map.shape, score.shape) == ((3, 1, 32, 48), (3,))
    assert (score_map.dtype, score.dtype) == (torch.float32, torch.float32)
    assert torch.isfinite(score_map).all()
    assert torch.isfinite(score).all()


def test_gradient_reaches_every_parameter_in_the_second_step(plates: torch.Tensor) -> None:
    """In the first the gates are shut: what is behind them learns once they have moved."""
    system = small()
    before = weights(system)
    train(system, plates, 1)
    stood_still = {name for name, changed in moved(system, before).items() if not changed}
    behind = {name for name, _ in system.named_parameters() if ".attention." in name and not name.endswith("gate")}
    assert stood_still == behind
    train(system, plates, 1)
    assert [name for name, changed in moved(system, before).items() if not changed] == []


def test_each_of_the_two_learns_by_its_own_optimiser_only(plates: torch.Tensor) -> None:
    system = small()
    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
        before = {key: weights(getattr(system, key)) for key in (name, other)}
        optimizers = {**standing_still(system), name: system.optimizers()[name]}
        system.step((plates,), optimizers)
        assert any(moved(getattr(system, name), before[name]).values())
        assert not any(moved(getattr(system, other), before[other]).values())
    assert all(parameter.requires_grad for parameter in system.parameters())


def test_the_losses_are_the_papers(plates: torch.Tensor) -> None:
    system = small()
    twin = copy.deepcopy(system).train()
    losses = system.step((plates,), standing_still(system))
    images = plates.float().permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        generated = twin.generator(images)
        (real, seen), (fake, imagined) = twin.discriminator(images), twin.discriminator(generated)
    probabilities = torch.sigmoid(real), torch.sigmoid(fake)
    discriminator = -probabilities[0].log().mean() - (1 - probabilities[1]).log().mean()
    assert losses["discriminator"] == pytest.approx(discriminator.item(), rel=1e-4)
    assert losses["adversarial"] == pytest.approx(-probabilities[1].log().mean().item(), rel=1e-4)
    assert losses["context"] == pytest.approx((images - generated).abs().mean().item(), rel=1e-4)
    assert losses["latent"] == pytest.approx((seen - imagined).square().mean().item(), rel=1e-4)
    weighted = 0.5 * losses["adversarial"] + 0.3 * losses["context"] + 0.2 * losses["latent"]
    assert losses["generator"] == pytest.approx(weighted, rel=1e-4)


def test_a_discriminator_that_knows_nothing_loses_two_bits(plates: torch.Tensor) -> None:
    system = small()
    nn.init.zeros_(system.discriminator.verdict.weight)
    nn.init.zeros_(system.discriminator.verdict.bias)
    assert system.step((plates,), standing_still(system))["discriminator"] == pytest.approx(2 * np.log(2), rel=1e-5)


@pytest.mark.parametrize("reconstruction", ["mean", "maximum"])
def test_the_score_weighs_reconstruction_and_latent_difference(reconstruction: Any, plates: torch.Tensor) -> None:
    system = small(reconstruction=reconstruction)
    train(system, plates, 2)
    system.eval()
    images = plates.float().permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        score_map, score = system(plates)
        generated = system.generator(images)
        torch.testing.assert_close(score_map, system.smooth((images - generated).abs()))
        latent = (system.discriminator(images)[1] - system.discriminator(generated)[1]).square().mean(dim=(1, 2, 3))
    rebuilt = score_map.mean(dim=(1, 2, 3)) if reconstruction == "mean" else score_map.amax(dim=(1, 2, 3))
    torch.testing.assert_close(score, 0.9 * rebuilt + 0.1 * latent)
    assert reconstruction in system.score_meaning
    assert system.image_score == "own"


def test_the_stop_loss_is_the_context_loss_and_the_same_every_time(plates: torch.Tensor) -> None:
    system = small()
    with torch.no_grad():
        images = plates.float().permute(0, 3, 1, 2) / 127.5 - 1
        expected = (system.generator(images) - images).abs().mean().item()
    assert [system.stop_loss((plates,)) for _ in range(2)] == [pytest.approx(expected)] * 2


def test_the_generator_learns_to_give_good_parts_back(plates: torch.Tensor) -> None:
    system = small()
    before = system.stop_loss((plates,))
    losses = train(system, plates, 40)
    assert all(np.isfinite(list(loss.values())).all() for loss in losses)
    assert system.stop_loss((plates,)) < 0.5 * before


def holed(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A good part with a square of 6 x 6 px that is 70 grey levels too dark or too bright."""
    spoilt = image.astype(int)
    top, left = random.integers(2, 24, 2)
    spoilt[top : top + 6, left : left + 6] += random.choice([-70, 70])
    return np.clip(spoilt, 0, 255).astype(np.uint8)


LOOK_EVERY = 50


@pytest.mark.parametrize(("options", "steps"), [({}, 300), ({"attention": False}, 300), ({"spoil": "paste"}, 400)])
def test_a_tiny_training_tells_planted_defects_from_good_parts(
    options: dict[str, Any], steps: int, plate: Callable[..., np.ndarray]
) -> None:
    good = [plate(seed, width=32, height=32) for seed in range(48)]
    random = np.random.default_rng(1)
    bad = [holed(image, random) for image in good[24:]]
    system = small(**options)
    optimizers = system.optimizers()
    learnt_from = torch.from_numpy(np.stack(good[:24]))
    looks: list[tuple[float, float]] = []
    for _ in range(steps // LOOK_EVERY):
        system.train()
        for _ in range(LOOK_EVERY):
            system.step((learnt_from[torch.randperm(24)[:8]],), optimizers)
        system.eval()
        with torch.no_grad():
            scores = system(torch.from_numpy(np.stack(good[24:] + bad)))[1]
        looks.append((system.stop_loss((learnt_from,)), roc_auc_score([0] * 24 + [1] * 24, scores)))
    assert min(looks)[1] >= 0.9  # where the training itself would stop; a single step of a GAN may lie beside it on another processor


def test_a_spoilt_input_is_to_become_the_whole_good_image(plates: torch.Tensor) -> None:
    system = small(spoil="noise")
    given: list[torch.Tensor] = []
    system.generator.register_forward_hook(lambda module, inputs, image: given.extend([inputs[0], image]))
    losses = system.step((plates,), standing_still(system))
    images = plates.float().permute(0, 3, 1, 2) / 127.5 - 1
    shares = (given[0] != images).float().mean(dim=(1, 2, 3))
    assert shares.min() > 0.01
    assert shares.max() < 0.5
    assert losses["context"] == pytest.approx((given[1] - images).abs().mean().item(), rel=1e-4)


def test_an_image_that_cannot_be_halved_so_often_is_refused() -> None:
    with pytest.raises(ConfigError, match="50 x 32 px cannot be halved 2 times; choose multiples of 4 px"):
        small(width=50)


def test_every_level_needs_its_pool() -> None:
    with pytest.raises(ValidationError, match="keys_pooled has 1 numbers for 2 widths"):
        SkipSaganConfig(widths=(8, 16), keys_pooled=(4,))


@pytest.mark.parametrize("options", [{}, {"attention": False, "reconstruction": "maximum", "illumination": "contrast"}])
def test_the_exported_graph_says_what_the_module_says(options: dict[str, Any], plates: torch.Tensor) -> None:
    system = small(**options)
    train(system, plates, 3)
    system.eval()
    size = ImageSize(width=32, height=32, channels=1)
    graph = traced_graph(system, size)
    refuse_unfit(graph, size)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"frame": plates[3:4].numpy()})
    with torch.no_grad():
        expected = [values.numpy() for values in system(plates[3:4])]
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() <= 1e-4 * max(np.ptp(expected[0]), np.abs(other).max())
