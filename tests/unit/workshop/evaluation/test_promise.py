import pytest

from edge_inspect.datatypes import Verdict
from edge_inspect.workshop.evaluation.outcomes import outcomes_of
from edge_inspect.workshop.evaluation.promise import held_against

pytestmark = pytest.mark.workshop


def rows(rejected, passed):
    good = [("good", 1.0, Verdict.NG)] * rejected + [("good", 1.0, Verdict.OK)] * passed
    return outcomes_of([*good, ("dent", 9.0, Verdict.NG)])


def test_a_bound_that_is_kept_is_not_called_broken():
    promise = held_against(rows(1, 99), None, sentence="at most 3 %", bound=0.03)
    assert (promise.parts, promise.rejected) == (100, 1)
    assert promise.chance == pytest.approx(1 - 0.97**100)
    assert not promise.broken


def test_a_few_rejects_above_the_bound_may_be_chance():
    promise = held_against(rows(4, 96), None, sentence="at most 3 %", bound=0.03)
    assert promise.rejected / promise.parts > 0.03
    assert not promise.broken


def test_many_rejects_break_the_promise():
    assert held_against(rows(10, 90), None, sentence="at most 3 %", bound=0.03).broken


def test_no_reject_among_few_parts_does_not_prove_a_rate_of_nothing():
    promise = held_against(rows(0, 41), None, sentence="", bound=None)
    assert promise.low == 0
    assert promise.high == pytest.approx(1 - 0.025 ** (1 / 41))
    assert (promise.chance, promise.broken) == (None, False)


def test_a_part_is_rejected_when_one_of_its_pictures_is():
    promise = held_against(rows(2, 4), ["a", "b", "a", "b", "c", "c", "a"], sentence="", bound=0.01)
    assert (promise.parts, promise.rejected) == (3, 2)
