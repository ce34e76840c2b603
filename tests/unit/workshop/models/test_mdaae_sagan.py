import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.errors import ConfigError
from edge_inspect.model_folder import ImageSize, highest_cells
from edge_inspect.workshop.models.attention import SelfAttention
from edge_inspect.workshop.models.catalogue import configure
from edge_inspect.workshop.models.cross_fitting import cross_fitted
from edge_inspect.workshop.models.frames import planes_from_frames
from edge_inspect.workshop.models.mdaae_errors import VALUE_RANGE, SquaredError, SsimError, WhitenedError
from edge_inspect.workshop.models.mdaae_network import AdaptiveFusion, FeatureLevels, ImageLevel, LevelAutoencoder, Standard, on_one_grid
from edge_inspect.workshop.models.mdaae_sagan import MdaaeSagan
from edge_inspect.workshop.models.mdaae_sagan_discriminator import CellDiscriminator, ChannelNorm
from edge_inspect.workshop.models.mdaae_sagan_losses import (
    FOCUS,
    discrimination,
    feature_matching,
    masked_reconstruction,
    non_saturating,
    sparsity,
)
from edge_inspect.workshop.models.ssim import LocalSsim
from edge_inspect.workshop.models.system import Batches, Prepared
from edge_inspect.workshop.padim import GaussianFit, distance
from edge_inspect.workshop.trained_folder import hash_of

pytestmark = pytest.mark.torch

Plate = Callable[..., np.ndarray]
FIVE = ("gan", "mdaae", "sagan", "mdaae_gan", "mdaae_sagan")
TINY: dict[str, Any] = {
    "illumination": "none",
    "fused_channels": 48,
    "dimensions": 16,
    "code": 8,
    "discriminator_width": 16,
    "batch": 4,
    "epochs": 8,
}
CHANNELS, STRIDES = (4, 6, 9), (1, 1, 2)


def opened(name: str, *, side: int = 32, channels: int = 1, seed: int = 0, **overrides: Any) -> MdaaeSagan:
    torch.manual_seed(seed)
    config = configure(name, {**TINY, **overrides})
    return MdaaeSagan(config, ImageSize(width=side, height=side, channels=channels)).eval()  # type: ignore[arg-type]


def plates(plate: Plate, count: int, *, side: int = 32) -> Tensor:
    return torch.from_numpy(np.stack([plate(seed, width=side, height=side) for seed in range(count)]))


def prepared_of(system: MdaaeSagan, frames: Tensor, *, seed: int = 0) -> Prepared:
    with torch.no_grad():
        return system.prepare(frames, np.random.default_rng(seed))


def batches_of(prepared: Prepared, size: int = 4) -> Batches:
    def batches() -> Iterator[Prepared]:
        return zip(*(rows.split(size) for rows in prepared), strict=True)

    return batches


def trained(system: MdaaeSagan, prepared: Prepared, epochs: int, *, settled: bool = True) -> list[dict[str, float]]:
    torch.manual_seed(1)
    batches, optimizers, losses = batches_of(prepared), system.optimizers(), []
    for epoch in range(epochs):
        with torch.no_grad():
            system.eval().start_epoch(epoch, batches)
        system.train()
        losses += [system.step(rows, optimizers) for rows in batches()]
    with torch.no_grad():
        system.eval()
        if settled:
            system.settle(batches)
    return losses


def levels_of(count: int = 2, *, seed: int = 0, side: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = [(count, channels, side // stride, side // stride) for channels, stride in zip(CHANNELS, STRIDES, strict=True)]
    return [torch.randn(size, generator=generator) for size in sizes]


class Constant(nn.Module):
    """An autoencoder that gives back the same whatever it is given."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        return [torch.full_like(level, self.value) for level in levels], levels[0]


class TestFusion:
    def fusion(self, temperature: float = 1.0) -> AdaptiveFusion:
        torch.manual_seed(0)
        fusion = AdaptiveFusion(CHANNELS, STRIDES, width=12, temperature=temperature).eval()
        nn.init.normal_(fusion.query)
        return fusion

    def projected(self, fusion: AdaptiveFusion) -> list[Tensor]:
        return [project(level) for project, level in zip(fusion.projections, levels_of(5), strict=True)]

    @pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
    def test_the_weights_are_a_softmax_over_levels_for_each_image(self, temperature: float) -> None:
        fusion = self.fusion(temperature)
        projected = self.projected(fusion)
        weights = fusion.weights(projected)
        asked = torch.stack([maps.mean(dim=(2, 3)) @ fusion.query for maps in projected], dim=1)
        torch.testing.assert_close(weights, torch.exp(asked / temperature) / torch.exp(asked / temperature).sum(dim=1, keepdim=True))
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))
        assert not torch.allclose(weights[0], weights[1])

    def test_a_high_temperature_makes_levels_alike_and_a_low_one_chooses(self) -> None:
        fusions = [self.fusion(temperature) for temperature in (1e-3, 1.0, 1e3)]
        cold, warm, hot = (fusion.weights(self.projected(fusion)).detach() for fusion in fusions)
        assert float((hot - 1 / 3).abs().max()) < 0.01
        assert float(cold.amax(dim=1).min()) > 0.9
        assert torch.equal(cold.argmax(dim=1), warm.argmax(dim=1))

    def test_before_training_all_levels_count_alike(self) -> None:
        fusion = AdaptiveFusion(CHANNELS, STRIDES, width=12, temperature=1.0).eval()
        torch.testing.assert_close(fusion.weights(self.projected(fusion)), torch.full((5, 3), 1 / 3))

    def test_the_fused_map_is_of_the_weighted_levels(self) -> None:
        fusion = self.fusion()
        projected = self.projected(fusion)
        weights = fusion.weights(projected)
        wanted = fusion.fuse(torch.cat([weights[:, i].view(5, 1, 1, 1) * maps for i, maps in enumerate(projected)], dim=1))
        found = fusion(levels_of(5))
        assert found.shape == (5, 12, 4, 4)
        torch.testing.assert_close(found, wanted)


class TestLosses:
    def test_the_reconstruction_loss_is_what_a_hand_computes(self) -> None:
        levels = [torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]]), torch.tensor([[[[3.0]], [[1.0]]]])]
        again = [torch.tensor([[[[0.0, 0.0], [1.0, 5.0]]]]), torch.tensor([[[[1.0]], [[1.0]]]])]
        masks = [torch.tensor([[[[1.0, 0.0], [0.5, 1.0]]]]), torch.tensor([[[[0.5]]]])]
        # level one: (1 * 1 + 0 * 4 + 0.5 * 4 + 1 * 0) / 2.5 = 1.2; level two: 0.5 * (4 + 0) / (0.5 * 2) = 2
        assert float(masked_reconstruction(levels, again, masks, [2.0, 0.25])) == pytest.approx(2.0 * 1.2 + 0.25 * 2.0)

    def test_one_mask_can_serve_all_images(self) -> None:
        levels, again = levels_of(3), levels_of(3, seed=1)
        masks = [torch.ones(1, 1, *level.shape[2:]) for level in levels]
        wanted = sum(float(functional.mse_loss(level, other)) for level, other in zip(levels, again, strict=True))
        assert float(masked_reconstruction(levels, again, masks, [1.0] * 3)) == pytest.approx(wanted, rel=1e-5)

    def test_what_lies_outside_the_mask_does_not_count(self) -> None:
        levels, again = levels_of(), levels_of(seed=1)
        masks = [torch.ones(2, 1, *level.shape[2:]) for level in levels]
        for mask in masks:
            mask[..., 0] = 0
        before = masked_reconstruction(levels, again, masks, [1.0] * 3)
        for other in again:
            other[..., 0] += 100
        assert torch.equal(masked_reconstruction(levels, again, masks, [1.0] * 3), before)

    def test_an_empty_mask_costs_nothing(self) -> None:
        masks = [torch.zeros(2, 1, *level.shape[2:]) for level in levels_of()]
        assert float(masked_reconstruction(levels_of(), levels_of(seed=1), masks, [1.0] * 3)) == 0

    def test_sparsity_is_the_mean_magnitude(self) -> None:
        assert float(sparsity(torch.tensor([[1.0, -2.0], [0.0, 5.0]]))) == 2.0

    def test_the_discriminator_s_loss_is_what_a_hand_computes(self) -> None:
        judged, anomalous = torch.tensor([[[[0.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
        # each cell is half wrong, and costs log 2; an anomalous one counts three times
        assert float(discrimination(judged, anomalous)) == pytest.approx(0.5 * math.log(2) * (1 + FOCUS) / 2)

    def test_the_more_right_a_judgement_the_smaller_its_loss(self) -> None:
        anomalous = torch.tensor([[[[0.0, 1.0]]]])
        losses = [float(discrimination(sure * torch.tensor([[[[-1.0, 1.0]]]]), anomalous)) for sure in (-4.0, -1.0, 0.0, 1.0, 4.0)]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 0.01 * losses[0]

    def test_its_slope_pulls_good_cells_down_and_anomalous_ones_up_and_hard_ones_most(self) -> None:
        judged = torch.tensor([[[[-3.0, 3.0, -3.0, 3.0]]]], requires_grad=True)
        discrimination(judged, torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])).backward()
        good_easy, good_hard, planted_hard, planted_easy = judged.grad.flatten().tolist()
        assert good_hard > 50 * good_easy > 0
        assert planted_hard < 50 * planted_easy < 0
        assert -planted_hard == pytest.approx(FOCUS * good_hard)

    def test_the_generator_still_learns_from_a_discriminator_that_is_sure(self) -> None:
        judged = torch.tensor([[[[8.0]]]], requires_grad=True)
        loss = non_saturating(judged)
        loss.backward()
        taken_for_good = torch.sigmoid(-judged.detach())
        assert float(loss.detach()) == pytest.approx(-math.log(float(taken_for_good)), rel=1e-4)
        assert float(judged.grad) > 0.99
        saturating = torch.tensor([[[[8.0]]]], requires_grad=True)
        torch.log(1 - torch.sigmoid(-saturating)).mean().backward()
        assert float(saturating.grad.abs()) < 0.01

    def test_matching_compares_mean_features_and_not_cells(self) -> None:
        real = torch.tensor([[[[1.0, 3.0]], [[0.0, 0.0]]]])
        assert float(feature_matching(real, torch.tensor([[[[3.0, 1.0]], [[0.0, 0.0]]]]))) == 0
        assert float(feature_matching(real, torch.tensor([[[[5.0, 5.0]], [[1.0, 1.0]]]]))) == pytest.approx((9 + 1) / 2)


class TestErrors:
    def test_ssim_s_is_the_mean_over_levels_of_one_minus_ssim(self) -> None:
        levels, again = levels_of(), levels_of(seed=1)
        ssim = LocalSsim(sigma=1.5, value_range=VALUE_RANGE)
        maps = [(1 - ssim(level, other)).mean(dim=1, keepdim=True) for level, other in zip(levels, again, strict=True)]
        maps[2] = functional.interpolate(maps[2], scale_factor=2, mode="bilinear")
        torch.testing.assert_close(SsimError()(levels, again), torch.cat(maps, dim=1).mean(dim=1, keepdim=True))
        assert float(SsimError()(levels, levels).abs().max()) < 1e-5

    def test_the_squared_one_is_the_mean_over_levels_and_channels(self) -> None:
        levels = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 2, 2)]
        again = [torch.full((1, 2, 4, 4), 2.0), torch.full((1, 3, 2, 2), 1.0)]
        torch.testing.assert_close(SquaredError()(levels, again), torch.full((1, 1, 4, 4), (4.0 + 1.0) / 2))

    def test_whitened_against_nothing_it_is_padim(self) -> None:
        """An autoencoder that always gives zero leaves the standardised levels themselves to be explained."""
        error = WhitenedError(sum(CHANNELS), (8, 8), dimensions=10, block=2, pooling=0.1)
        good = [levels_of(6, seed=seed) for seed in range(3)]
        nothing = [torch.zeros_like(level) for level in good[0]]
        error.fit((levels, nothing) for levels in good)
        fit = GaussianFit(block=2)
        for levels in good:
            fit.add(functional.conv2d(on_one_grid(levels, STRIDES), error.embed).numpy())
        judged = levels_of(6, seed=9)
        wanted = distance(functional.conv2d(on_one_grid(judged, STRIDES), error.embed).numpy(), fit.finish(pooling=0.1))
        np.testing.assert_allclose(error(judged, nothing)[:, 0].numpy(), wanted, rtol=1e-3)

    def test_whitened_takes_out_what_good_parts_errors_are_like(self) -> None:
        error = WhitenedError(sum(CHANNELS), (8, 8), dimensions=10, block=2, pooling=0.1)
        again = [torch.full_like(level, 3.0) for level in levels_of(6)]
        error.fit((levels_of(6, seed=seed), again) for seed in range(4))
        usual = error(levels_of(6, seed=9), again).mean()
        unusual = error([level + 3 for level in levels_of(6, seed=9)], again).mean()
        assert 2 < float(usual) < 6  # about the root of ten dimensions
        assert float(unusual) > 1.5 * float(usual)


class TestNetworks:
    def test_the_channel_norm_is_torch_s_layer_norm_over_channels(self) -> None:
        norm, maps = ChannelNorm(7), torch.randn(2, 7, 3, 5)
        nn.init.normal_(norm.gain)
        nn.init.normal_(norm.shift)
        wanted = functional.layer_norm(maps.permute(0, 2, 3, 1), (7,), norm.gain.flatten(), norm.shift.flatten(), eps=1e-5)
        torch.testing.assert_close(norm(maps), wanted.permute(0, 3, 1, 2))

    def test_the_autoencoder_gives_every_level_again_from_a_code_at_one_thirty_second(self) -> None:
        network = LevelAutoencoder(CHANNELS, STRIDES, width=12, code=8, heads=2, temperature=1.0, attention=True).eval()
        again, code = network(levels_of())
        assert code.shape == (2, 8, 2, 2)
        assert [level.shape for level in again] == [level.shape for level in levels_of()]

    def test_standard_levels_have_mean_zero_and_deviation_one_by_channel(self) -> None:
        batches = [[level * 5 + 3 for level in levels_of(4, seed=seed)] for seed in range(3)]
        standard = Standard(CHANNELS)
        standard.measure(batches)
        for joined in (torch.cat(level) for level in zip(*map(standard, batches), strict=True)):
            torch.testing.assert_close(joined.mean(dim=(0, 2, 3)), torch.zeros(joined.shape[1]), rtol=0, atol=1e-4)
            torch.testing.assert_close(joined.std(dim=(0, 2, 3)), torch.ones(joined.shape[1]), rtol=1e-3, atol=0)
        assert not any(parameter.requires_grad for parameter in standard.parameters())

    def test_a_channel_that_never_varies_stays_finite(self) -> None:
        standard = Standard((2,))
        standard.measure([[torch.full((3, 2, 4, 4), 7.0)]])
        assert float(standard([torch.full((1, 2, 4, 4), 7.0)])[0].abs().max()) < 1e-3

    def test_the_image_level_holds_every_pixel_once_in_minus_one_to_one(self) -> None:
        planes = torch.arange(16 * 24).float().view(1, 1, 16, 24) % 256
        (level,) = ImageLevel(1)(planes)
        assert level.shape == (1, 64, 2, 3)
        torch.testing.assert_close(functional.pixel_shuffle(level, 8) * 127.5 + 127.5, planes)
        assert (float(ImageLevel(1)(torch.full_like(planes, 255.0))[0].max()), float(level.min())) == (1, -1)

    def test_feature_levels_stand_at_one_eighth_and_one_sixteenth(self) -> None:
        levels = FeatureLevels("lite0")
        with torch.no_grad():
            found = levels(torch.zeros(2, 1, 64, 96))
        wanted = [(2, count, 8 // stride, 12 // stride) for count, stride in zip(levels.channels, levels.strides, strict=True)]
        assert [tuple(level.shape) for level in found] == wanted

    @pytest.mark.parametrize(("attention", "seen"), [(False, False), (True, True)])
    def test_only_with_attention_a_cell_is_judged_by_what_lies_far_away(self, attention: bool, seen: bool) -> None:
        torch.manual_seed(0)
        network = CellDiscriminator(5, width=16, heads=2, attention=attention).eval()
        for module in network.modules():
            if isinstance(module, SelfAttention):
                nn.init.ones_(module.gate)
        joined = torch.randn(1, 5, 32, 32)
        other = joined.clone()
        other[:, :, :4, :4] += 5
        with torch.no_grad():
            change = (network(other)[0] - network(joined)[0]).abs()
        assert float(change[:, :, :4, :4].max()) > 1e-3
        assert (float(change[:, :, 24:, 24:].max()) > 1e-6) == seen


@pytest.mark.parametrize(
    ("name", "backbone", "adversary", "attentions"),
    [
        ("gan", False, True, 0),
        ("mdaae", True, False, 0),
        ("sagan", False, True, 2),
        ("mdaae_gan", True, True, 0),
        ("mdaae_sagan", True, True, 2),
    ],
)
def test_the_ablation_switches_what_its_letter_says(name: str, backbone: bool, adversary: bool, attentions: int) -> None:
    system = opened(name)
    assert isinstance(system.levels, FeatureLevels if backbone else ImageLevel)
    assert any(key.startswith("discriminator.") for key, _ in system.named_parameters()) == adversary
    assert sum(isinstance(module, SelfAttention) for module in system.modules()) == attentions
    assert set(system.optimizers()) == ({"generator", "discriminator"} if adversary else {"generator"})
    assert ("discriminator" in system.score_meaning) == adversary


@pytest.mark.parametrize("name", FIVE)
def test_every_trained_parameter_is_in_exactly_one_optimizer(name: str) -> None:
    system = opened(name)
    held = [id(weight) for optimizer in system.optimizers().values() for group in optimizer.param_groups for weight in group["params"]]
    assert sorted(held) == sorted(id(weight) for weight in system.parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", ["gan", "mdaae_sagan"])
def test_the_first_copy_of_every_picture_is_as_taken(name: str, plate: Plate) -> None:
    system, frames = opened(name, copies=3, shift_share=0.2), plates(plate, 2)
    prepared = prepared_of(system, frames)
    assert {len(rows) for rows in prepared} == {6}
    assert prepared[-1].tolist() == [True, False, False] * 2
    with torch.no_grad():
        wanted = system.levels(system.illumination(planes_from_frames(frames)))
    for level, rows in zip(wanted, prepared, strict=False):
        torch.testing.assert_close(rows[prepared[-1]].float(), level, rtol=1e-2, atol=1e-2)
        assert not torch.allclose(rows[1].float(), level[0], rtol=1e-2, atol=1e-1)


def test_a_moved_copy_says_which_of_it_the_camera_saw(plate: Plate) -> None:
    prepared = prepared_of(opened("gan", copies=4, shift_share=0.5), plates(plate, 4))
    area, as_taken = prepared[-2], prepared[-1]
    assert area.shape == (16, 1, 4, 4)
    assert torch.equal(area[as_taken], torch.ones(4, 1, 4, 4))
    assert 0 <= float(area.min()) < 1
    assert float(area.max()) == 1


def test_the_cells_of_a_planted_anomaly_are_those_that_changed(plate: Plate) -> None:
    system = opened("gan", side=64, copies=1)
    good, spoilt, anomalous, *_ = prepared_of(system, plates(plate, 12, side=64))
    changed = (good != spoilt).any(dim=1, keepdim=True)
    assert anomalous.shape == changed.shape
    assert not (anomalous.bool() & ~changed).any()
    assert 0 < float(anomalous.mean()) < 0.3


def test_without_an_adversary_nothing_is_planted(plate: Plate) -> None:
    with_it, without = (prepared_of(opened(name), plates(plate, 2)) for name in ("mdaae_gan", "mdaae"))
    assert (len(with_it), len(without)) == (3 + 3 + 3, 3 + 3)


def test_what_is_prepared_goes_by_the_seed(plate: Plate) -> None:
    system = opened("gan")
    first, second, other = (prepared_of(system, plates(plate, 2), seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(one, another) for one, another in zip(first, second, strict=True))
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("name", ["gan", "mdaae_sagan"])
def test_the_same_seed_gives_the_same_weights(name: str, plate: Plate) -> None:
    hashes = []
    for seed in (0, 0, 1):
        system = opened(name, seed=seed)
        trained(system, prepared_of(system, plates(plate, 4)), 2)
        hashes.append(hash_of(system.state_dict()))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("name", FIVE)
def test_the_losses_fall(name: str, plate: Plate) -> None:
    system = opened(name, epochs=100)
    prepared = prepared_of(system, plates(plate, 8))
    losses = trained(system, prepared, 12, settled=False)
    assert all(np.isfinite(list(loss.values())).all() for loss in losses)
    first, last = ({key: np.mean([loss[key] for loss in some]) for key in losses[0]} for some in (losses[:4], losses[-4:]))
    assert last["reconstruction"] < 0.7 * first["reconstruction"]
    assert "discriminator" not in last or last["discriminator"] < first["discriminator"]


def test_the_learning_rate_falls_along_a_cosine(plate: Plate) -> None:
    system = opened("mdaae_gan", epochs=4, learning_rate=1e-2)
    prepared, optimizers, rates = prepared_of(system, plates(plate, 4)), system.optimizers(), []
    for epoch in range(4):
        with torch.no_grad():
            system.eval().start_epoch(epoch, batches_of(prepared))
        system.train().step(next(iter(batches_of(prepared)())), optimizers)
        rates.append([group["lr"] for optimizer in optimizers.values() for group in optimizer.param_groups])
    wanted = [0.005 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates == [[pytest.approx(rate)] * 2 for rate in wanted]


def test_the_stop_loss_is_the_masked_reconstruction_and_the_same_every_time(plate: Plate) -> None:
    system = opened("mdaae_sagan")
    prepared = prepared_of(system, plates(plate, 4))
    trained(system, prepared, 1)
    drawn = torch.random.get_rng_state()
    with torch.no_grad():
        first, second = (system.stop_loss(prepared) for _ in range(2))
        levels = system.standard([level.float() for level in prepared[:3]])
        again, _ = system.autoencoder(levels)
        masks = [prepared[-2], prepared[-2], functional.avg_pool2d(prepared[-2], 2)]
        wanted = masked_reconstruction(levels, again, masks, [1.0] * 3)
    assert first == second == pytest.approx(float(wanted), rel=1e-5)
    assert torch.equal(torch.random.get_rng_state(), drawn)


@pytest.mark.parametrize("name", ["gan", "mdaae_gan"])
@pytest.mark.parametrize("error", ["ssim", "squared", "whitened"])
def test_settling_brings_both_terms_to_mean_zero_and_deviation_one_over_good_parts(name: str, error: str, plate: Plate) -> None:
    system, frames = opened(name, error=error), plates(plate, 8)
    trained(system, prepared_of(system, frames), 2)
    with torch.no_grad():
        levels = system.standard(system.levels(planes_from_frames(frames)))
        again, _ = system.autoencoder(levels)
        judged, _ = system.discriminator(on_one_grid(levels, system.levels.strides))
        terms = [
            (cross_fitted(deepcopy(system.error), (levels, again)) - system.error_mean) * system.error_scale,
            (judged - system.judged_mean) * system.judged_scale,
        ]
    for term in terms:
        assert float(term.mean()) == pytest.approx(0, abs=0.05)
        assert float(term.std()) == pytest.approx(1, rel=0.05)


def test_by_position_every_cell_has_its_own_mean(plate: Plate) -> None:
    system, frames = opened("mdaae", error="squared", by_position=True), plates(plate, 8)
    trained(system, prepared_of(system, frames), 2)
    with torch.no_grad():
        levels = system.standard(system.levels(planes_from_frames(frames)))
        evened = (system.error(levels, system.autoencoder(levels)[0]) - system.error_mean) * system.error_scale
    assert system.error_mean.shape == (1, 1, 4, 4)
    assert float(evened.mean(dim=0).abs().max()) < 0.05
    assert 0.3 < float(evened.std(dim=0).min()) <= float(evened.std(dim=0).max()) < 1.05


@pytest.mark.parametrize(("name", "error"), [("gan", SsimError()), ("mdaae_sagan", SsimError()), ("mdaae", SquaredError())])
def test_the_score_map_is_the_smoothed_error_where_the_discriminator_weighs_nothing(name: str, error: nn.Module, plate: Plate) -> None:
    kind = "ssim" if isinstance(error, SsimError) else "squared"
    system, frames = opened(name, error=kind, discriminator_weight=0.0, memory=0), plates(plate, 2)
    with torch.no_grad():
        levels = system.standard(system.levels(planes_from_frames(frames)))
        wanted = functional.interpolate(error(levels, system.autoencoder(levels)[0]), scale_factor=2, mode="bilinear")
        score_map, image_score = system(frames)
    torch.testing.assert_close(score_map, system.smooth(wanted))
    assert torch.equal(image_score, score_map.amax(dim=(1, 2, 3)))


@pytest.mark.parametrize(("share", "cells"), [(0.0, 1), (0.004, 1), (0.01, 3), (0.012, 3), (0.25, 64)])
def test_the_image_score_is_the_mean_of_that_share_of_the_cells(share: float, cells: int, plate: Plate) -> None:
    system = opened("mdaae_sagan", side=64, highest_share=share)
    with torch.no_grad():
        score_map, image_score = system(plates(plate, 2, side=64))
    highest = score_map.flatten(1).sort(dim=1, descending=True).values[:, :cells]
    torch.testing.assert_close(image_score, highest.mean(dim=1))
    assert highest_cells(system.image_score) == cells


def test_only_the_flagship_has_an_image_score_of_more_than_one_cell() -> None:
    assert {name: configure(name, {}).model_dump()["highest_share"] for name in FIVE} == {**dict.fromkeys(FIVE, 0.0), "mdaae_sagan": 0.01}


def test_the_memory_s_term_is_added_in_deviations_of_its_own_at_every_position(plate: Plate) -> None:
    system, frames = opened("mdaae_sagan", side=64, discriminator_weight=0.0, memory=60), plates(plate, 12, side=64)
    trained(system, prepared_of(system, frames), 2)
    with torch.no_grad():
        levels = system.standard(system.levels(planes_from_frames(frames)))
        again, _ = system.autoencoder(levels)
        error = (system.error(levels, again) - system.error_mean) * system.error_scale
        crossed = cross_fitted(deepcopy(system.memory), (levels, again))
        evened = (crossed - system.memory_mean) * system.memory_scale
        far = (system.memory(levels, again) - system.memory_mean) * system.memory_scale
        wanted = functional.interpolate(
            error + functional.interpolate(far, scale_factor=2, mode="bilinear"), scale_factor=2, mode="bilinear"
        )
        torch.testing.assert_close(system(frames)[0], system.smooth(wanted), rtol=1e-4, atol=1e-4)
    assert system.memory_mean.shape == (1, 1, 4, 4)
    assert float(evened.mean(dim=0).abs().max()) < 0.05
    assert 0.3 < float(evened.std(dim=0).min()) <= float(evened.std(dim=0).max()) < 1.05


def test_the_discriminator_s_term_is_added_with_its_weight(plate: Plate) -> None:
    maps = []
    for weight in (0.0, 1.0, 3.0):
        system = opened("gan", discriminator_weight=weight)
        with torch.no_grad():
            maps.append(system(plates(plate, 2))[0])
    assert float((maps[1] - maps[0]).abs().max()) > 1e-3
    torch.testing.assert_close(maps[2] - maps[0], 3 * (maps[1] - maps[0]), rtol=1e-4, atol=1e-4)


def test_a_defect_raises_both_terms_where_it_lies(plate: Plate) -> None:
    system, frames = opened("mdaae_sagan", side=64, epochs=20), plates(plate, 16, side=64)
    trained(system, prepared_of(system, frames), 20)
    spoilt = frames.clone()
    spoilt[:, 40:56, 24:40] = 20
    with torch.no_grad():
        risen = system(spoilt)[0] - system(frames)[0]
    rows, columns = np.unravel_index(risen.mean(dim=0)[0].argmax().item(), (16, 16))
    assert (risen.amax(dim=(1, 2, 3)) > 2).all()
    assert 9 <= rows <= 14
    assert 5 <= columns <= 10


def test_an_autoencoder_that_gives_nothing_back_makes_the_flagship_padim(plate: Plate) -> None:
    system, frames = opened("mdaae", side=64), plates(plate, 8, side=64)
    prepared = prepared_of(system, frames)
    with torch.no_grad():
        system.start_epoch(0, batches_of(prepared))
        system.autoencoder = Constant(0.0)  # type: ignore[assignment]
        system.settle(batches_of(prepared))
        levels = system.standard(system.levels(planes_from_frames(frames)))
        embedded = functional.conv2d(on_one_grid(levels, system.levels.strides), system.error.embed).numpy()
    fit = GaussianFit(block=2)
    fit.add(embedded)
    wanted = torch.from_numpy(distance(embedded, fit.finish(pooling=system.config.pooling)))[:, None]
    evened = (wanted - system.error_mean) * system.error_scale
    with torch.no_grad():
        score_map, _ = system(frames)
    wanted_map = system.smooth(functional.interpolate(evened, scale_factor=2, mode="bilinear"))
    assert float((score_map - wanted_map).abs().max()) < 0.02 * float(wanted_map.max() - wanted_map.min())


def test_an_image_that_the_code_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"48 x 48: .* multiples of 32"):
        opened("mdaae_sagan", side=48)


def test_heads_that_do_not_divide_what_they_share_are_refused() -> None:
    with pytest.raises(ConfigError, match="heads 3 must divide code 8"):
        opened("mdaae_sagan", heads=3)


def test_level_weights_are_one_or_one_a_level() -> None:
    assert opened("mdaae", level_weights=(2.0,)).betas == (2.0, 2.0, 2.0)
    assert opened("mdaae", level_weights=(1.0, 0.5, 0.25)).betas == (1.0, 0.5, 0.25)
    with pytest.raises(ConfigError, match="got 2 values for 3 levels"):
        opened("mdaae", level_weights=(1.0, 0.5))
