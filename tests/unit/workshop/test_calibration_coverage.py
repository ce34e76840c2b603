"""The coverage study on scores of which the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_inspect.workshop import calibration_coverage
from edge_inspect.workshop.calibration_coverage import Measured, chance_to_exceed, coverage_rows, page, recall_rows

pytestmark = pytest.mark.workshop


def rows_of(good, splits=60, tail_splits=0):
    return list(coverage_rows("made", good, splits=splits, tail_splits=tail_splits))


def test_a_promise_is_exceeded_in_at_most_the_agreed_share_of_splits_whatever_the_scores_look_like():
    for draw in ("standard_exponential", "standard_normal", "standard_cauchy"):
        good = getattr(np.random.default_rng(0), draw)(400)
        for row in rows_of(good, splits=200):
            assert row["exceed_share"] <= 1 - row["confidence"] + 0.02
            assert row["exceed_share_unseen"] == pytest.approx(row["chance_unseen"], abs=0.12)


def test_a_half_promises_no_less_than_it_carries():
    row = next(row for row in rows_of(np.arange(200.0)) if row["wanted_rate"] == 0.01)
    assert not row["carried"]
    assert row["promised_rate"] == pytest.approx(1 - 0.05 ** (1 / 100), abs=1e-5)
    assert row["calibrated_on"] == 100


def test_the_chance_that_the_other_half_exceeds_by_hand_and_by_simulation():
    assert chance_to_exceed(1, 10, 10, 0.0) == pytest.approx(1 / 2)
    assert chance_to_exceed(1, 10, 10, 0.1) == pytest.approx(9 / 38)
    random = np.random.default_rng(1)
    scores = random.standard_normal((4000, 150))
    above = (scores[:, 100:] > np.sort(scores[:, :100], axis=1)[:, -2:-1]).mean(axis=1)
    assert float((above > 0.04).mean()) == pytest.approx(chance_to_exceed(2, 100, 50, 0.04), abs=0.02)


def test_recall_is_that_of_defects_no_rule_has_weighed(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(calibration_coverage, "DEFECT_SPLITS", 3)
    random = np.random.default_rng(2)
    good, test_good = (Measured(scores=random.normal(0, 1, count), means=random.normal(0, 0.1, count)) for count in (300, 80))
    defective = Measured(scores=random.normal(9, 1, 40), means=random.normal(1, 0.1, 40))
    rows = {row["rule"]: row for row in recall_rows("made", good, test_good, defective)}
    assert rows["quantile"]["recall"] == 1.0
    assert rows["quantile"]["bound"] <= 0.01
    assert rows["mean"]["false_rejects"] == pytest.approx(0.5, abs=0.15)
    assert rows["svm, both numbers"]["recall"] > 0.9
    assert all(math.isfinite(row["recall"]) for row in rows.values())
    told = page(rows_of(good.scores, splits=3, tail_splits=2), list(rows.values()), "a machine")
    assert "| made | quantile | 150 |" in told
    assert "| made | svm, both numbers | 300 |" in told
    assert "the tool itself would refuse it" not in told


def test_the_page_says_what_flatters_what_only_aims_and_where_the_tool_would_refuse():
    rows = rows_of(np.random.default_rng(0).gamma(4, size=120), splits=20, tail_splits=4)
    assert {row["rule"]: row["promises"] for row in rows} == {"quantile": True, "tail": False}
    recall = [{"set": "made", "rule": "quantile", "good": 150, "wanted_rate": 0.01, "recall": 0.5, "false_rejects": 0.0, "bound": 0.0198}]
    told = page(rows, recall, "a machine")
    assert "| made | tail | 60 | none, aims at 1.00% | 95% |" in told
    unseen = [row["exceed_share_unseen"] for row in rows if row["promises"] and row["confidence"] == 0.95]
    assert f"exceeded in {min(unseen):.0%} to {max(unseen):.0%} of splits, where 5 % is stated" in told
    assert "carry a promise of 1.98% of made, not of 1%: there the tool itself would refuse it." in told
