import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from edge_inspect.datatypes import Verdict
from edge_inspect.workshop.evaluation.intervals import bootstrap, weighted_auroc, weighted_average_precision
from edge_inspect.workshop.evaluation.outcomes import image_figures, outcomes_of

pytestmark = pytest.mark.workshop


def made_up(good=40, defective=60, *, seed=0, gap=1.0):
    random = np.random.default_rng(seed)
    scores = [("good", float(score)) for score in random.normal(0, 1, good)]
    scores += [("dent", float(score)) for score in random.normal(gap, 1, defective)]
    return outcomes_of((kind, score, Verdict.NG if score > 1 else Verdict.OK) for kind, score in scores)


@pytest.mark.parametrize("decimals", [0, 1, 6], ids=["many ties", "some ties", "no ties"])
def test_weighted_figures_are_those_of_scikit_learn(decimals):
    random = np.random.default_rng(decimals)
    defective = random.random(50) < 0.4
    scores = np.round(random.normal(0, 1, 50) + defective, decimals)
    weights = random.integers(0, 4, (7, 50)).astype(float)
    wanted_auroc = [roc_auc_score(defective, scores, sample_weight=row) for row in weights]
    wanted_precision = [average_precision_score(defective, scores, sample_weight=row) for row in weights]
    assert weighted_auroc(defective, scores, weights) == pytest.approx(wanted_auroc)
    assert weighted_average_precision(defective, scores, weights) == pytest.approx(wanted_precision)


def test_the_figure_itself_lies_in_its_interval():
    outcomes = made_up()
    figures, intervals = image_figures(outcomes), bootstrap(outcomes)
    wanted = {
        "image_auroc": figures.auroc,
        "image_ap": figures.average_precision,
        "f1": figures.f1,
        "recall": figures.recall,
        "false_reject_rate": figures.false_reject_rate,
    }
    assert set(intervals) == set(wanted)
    for name, value in wanted.items():
        assert intervals[name].low < value < intervals[name].high, name


def test_an_interval_of_a_rate_is_as_wide_as_the_binomial_distribution_says():
    outcomes = outcomes_of([("good", float(i), Verdict.NG if i < 50 else Verdict.OK) for i in range(200)] + [("dent", 1.0, Verdict.NG)])
    interval = bootstrap(outcomes)["false_reject_rate"]
    half = 1.96 * (0.25 * 0.75 / 200) ** 0.5
    assert interval.low == pytest.approx(0.25 - half, abs=0.01)
    assert interval.high == pytest.approx(0.25 + half, abs=0.01)


def test_good_and_defective_parts_are_drawn_each_from_their_own():
    """One good part among many: drawn from all, it would be missing from a third of the resamples."""
    outcomes = outcomes_of([("good", 0.0, Verdict.OK), *[("dent", float(i), Verdict.NG) for i in range(30)]])
    intervals = bootstrap(outcomes)
    assert np.isfinite([intervals["image_auroc"].low, intervals["false_reject_rate"].high]).all()


def test_the_same_seed_gives_the_same_intervals_and_another_one_does_not():
    outcomes = made_up()
    assert bootstrap(outcomes, seed=1) == bootstrap(outcomes, seed=1)
    assert bootstrap(outcomes, seed=1) != bootstrap(outcomes, seed=2)


def test_pictures_of_one_part_make_wider_intervals_than_parts_of_their_own():
    """Each part four times: four alike pictures say no more than one."""
    one = made_up(good=20, defective=20)
    rows = zip(one.kinds, one.scores, one.rejected, strict=True)
    fourfold = outcomes_of((kind, score, Verdict.NG if rejected else Verdict.OK) for kind, score, rejected in rows for _ in range(4))
    parts = [f"{index:02}" for index in range(40) for _ in range(4)]
    alone, together = bootstrap(fourfold)["image_auroc"], bootstrap(fourfold, parts)["image_auroc"]
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert together == bootstrap(one)["image_auroc"]


def test_without_scores_only_the_verdicts_have_intervals():
    outcomes = outcomes_of([("good", None, Verdict.FAULT), ("dent", 1.0, Verdict.NG)])
    assert set(bootstrap(outcomes)) == {"f1", "recall", "false_reject_rate"}


def test_a_resample_without_scores_on_one_side_does_not_spoil_the_interval():
    rows = [("good", 1.0, Verdict.OK), ("good", None, Verdict.FAULT), ("dent", 2.0, Verdict.NG), ("dent", None, Verdict.FAULT)]
    assert bootstrap(outcomes_of(rows))["image_auroc"].low == 1.0
