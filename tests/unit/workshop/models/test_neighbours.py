import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn import functional

from edge_inspect.workshop.models.neighbours import NeighbourMemory, k_centres, whitener_of

pytestmark = pytest.mark.torch

STRIDES = (1, 2)
CHANNELS = (3, 5)


def levels_of(parts: int, *, seed: int = 0, side: int = 8) -> list[Tensor]:
    drawing = torch.Generator().manual_seed(seed)
    return [
        torch.randn(parts, channels, side // stride, side // stride, generator=drawing)
        for channels, stride in zip(CHANNELS, STRIDES, strict=True)
    ]


def remembering(levels: list[Tensor], *, entries: int) -> NeighbourMemory:
    memory = NeighbourMemory(sum(CHANNELS), STRIDES, entries=entries)
    memory.fit([(levels, levels)])
    return memory


def by_hand(levels: list[Tensor]) -> np.ndarray:
    """Every coarse cell with the mean of itself and its neighbours: (n * 4 * 4, channels)."""
    fine, coarse = levels
    joined = torch.cat([functional.avg_pool2d(fine, 2), coarse], dim=1).numpy()
    n, channels, height, width = joined.shape
    rows = np.zeros((n, height, width, channels))
    for y in range(height):
        for x in range(width):
            rows[:, y, x] = joined[:, :, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].mean(axis=(2, 3))
    return rows.reshape(-1, channels)


def test_the_distance_is_that_to_the_nearest_entry() -> None:
    good, asked = levels_of(3), levels_of(2, seed=1)
    memory = remembering(good, entries=48)  # as many as there are neighbourhoods: all are remembered
    wanted, _ = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(by_hand(good)).kneighbors(by_hand(asked))
    np.testing.assert_allclose(memory(asked, asked).numpy().ravel(), wanted.ravel(), rtol=1e-4)


def test_what_is_remembered_lies_at_nought_and_the_order_of_parts_does_not_matter() -> None:
    good = levels_of(3)
    memory = remembering(good, entries=48)
    assert float(memory(good, good).max()) < 2e-3  # the root of a rounding error
    turned = [level.flip(0) for level in levels_of(2, seed=1)]
    torch.testing.assert_close(memory(turned, turned), memory(levels_of(2, seed=1), turned).flip(0))


def test_a_part_that_lies_elsewhere_is_as_near() -> None:
    good = levels_of(3)
    memory = remembering(good, entries=48)
    still = levels_of(3, seed=2, side=16)
    moved = [torch.roll(level, level.shape[2] // 4, dims=2) for level in still]
    here, there = memory(still, still), memory(moved, moved)
    torch.testing.assert_close(there[:, :, 3:7], here[:, :, 1:5])  # but for the seam that rolling makes, and the border


def test_whitened_neighbourhoods_are_measured_in_deviations_along_every_direction() -> None:
    good, asked = levels_of(12), levels_of(2, seed=1)
    memory = NeighbourMemory(sum(CHANNELS), STRIDES, entries=192, whitening=1e-9)
    memory.fit([(good, good)])
    points = by_hand(good)
    nearest = NearestNeighbors(
        n_neighbors=1, algorithm="brute", metric="mahalanobis", metric_params={"VI": np.linalg.inv(np.cov(points.T))}
    )
    wanted, _ = nearest.fit(points).kneighbors(by_hand(asked))
    np.testing.assert_allclose(memory(asked, asked).numpy().ravel(), wanted.ravel(), rtol=1e-3)


def test_whitening_raises_a_direction_in_which_good_parts_never_vary_to_a_share_of_the_mean_variance() -> None:
    points = torch.zeros(400, 2)
    points[:, 0] = torch.randn(400, generator=torch.Generator().manual_seed(0))
    variance = float(points[:, 0].var())
    matrix = whitener_of(points, 0.02)
    expected = torch.diag(torch.tensor([variance * 1.01, variance * 0.01]).rsqrt())
    torch.testing.assert_close(matrix, expected)


def test_the_entries_are_picked_far_apart() -> None:
    points = torch.tensor([[0.0], [0.1], [5.0], [5.1], [10.0], [2.4]])
    assert k_centres(points, 4).tolist() == [0, 4, 2, 5]


def test_fewer_points_than_entries_come_again() -> None:
    assert k_centres(torch.tensor([[0.0], [1.0]]), 5).tolist() == [0, 1, 0, 1, 0]


def test_the_same_parts_give_the_same_memory() -> None:
    one, other = (remembering(levels_of(3), entries=10) for _ in range(2))
    torch.rand(3)
    assert torch.equal(one.memory, other.memory)
    assert torch.equal(one.memory, remembering(levels_of(3), entries=10).memory)
