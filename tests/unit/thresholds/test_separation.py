import numpy as np
import pytest

from edge_inspect.thresholds.separation import fit_svm

roc_auc_score = pytest.importorskip("sklearn.metrics", reason="scikit-learn is in the extra evaluate").roc_auc_score


def test_the_separation_of_two_clouds_points_from_good_to_defective() -> None:
    random = np.random.default_rng(0)
    good = random.normal((1.0, 2.0), 0.1, (30, 2))
    defective = random.normal((1.1, 4.0), 0.1, (30, 2))
    found = fit_svm(good, defective, penalty=1e8)
    weights = np.array([found.mean_weight, found.maximum_weight])
    assert found.maximum_weight > 0
    assert (good @ weights + found.bias).max() == pytest.approx(-1, abs=0.05)
    assert (defective @ weights + found.bias).min() == pytest.approx(1, abs=0.05)


def test_the_separation_of_clouds_that_overlap_ends_and_still_points_the_right_way() -> None:
    random = np.random.default_rng(0)
    good = random.normal((1.0, 2.0), 0.3, (100, 2))
    defective = random.normal((1.0, 2.6), 0.3, (100, 2))
    found = fit_svm(good, defective, penalty=1e8)
    scores = found.scores(np.concatenate([good, defective]))
    assert roc_auc_score([0] * 100 + [1] * 100, scores) > 0.85


def test_a_separation_without_defects_is_refused() -> None:
    with pytest.raises(ValueError, match="3 good and 0 defective images"):
        fit_svm(np.zeros((3, 2)), np.zeros((0, 2)), penalty=1.0)
