import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from edge_inspect.workshop.models.ssim import LocalSsim

pytestmark = pytest.mark.torch

REACH = 5
"""Cells of the window (sigma 1.5, out to three sigma) on either side: nearer to the edge the two continue an image differently."""


def textures(seed: int, *, channels: int = 1, side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    one = random.uniform(0, 1, (2, channels, side, side))
    other = np.clip(0.7 * one + 0.3 * random.uniform(0, 1, one.shape), 0, 1)
    return torch.from_numpy(one.astype(np.float32)), torch.from_numpy(other.astype(np.float32))


def interior(maps: np.ndarray) -> np.ndarray:
    return maps[..., REACH:-REACH, REACH:-REACH]


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_the_map_is_scikit_images_away_from_the_edge(value_range: float) -> None:
    one, other = (value_range * images for images in textures(0))
    ours = LocalSsim(value_range=value_range)(one, other).numpy()
    for row in range(2):
        _, theirs = structural_similarity(
            one[row, 0].numpy().astype(np.float64),
            other[row, 0].numpy().astype(np.float64),
            data_range=value_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        np.testing.assert_allclose(interior(ours[row, 0]), interior(theirs), atol=2e-5)


def test_every_channel_is_compared_by_itself() -> None:
    one, other = textures(1, channels=3)
    together = LocalSsim()(one, other)
    alone = torch.cat([LocalSsim()(one[:, index : index + 1], other[:, index : index + 1]) for index in range(3)], dim=1)
    torch.testing.assert_close(together, alone)


def test_an_image_is_like_itself_everywhere_up_to_the_edge() -> None:
    one, _ = textures(2)
    torch.testing.assert_close(LocalSsim()(one, one), torch.ones_like(one))


def test_it_does_not_matter_which_of_the_two_comes_first() -> None:
    one, other = textures(3)
    torch.testing.assert_close(LocalSsim()(one, other), LocalSsim()(other, one))


def test_a_negative_is_less_alike_than_a_stranger() -> None:
    one, _ = textures(4)
    stranger, _ = textures(5)
    assert LocalSsim()(one, 1 - one).mean() < LocalSsim()(one, stranger).mean() < 0.5


def test_a_change_is_seen_only_within_the_windows_reach() -> None:
    one, _ = textures(6)
    other = one.clone()
    other[:, :, 20, 20] += 1.0
    changed = (LocalSsim()(one, other) - 1).abs() > 1e-4
    rows, columns = torch.nonzero(changed[0, 0], as_tuple=True)
    assert rows.min() >= 20 - REACH
    assert rows.max() <= 20 + REACH
    assert columns.min() >= 20 - REACH
    assert columns.max() <= 20 + REACH
    assert changed[0, 0, 20, 20]


def test_its_gradient_is_finite_on_flat_images() -> None:
    flat = torch.full((1, 1, 24, 24), 0.5, requires_grad=True)
    LocalSsim()(flat, torch.full((1, 1, 24, 24), 0.4)).mean().backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()
