import pytest

from edge_inspect.datatypes import Verdict
from edge_inspect.workshop.evaluation.outcomes import defect_figures, image_figures, outcomes_of

pytestmark = pytest.mark.workshop
OK, NG, FAULT = Verdict.OK, Verdict.NG, Verdict.FAULT

ROWS = [
    ("good", 1.0, OK),
    ("good", 2.0, OK),
    ("good", 3.0, OK),
    ("good", 6.0, NG),
    ("dent", 5.0, NG),
    ("dent", 7.0, NG),
    ("scratch", 2.5, OK),
    ("scratch", 8.0, NG),
]


def test_figures_are_those_counted_by_hand():
    figures = image_figures(outcomes_of(ROWS))
    assert figures.auroc == pytest.approx((3 + 4 + 2 + 4) / 16)
    assert figures.average_precision == pytest.approx((1 + 1 + 3 / 4 + 4 / 6) / 4)
    assert figures.precision == pytest.approx(3 / 4)
    assert figures.recall == pytest.approx(3 / 4)
    assert figures.f1 == pytest.approx(3 / 4)
    assert figures.false_reject_rate == pytest.approx(1 / 4)


def test_ties_count_half():
    assert image_figures(outcomes_of([("good", 1.0, OK), ("dent", 1.0, OK)])).auroc == 0.5


def test_each_kind_is_held_against_all_good_parts():
    figures = defect_figures(outcomes_of(ROWS))
    assert list(figures) == ["dent", "scratch"]
    assert (figures["dent"].images, figures["dent"].auroc, figures["dent"].recall) == (2, pytest.approx(7 / 8), 1.0)
    assert (figures["scratch"].images, figures["scratch"].auroc, figures["scratch"].recall) == (2, pytest.approx(6 / 8), 0.5)


def test_the_verdict_is_the_recipes_and_not_the_scores():
    """A recipe may decide by regions: a high score can pass, a low one can be rejected."""
    figures = image_figures(outcomes_of([("good", 1.0, NG), ("dent", 9.0, OK)]))
    assert (figures.auroc, figures.recall, figures.false_reject_rate) == (1.0, 0.0, 1.0)


def test_a_part_that_was_not_inspected_leaves_as_reject_and_has_no_score():
    outcomes = outcomes_of([*ROWS, ("good", None, FAULT), ("dent", None, FAULT)])
    figures = image_figures(outcomes)
    assert outcomes.faults == 2
    assert figures.auroc == image_figures(outcomes_of(ROWS)).auroc
    assert figures.false_reject_rate == pytest.approx(2 / 5)
    assert figures.recall == pytest.approx(4 / 5)


def test_nothing_rejected_has_no_precision():
    figures = image_figures(outcomes_of([("good", 1.0, OK), ("dent", 2.0, OK)]))
    assert (figures.precision, figures.f1, figures.recall) == (None, 0.0, 0.0)


def test_without_scores_on_one_side_there_is_no_auroc():
    figures = image_figures(outcomes_of([("good", None, FAULT), ("dent", 2.0, NG)]))
    assert (figures.auroc, figures.average_precision) == (None, None)
    assert defect_figures(outcomes_of([("good", None, FAULT), ("dent", 2.0, NG)]))["dent"].auroc is None
