import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from edge_inspect.model_folder import ImageSize
from edge_inspect.workshop.backbone import LEVELS, load_backbone
from edge_inspect.workshop.graph import write_features
from edge_inspect.workshop.low_rank import LowRank, low_rank, write_low_rank_graph
from edge_inspect.workshop.padim import GaussianFit, distance, embedding

pytestmark = pytest.mark.workshop

SIZE = ImageSize(width=96, height=64, channels=1)
EMBED = embedding(sum(LEVELS.values()), 12, seed=0)


def covariances(seed: int, *, blocks: int = 3, channels: int = 8) -> np.ndarray:
    roots = np.random.default_rng(seed).standard_normal((blocks, channels, channels))
    return roots @ roots.transpose(0, 2, 1) + 0.01 * np.eye(channels)


def closed_formula(covariance: np.ndarray, away: np.ndarray, rank: int) -> float:
    """|x|^2 / s^2 - sum_i (1 / s^2 - 1 / lambda_i) (u_i^T x)^2, term by term."""
    values, vectors = np.linalg.eigh(covariance)
    rest = values[: len(values) - rank].mean()
    taken = sum((1 / rest - 1 / values[-i]) * (vectors[:, -i] @ away) ** 2 for i in range(1, rank + 1))
    return float(away @ away / rest - taken)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), rank=st.integers(1, 7))
def test_the_low_rank_covariance_and_the_folded_axes_give_the_closed_formula(seed: int, rank: int) -> None:
    covariance, away = covariances(seed), np.random.default_rng(seed + 1).standard_normal(8)
    gaussians = low_rank(covariance, rank)
    wanted = [closed_formula(one, away, rank) for one in covariance]
    inverted = [away @ np.linalg.solve(one, away) for one in gaussians.covariance()]
    folded = away @ away / gaussians.rest - np.square(away @ gaussians.folded().astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(inverted, wanted, rtol=1e-6)
    np.testing.assert_allclose(folded, wanted, rtol=1e-4, atol=1e-4 * away @ away / gaussians.rest.min())


def test_all_directions_but_one_tiny_one_give_the_whole_covariance() -> None:
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.standard_normal((8, 8)))[0]
    covariance = (axes * np.array([1e-6, 1, 2, 3, 4, 5, 6, 7])) @ axes.T
    gaussians, away = low_rank(covariance[None], 7), random.standard_normal(8)
    np.testing.assert_allclose(gaussians.covariance()[0], covariance, atol=1e-12)
    assert closed_formula(covariance, away, 7) == pytest.approx(away @ np.linalg.solve(covariance, away), rel=1e-6)


def test_the_discarded_variance_is_kept_in_the_mean() -> None:
    covariance = covariances(0)
    traces = np.trace(low_rank(covariance, 3).covariance(), axis1=1, axis2=2)
    np.testing.assert_allclose(traces, np.trace(covariance, axis1=1, axis2=2))


@pytest.mark.parametrize("block", [1, 2])
def test_the_graph_agrees_with_numpy_and_with_onnx_reference(block: int) -> None:
    backbone, random = load_backbone(), np.random.default_rng(1)
    frame = random.integers(0, 256, (SIZE.height, SIZE.width, 1), dtype=np.uint8)
    features = run(write_features(backbone, EMBED, size=SIZE).SerializeToString(), frame)[0]
    fit = GaussianFit(block=block)
    fit.add(features + random.standard_normal((20, *features.shape[1:])).astype(np.float32))
    gaussians = low_rank(fit.covariance(), 4)
    head = fit.head(gaussians.covariance())
    # The map is the distance; the frame lies two off the mean of what was fitted, so that no distance is near zero.
    mean = head.mean + 2
    model = write_low_rank_graph(backbone, EMBED, mean, gaussians, block=block, size=SIZE, sigma=0.5)
    wanted = smoothed(distance(features - 2, head)[0])
    score_map, image_score = run(model.SerializeToString(), frame)
    np.testing.assert_allclose(score_map[0, 0], wanted, rtol=1e-3)
    assert image_score[0] == score_map.max()
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"frame": frame[None]})[0], score_map, rtol=1e-3)


def test_rounding_at_the_mean_gives_no_root_of_a_negative() -> None:
    """More is taken away than there is, as rounding may do: the map is zero, not NaN."""
    backbone, frame = load_backbone(), np.full((SIZE.height, SIZE.width, 1), 100, np.uint8)
    axes = np.repeat(10 * np.eye(12)[None], 96, axis=0)
    gaussians = LowRank(axes=axes, along=np.full((96, 12), 2.0), rest=np.ones(96))
    model = write_low_rank_graph(backbone, EMBED, np.zeros((12, 8, 12), np.float32), gaussians, block=1, size=SIZE, sigma=0.5)
    assert not run(model.SerializeToString(), frame)[0].any()


def run(model: bytes, frame: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model).run(None, {"frame": frame[None]})


def smoothed(distances: np.ndarray) -> np.ndarray:
    fine = cv2.resize(distances, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(fine, (5, 5), 0.5, borderType=cv2.BORDER_REPLICATE)
