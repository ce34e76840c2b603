from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_inspect.workshop import anomalies as room
from edge_inspect.workshop.anomalies import FILLINGS, moved, plant_anomaly

pytestmark = pytest.mark.workshop

BLUR_PX = 5
"""How far the softest edge reaches beyond a shape: OpenCV cuts a Gaussian of sigma 1.2 there."""
SEEDS = range(60)


def part(*, height: int = 96, width: int = 128, channels: int = 3) -> np.ndarray:
    """A textured plate with a bright bar."""
    random = np.random.default_rng(0)
    pixels = random.normal(90, 12, (height, width, channels))
    pixels[height // 3 : height // 2, width // 8 : -width // 8] += 80
    return np.clip(pixels, 0, 255).astype(np.uint8)


def planted(image: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The spoilt image, its mask, and how far each pixel was changed."""
    spoilt, mask = plant_anomaly(image, np.random.default_rng(seed))
    return spoilt, mask, np.abs(spoilt.astype(int) - image).max(axis=2)


def around(mask: np.ndarray, reach_px: int) -> np.ndarray:
    return cv2.dilate(mask, np.ones((2 * reach_px + 1,) * 2, np.uint8)) > 0


@pytest.fixture
def another_filling(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., np.ndarray]], None]:
    return lambda filling: monkeypatch.setattr(room, "FILLINGS", {"another": filling})


@pytest.mark.parametrize(("height", "width", "channels"), [(96, 128, 3), (96, 128, 1), (32, 32, 1), (32, 32, 3), (33, 47, 3)])
def test_an_anomaly_keeps_size_and_kind_of_the_image_and_leaves_the_original_alone(height: int, width: int, channels: int) -> None:
    image = part(height=height, width=width, channels=channels)
    before = image.copy()
    for seed in SEEDS:
        spoilt, mask, _ = planted(image, seed)
        assert (spoilt.shape, spoilt.dtype) == (image.shape, np.uint8)
        assert (mask.shape, mask.dtype) == (image.shape[:2], np.float32)
        assert set(np.unique(mask)) <= {0.0, 1.0}
    assert np.array_equal(image, before)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_what_visibly_changed_is_called_anomalous(seed: int) -> None:
    _, mask, change = planted(part(), seed)
    near = cv2.blur(change.astype(np.float32), (5, 5))
    assert not mask[near <= 4].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_outside_the_shape_and_its_soft_edge_the_image_is_what_it_was(
    seed: int, another_filling: Callable[[Callable[..., np.ndarray]], None]
) -> None:
    another_filling(lambda good, random: np.full_like(good, 255))
    _, mask, change = planted(np.full((96, 128, 3), 20, np.uint8), seed)
    assert mask.any()
    assert not change[~around(mask, BLUR_PX)].any()
    assert change[mask > 0].min() > 0


def test_a_filling_that_changes_nothing_leaves_no_anomaly(another_filling: Callable[[Callable[..., np.ndarray]], None]) -> None:
    another_filling(lambda good, random: good)
    spoilt, mask, _ = planted(part(), 0)
    assert np.array_equal(spoilt, part())
    assert not mask.any()


def test_nearly_every_planted_anomaly_shows_and_is_small() -> None:
    shares = np.array([planted(part(), seed)[1].mean() for seed in range(200)])
    assert np.mean(shares > 0) > 0.9
    assert shares.max() < 0.25
    assert 0.0005 < np.median(shares) < 0.03


def test_the_same_seed_plants_the_same_anomaly_and_another_seed_another() -> None:
    first, second, other = (planted(part(), seed)[0] for seed in (7, 7, 8))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(FILLINGS))
def test_every_filling_gives_another_texture_of_the_same_size(name: str, channels: int) -> None:
    good = part(height=32, width=48, channels=channels).astype(np.float32)
    before = good.copy()
    for seed in range(10):
        filled = FILLINGS[name](good, np.random.default_rng(seed))
        assert filled.shape == good.shape
        assert np.isfinite(filled).all()
        assert np.abs(filled - good).mean() > 1
    assert np.array_equal(good, before)


def test_every_filling_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[str] = set()

    def noted(name: str) -> Callable[..., np.ndarray]:
        return lambda good, random: drawn.add(name) or good

    monkeypatch.setattr(room, "FILLINGS", {name: noted(name) for name in FILLINGS})
    for seed in range(60):
        plant_anomaly(part(), np.random.default_rng(seed))
    assert drawn == set(FILLINGS)


def elongation(mask: np.ndarray) -> float:
    """Longer by shorter axis of a shape's spread."""
    rows, columns = np.nonzero(mask)
    variances = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])))
    return float(np.sqrt(variances[1] / variances[0]))


def test_a_scratch_is_long_and_thin_and_a_blot_is_not(
    monkeypatch: pytest.MonkeyPatch, another_filling: Callable[[Callable[..., np.ndarray]], None]
) -> None:
    another_filling(lambda good, random: np.full_like(good, 255))
    monkeypatch.setattr(room, "LEAST_SHARE", 0.06)
    medians = []
    for chance in (0.0, 1.0):
        monkeypatch.setattr(room, "SCRATCH", chance)
        masks = (planted(np.zeros((256, 256, 1), np.uint8), seed)[1] for seed in range(20))
        medians.append(np.median([elongation(mask) for mask in masks]))
    assert medians[0] < 2 < 4 < medians[1]


def test_half_of_them_lie_where_the_part_has_structure(another_filling: Callable[[Callable[..., np.ndarray]], None]) -> None:
    another_filling(lambda good, random: 255 - good)
    image = np.full((128, 128, 1), 100, np.uint8)
    image[40:60, 40:60] = np.random.default_rng(0).integers(0, 256, (20, 20, 1))
    masks = [planted(image, seed)[1] for seed in range(100)]
    on_it = np.mean([mask[30:70, 30:70].any() for mask in masks])
    assert 0.4 < on_it < 0.8  # anywhere at all would be one in five or so


def test_a_bright_part_is_not_wrapped_around_to_black(another_filling: Callable[[Callable[..., np.ndarray]], None]) -> None:
    another_filling(lambda good, random: good + 300)
    for seed in range(20):
        assert planted(np.full((64, 64, 1), 250, np.uint8), seed)[0].min() >= 250


class Scripted:
    """Draws what it is told."""

    def __init__(self, turn_deg: float, down_share: float, right_share: float) -> None:
        self.turn_deg, self.shift = turn_deg, np.array([right_share, down_share])

    def uniform(self, low: float, high: float, size: int | None = None) -> object:
        return self.turn_deg if size is None else self.shift


@pytest.mark.parametrize("channels", [1, 3])
def test_a_copy_that_is_moved_by_nothing_is_the_image(channels: int) -> None:
    image = part(channels=channels)
    copy, seen = moved(image, np.random.default_rng(0), turn_deg=0.0, shift_share=0.0)
    assert np.array_equal(copy, image)
    assert seen.min() == 1.0


def test_a_copy_turned_by_half_a_turn_is_the_image_upside_down() -> None:
    image = part()
    turned, _ = moved(image, Scripted(180.0, 0.0, 0.0), turn_deg=180.0, shift_share=0.0)  # type: ignore[arg-type]
    assert np.abs(turned.astype(int) - image[::-1, ::-1]).max() <= 1


def test_a_shifted_copy_continues_its_outermost_pixels() -> None:
    image = part()
    shifted, seen = moved(image, Scripted(0.0, 6 / 96, 4 / 128), turn_deg=0.0, shift_share=0.1)  # type: ignore[arg-type]
    assert np.array_equal(shifted[6:, 4:], image[:-6, :-4])
    assert np.array_equal(shifted[0, 4:], image[0, :-4])
    assert np.array_equal(shifted[6:, 0], image[:-6, 0])
    assert seen[6:, 4:].min() == 1.0
    assert seen[:6].max() == 0.0
    assert seen[:, :4].max() == 0.0


def test_a_moved_copy_is_the_same_for_the_same_seed() -> None:
    first, second, other = (moved(part(), np.random.default_rng(seed), turn_deg=5.0, shift_share=0.05)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
