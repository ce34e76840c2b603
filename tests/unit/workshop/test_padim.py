import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.workshop.padim import EPSILON, GaussianFit, Head, block_rows, distance, embedding

pytestmark = pytest.mark.workshop


def features(seed: int, count: int, *, channels: int = 3, side: int = 4, offset: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, channels, side, side)) + offset).astype(np.float32)


def fitted(parts: np.ndarray, *, block: int, batch: int = 4, pooling: float = 0.0) -> Head:
    fit = GaussianFit(block=block)
    for start in range(0, len(parts), batch):
        fit.add(parts[start : start + batch])
    return fit.finish(pooling=pooling)


def mahalanobis(parts: np.ndarray, part: np.ndarray, row: int, column: int) -> float:
    """Equations 1 and 2 of the paper, for one position."""
    samples = parts[:, :, row, column].astype(np.float64)
    covariance = np.cov(samples, rowvar=False, ddof=1) + EPSILON * np.eye(samples.shape[1])
    away = part[:, row, column] - samples.mean(axis=0)
    return float(np.sqrt(away @ np.linalg.inv(covariance) @ away))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(2, 20), batch=st.integers(1, 7), offset=st.sampled_from([0.0, -3.0, 100.0]))
def test_without_sharing_the_distance_is_the_papers(seed: int, count: int, batch: int, offset: float) -> None:
    parts, part = features(seed, count, offset=offset), features(seed + 1, 1, offset=offset)
    found = distance(part, fitted(parts, block=1, batch=batch))[0]
    wanted = [[mahalanobis(parts, part[0], row, column) for column in range(4)] for row in range(4)]
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


@pytest.mark.parametrize("batch", [1, 5, 16])
def test_batches_of_any_size_fit_the_same_gaussians(batch: int) -> None:
    parts = features(0, 16, offset=50)
    whole, piecewise = fitted(parts, block=2, batch=16), fitted(parts, block=2, batch=batch)
    np.testing.assert_allclose(piecewise.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(piecewise.whitening, whole.whitening, rtol=1e-5, atol=1e-6)


def test_a_block_shares_its_covariance_while_every_position_keeps_its_mean() -> None:
    parts = features(0, 30)
    head = fitted(parts, block=2)
    np.testing.assert_allclose(head.mean, parts.mean(axis=0), rtol=1e-5, atol=1e-6)
    centred = parts - parts.mean(axis=0)
    corner = centred[:, :, :2, 2:].transpose(0, 2, 3, 1).reshape(-1, 3)
    covariance = corner.T @ corner / (29 * 4) + EPSILON * np.eye(3)
    np.testing.assert_allclose(head.whitening[1] @ head.whitening[1].T, np.linalg.inv(covariance), rtol=1e-4)


def test_full_pooling_gives_every_block_the_same_covariance() -> None:
    head = fitted(features(0, 30), block=2, pooling=1.0)
    for whitening in head.whitening:
        np.testing.assert_allclose(whitening, head.whitening[0], rtol=1e-6)


def test_finishing_is_the_head_of_the_covariance() -> None:
    fit = GaussianFit(block=2)
    fit.add(features(0, 30, offset=5.0))
    finished, head = fit.finish(pooling=0.3), fit.head(fit.covariance(pooling=0.3))
    np.testing.assert_array_equal(finished.mean, head.mean)
    np.testing.assert_array_equal(finished.whitening, head.whitening)


def test_fewer_parts_than_dimensions_still_give_a_finite_distance() -> None:
    head = fitted(features(0, 2, channels=50), block=1)
    assert np.isfinite(distance(features(1, 3, channels=50), head)).all()


@given(block=st.sampled_from([1, 2, 4]), count=st.integers(1, 3))
def test_block_rows_hold_every_feature_once(block: int, count: int) -> None:
    values = np.arange(count * 2 * 8 * 4, dtype=np.float32).reshape(count, 2, 8, 4)
    rows = block_rows(values, block)
    assert rows.shape == (8 // block * (4 // block), count * block * block, 2)
    assert sorted(rows.ravel()) == sorted(values.ravel())


def test_distances_come_back_at_the_position_they_belong_to() -> None:
    head = Head(mean=np.zeros((1, 4, 8), np.float32), whitening=np.ones((8, 1, 1), np.float32), block=2)
    values = np.arange(64, dtype=np.float32).reshape(2, 1, 4, 8)
    assert np.array_equal(distance(values, head), values[:, 0])


def test_an_embedding_keeps_lengths_of_its_columns_and_is_the_same_for_the_same_seed() -> None:
    matrix = embedding(20, 7, seed=3)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(7), atol=1e-6)
    assert np.array_equal(matrix, embedding(20, 7, seed=3))
    assert not np.array_equal(matrix, embedding(20, 7, seed=4))
