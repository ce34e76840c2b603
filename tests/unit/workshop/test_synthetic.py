import numpy as np
import pytest

from edge_inspect.workshop.synthetic import PAINTERS, plant_defect

pytestmark = pytest.mark.workshop


@pytest.fixture
def good() -> np.ndarray:
    return np.random.default_rng(0).integers(110, 140, (96, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", sorted(PAINTERS))
@pytest.mark.parametrize("seed", range(10))
def test_a_drawn_defect_is_visible_local_and_leaves_the_original_alone(kind: str, seed: int, good: np.ndarray) -> None:
    before = good.copy()
    spoilt = PAINTERS[kind](good, np.random.default_rng(seed))
    change = np.abs(spoilt.astype(int) - before).max(axis=2)
    assert np.array_equal(good, before)
    assert (spoilt.dtype, spoilt.shape) == (good.dtype, good.shape)
    assert change.max() >= 15
    assert 0 < np.mean(change > 10) < 0.1


def test_the_same_seed_draws_the_same_defect(good: np.ndarray) -> None:
    first, second = (plant_defect(good, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)


def test_every_kind_of_defect_comes_up(good: np.ndarray) -> None:
    random = np.random.default_rng(0)
    shares = {round(float(np.mean(plant_defect(good, random) != good)), 4) for _ in range(40)}
    assert len(shares) > 10


def test_a_bright_part_is_not_wrapped_around_to_black() -> None:
    white = np.full((64, 64, 1), 250, np.uint8)
    for seed in range(20):
        spoilt = plant_defect(white, np.random.default_rng(seed))
        assert spoilt.min() >= 160
