from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.models.frames import maximum, planes_from_frames
from edge_inspect.workshop.models.illumination import SHRINK, Homomorphic, LocalContrast, SlowFilter, open_illumination
from edge_inspect.workshop.onnx_check import refuse_unfit
from edge_inspect.workshop.traced_graph import traced_graph

pytestmark = pytest.mark.torch

KINDS = ("contrast", "homomorphic", "both")
SIZE = ImageSize(width=64, height=48, channels=3)


def grain(*, side: int = 128, channels: int = 1, spread: float = 25.0) -> Tensor:
    """A part with structure everywhere, (1, channels, side, side), so dark that twice the light leaves it unclipped."""
    random = np.random.default_rng(0)
    return torch.from_numpy(np.clip(random.normal(80, spread, (1, channels, side, side)), 10, 125)).float()


def shadow(side: int) -> Tensor:
    """Falls slowly from full light to less than half of it, (1, 1, side, side)."""
    return (0.7 + 0.3 * torch.cos(torch.linspace(0, torch.pi, side))).expand(1, 1, side, side)


def disturbance(layer: Callable[[Tensor], Tensor], planes: Tensor, other: Tensor) -> float:
    """How far another light moves the pixels, as a part of their spread."""
    plain = layer(planes)
    return float((layer(other) - plain).abs().mean() / plain.std())


@pytest.mark.parametrize("gain", [0.5, 0.7, 1.4, 2.0])
def test_more_or_less_light_leaves_local_contrast_nearly_as_it_was(gain: float) -> None:
    planes = grain()
    assert disturbance(LocalContrast(), planes, gain * planes) < 0.1
    assert disturbance(nn.Identity(), planes, gain * planes) > 0.5


def test_where_there_is_nothing_but_noise_it_is_not_blown_up_to_structure() -> None:
    structure, noise = (LocalContrast()(grain(spread=spread)).std() for spread in (25.0, 1.0))
    assert noise < 0.15 * structure


def test_local_contrast_is_counted_in_local_deviations_around_mid_grey() -> None:
    evened = LocalContrast()(grain(spread=25.0))
    middle = evened[:, :, 32:-32, 32:-32]
    assert float(middle.mean()) == pytest.approx(127, abs=1)
    assert float(middle.std()) == pytest.approx(48, rel=0.08)


def test_the_homomorphic_filter_takes_three_quarters_of_a_slow_shadow_out() -> None:
    planes = grain(side=256)
    left = torch.log((Homomorphic()(shadow(256) * planes) + 1) / (Homomorphic()(planes) + 1))
    inner = (slice(None), slice(None), slice(32, -32), slice(32, -32))
    assert float(left[inner].std()) < 0.35 * float(torch.log(shadow(256))[inner].std())
    assert disturbance(Homomorphic(), planes, shadow(256) * planes) < 0.5 * disturbance(nn.Identity(), planes, shadow(256) * planes)


def test_the_homomorphic_filter_keeps_detail_whole() -> None:
    planes = grain(side=256)
    logarithm = [torch.log(image + 1) for image in (planes, Homomorphic()(planes))]
    detail, kept = (values - SlowFilter(16.0)(values) for values in logarithm)
    assert float((detail * kept).sum() / (detail * detail).sum()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("grey", [0.0, 31.0, 127.0, 255.0])
def test_even_light_keeps_a_fourth_of_its_distance_from_mid_grey_in_logarithms(grey: float) -> None:
    found = Homomorphic()(torch.full((1, 1, 64, 64), grey))
    torch.testing.assert_close(found, torch.full_like(found, 128 * ((grey + 1) / 128) ** 0.25 - 1), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_even_light_of_mid_grey_stays_what_it_is(kind: str) -> None:
    planes = torch.full((2, 3, 48, 64), 127.0)
    torch.testing.assert_close(open_illumination(kind)(planes), planes, rtol=0, atol=1e-2)


@pytest.mark.parametrize("grey", [0.0, 255.0])
@pytest.mark.parametrize("kind", KINDS)
def test_black_and_white_frames_give_numbers_that_are_finite(kind: str, grey: float) -> None:
    found = open_illumination(kind)(torch.full((1, 1, 64, 64), grey))
    assert torch.isfinite(found).all()
    assert float(found.max() - found.min()) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_black_and_white_edge_gives_numbers_that_are_finite(kind: str) -> None:
    planes = torch.zeros(1, 1, 64, 64)
    planes[:, :, :, 32:] = 255.0
    found = open_illumination(kind)(planes)
    assert torch.isfinite(found).all()
    assert float(found[:, :, :, 40:].mean()) > float(found[:, :, :, :24].mean()) + 30


@pytest.mark.parametrize("kind", KINDS)
def test_what_happens_in_one_corner_moves_nothing_far_away(kind: str) -> None:
    planes, other = grain(side=512), grain(side=512)
    other[:, :, :16, :16] = 255.0
    change = (open_illumination(kind)(other) - open_illumination(kind)(planes)).abs()
    assert float(change[:, :, :16, :16].max()) > 1
    assert float(change[:, :, 384:, 384:].max()) == 0


def test_colours_and_frames_are_evened_each_by_itself() -> None:
    planes = torch.cat([grain(channels=3), 0.5 * grain(channels=3)])
    for kind in KINDS:
        layer = open_illumination(kind)
        alone = [[layer(planes[row : row + 1, plane : plane + 1])[0, 0] for plane in range(3)] for row in range(2)]
        torch.testing.assert_close(layer(planes), torch.stack([torch.stack(row) for row in alone]), rtol=1e-5, atol=1e-3)


def test_none_leaves_the_planes_as_they_are() -> None:
    planes = grain()
    assert torch.equal(open_illumination("none")(planes), planes)


def test_both_is_the_homomorphic_filter_and_then_local_contrast() -> None:
    planes = grain()
    assert torch.equal(open_illumination("both")(planes), LocalContrast()(Homomorphic()(planes)))


class Lit(nn.Module):
    """A system of nothing but the normalisation."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.illumination = open_illumination(kind)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        score_map = self.illumination(planes_from_frames(frames)).mean(dim=1, keepdim=True)
        return score_map, maximum(score_map)


@pytest.mark.parametrize("kind", KINDS)
def test_the_normalisation_goes_into_a_graph_that_tensorrt_takes_and_says_the_same_there(kind: str) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (1, SIZE.height, SIZE.width, SIZE.channels), dtype=np.uint8)
    graph = traced_graph(Lit(kind), SIZE)
    refuse_unfit(graph, SIZE)
    found, _ = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"frame": frames})
    wanted = Lit(kind)(torch.from_numpy(frames))[0].numpy()
    assert np.abs(found - wanted).max() <= 1e-4 * np.ptp(wanted)


def test_the_slow_filter_leaves_a_slope_in_the_middle_where_it_is() -> None:
    slope = torch.arange(512.0).expand(1, 1, 64, 512)
    found = SlowFilter(24.0)(slope)
    torch.testing.assert_close(found[..., 128:-128], slope[..., 128:-128], rtol=0, atol=0.6 * SHRINK / 8)
