import pytest
import torch
from torch import nn

from edge_inspect.workshop.models.triplet import TripletConfig
from edge_inspect.workshop.models.triplet_network import (
    TripletNetwork,
    cut_patches,
    distances,
    grey_from_planes,
    scaled_by_image,
    seen_px,
    triplet_loss,
)

pytestmark = pytest.mark.torch


def papers_network(**options: bool) -> TripletNetwork:
    config = TripletConfig()
    return TripletNetwork(filters=config.filters, blocks=config.blocks, **{"same_padding": False, "batch_norm": False, **options})


@pytest.mark.parametrize(("side", "cells"), [(64, 1), (1024, 481)])
def test_the_papers_network_gives_the_printed_number_of_cells(side: int, cells: int) -> None:
    network = papers_network().to("meta")
    assert network(torch.empty(1, 1, side, side, device="meta")).shape == (1, 16, cells, cells)
    assert seen_px(7) == 64


def test_with_same_padding_every_two_pixels_have_their_cell() -> None:
    network = papers_network(same_padding=True, batch_norm=True).to("meta")
    assert network(torch.empty(1, 1, 64, 96, device="meta")).shape == (1, 16, 32, 48)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == 17


def test_distances_are_euclidean() -> None:
    one, other = torch.zeros(2, 2, 1, 1), torch.zeros(2, 2, 1, 1)
    other[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    found = distances(one, other)
    assert found.tolist() == pytest.approx([5.0, 0.0], abs=1e-3)


def test_a_distance_does_not_grow_with_the_number_of_cells() -> None:
    one, other = torch.randn(3, 4, 1, 1), torch.randn(3, 4, 1, 1)
    torch.testing.assert_close(distances(one, other), distances(one.expand(3, 4, 5, 5), other.expand(3, 4, 5, 5)))


def test_identical_patches_have_a_finite_slope() -> None:
    features = torch.ones(2, 4, 1, 1, requires_grad=True)
    torch.autograd.backward(distances(features, features.detach()).sum())
    assert torch.isfinite(features.grad).all()


def test_the_loss_falls_with_a_nearer_positive_and_with_a_farther_negative() -> None:
    near, far = torch.tensor([1.0], requires_grad=True), torch.tensor([2.0], requires_grad=True)
    torch.autograd.backward(triplet_loss(near, far))
    assert near.grad.item() > 0
    assert far.grad.item() < 0
    assert triplet_loss(torch.tensor([0.0]), torch.tensor([9.0])) < 0.001
    assert triplet_loss(torch.tensor([9.0]), torch.tensor([0.0])) > 0.999


def test_the_loss_is_the_logistic_function_of_the_difference() -> None:
    near, far = torch.rand(7), torch.rand(7)
    torch.testing.assert_close(triplet_loss(near, far), torch.sigmoid(near - far).mean())


def test_patches_are_cut_from_their_own_image_each_at_its_own_place_or_all_at_one() -> None:
    torch.manual_seed(0)
    column = torch.arange(20.0).expand(1, 20, 20)
    images = torch.stack([column, column + 100])
    apart, together = (cut_patches(images, count=5, side=8, same_place=same) for same in (False, True))
    assert apart.shape == (10, 1, 8, 8)
    assert (apart[:5] < 100).all()
    assert (apart[5:] >= 100).all()
    assert torch.equal(together[:5] + 100, together[5:])
    assert not torch.equal(apart[:5] + 100, apart[5:])


def test_grey_is_divided_by_255_and_colour_is_weighed() -> None:
    assert grey_from_planes(torch.full((1, 1, 2, 2), 51.0)).unique().item() == pytest.approx(0.2)
    colours = torch.tensor([255.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert grey_from_planes(colours).item() == pytest.approx(0.299)


def test_every_image_is_scaled_by_its_own_range_and_a_plain_one_stays_finite() -> None:
    images = torch.tensor([[0.2, 0.4, 0.6], [0.1, 0.1, 0.9], [0.5, 0.5, 0.5]]).view(3, 1, 1, 3)
    wanted = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]).view(3, 1, 1, 3)
    torch.testing.assert_close(scaled_by_image(images), wanted)
