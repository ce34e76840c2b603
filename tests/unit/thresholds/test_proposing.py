"""Every rule by name: what is offered for which sample, and what its promise says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge_inspect.config import DecisionRule, RegionRule
from edge_inspect.thresholds import proposing
from edge_inspect.thresholds.proposing import RULES, Scores, Wanted, parts_to_promise, rules_for

RANDOM = np.random.default_rng(0)
GOOD = tuple(RANDOM.gamma(4, size=60).tolist())
DEFECTIVE = tuple((8 + RANDOM.gamma(4, size=20)).tolist())


def test_rules_that_need_defects_are_offered_only_when_there_are_some():
    assert list(rules_for(Scores(good=GOOD))) == ["quantile", "tail", "mean"]
    assert list(rules_for(Scores(good=GOOD, defective=DEFECTIVE)))[:6] == ["quantile", "tail", "mean", "f1", "youden", "recall90"]


@pytest.mark.parametrize(("there", "offered"), [(object(), ["svm"]), (None, [])])
def test_the_rule_of_an_extra_is_offered_where_its_package_is_there(monkeypatch, there, offered):
    monkeypatch.setattr(proposing, "find_spec", {"sklearn": there}.get)
    assert list(rules_for(Scores(good=GOOD, defective=DEFECTIVE)))[6:] == offered
    assert "svm" not in rules_for(Scores(good=GOOD))


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.package is None])
def test_every_rule_proposes_one_threshold_for_both_where_the_image_score_is_the_largest_cell(name):
    proposal = RULES[name].propose(Scores(good=GOOD, defective=DEFECTIVE), Wanted())
    assert proposal.rule == name
    assert proposal.image_threshold == proposal.pixel_threshold
    assert RULES[name].source


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.package is None])
def test_a_model_with_an_image_score_of_its_own_gets_two_thresholds_by_the_same_rule(name):
    other = tuple(10 * score + 1 for score in GOOD), tuple(10 * score + 1 for score in DEFECTIVE)
    proposal = RULES[name].propose(Scores(good=GOOD, defective=DEFECTIVE, good_peaks=other[0], defective_peaks=other[1]), Wanted())
    assert proposal.pixel_threshold == pytest.approx(10 * proposal.image_threshold + 1, rel=1e-6)


def test_sixty_good_parts_are_too_few_for_one_in_a_hundred_and_the_proposal_says_so():
    proposal = RULES["quantile"].propose(Scores(good=GOOD), Wanted(rate=0.01))
    assert not proposal.carried
    assert proposal.bound == pytest.approx(0.0487, abs=1e-4)
    assert "needs 299 held-out good parts" in proposal.promise
    assert RULES["quantile"].propose(Scores(good=GOOD), Wanted(rate=0.05)).carried


def test_two_thresholds_that_may_each_reject_keep_the_promise_together():
    scores, decision = Scores(good=GOOD, good_peaks=GOOD), DecisionRule(regions=RegionRule())
    wanted = Wanted(rate=0.2, decision=decision)
    proposal = RULES["quantile"].propose(scores, wanted)
    assert proposal.carried
    assert proposal.bound <= 0.2
    assert "with 95 % confidence at most" in proposal.promise
    assert parts_to_promise(scores, wanted) == 36
    assert parts_to_promise(Scores(good=GOOD), wanted) == 14
    by_regions = Wanted(rate=0.2, decision=DecisionRule(image_score=False, regions=RegionRule()))
    assert parts_to_promise(scores, by_regions) == 14


def test_the_tail_says_that_it_promises_nothing_and_what_a_promise_would_need():
    proposal = RULES["tail"].propose(Scores(good=GOOD), Wanted(rate=0.01))
    assert proposal.bound is None
    assert proposal.promise.startswith("No promise, an extrapolation")
    assert "needs 299 good parts" in proposal.promise


def test_the_tail_points_to_the_promise_where_the_parts_carry_one():
    promise = RULES["tail"].propose(Scores(good=GOOD), Wanted(rate=0.06)).promise
    assert promise.endswith("These 60 good parts carry a promise of that: take --rule quantile.")
    assert "needs" not in promise


def test_how_a_threshold_was_made_is_said_as_people_count():
    assert (
        RULES["quantile"].propose(Scores(good=GOOD), Wanted()).described
        == "the highest of 60 good scores; one threshold for picture and place"
    )
    apart = RULES["quantile"].propose(Scores(good=GOOD, good_peaks=GOOD), Wanted(rate=0.2)).described
    assert re.fullmatch(r"the \d+th highest of 60 good scores; one threshold for the picture, one for the place", apart)


def test_a_tail_that_does_not_fit_is_not_carried():
    lump = (*GOOD, *GOOD, *GOOD, *(100 + RANDOM.normal(size=25)).tolist())
    proposal = RULES["tail"].propose(Scores(good=lump), Wanted(rate=0.001))
    assert not proposal.carried
    assert "do not look like a tail" in proposal.promise


def test_a_rule_chosen_on_its_own_parts_promises_nothing_and_says_what_it_does_to_them():
    proposal = RULES["youden"].propose(Scores(good=(1.0, 2.0, 9.0), defective=(1.5, 8.0, 9.5)), Wanted())
    assert proposal.bound is None
    assert proposal.promise.startswith("None: chosen on these very parts, of which ")
    assert "of 3 good ones are rejected and" in proposal.promise


def test_the_support_vector_machine_is_read_between_the_averages_of_both_sides():
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra evaluate")
    random = np.random.default_rng(1)
    means = [tuple(random.normal(1.0, 0.01, count).tolist()) for count in (40, 15)]
    good, defective = tuple(random.normal(2.0, 0.2, 40).tolist()), tuple(random.normal(6.0, 0.2, 15).tolist())
    scores = Scores(good=good, defective=defective, good_means=means[0], defective_means=means[1])
    threshold = RULES["svm"].propose(scores, Wanted()).image_threshold
    assert max(good) < threshold < min(defective)


def test_the_support_vector_machine_needs_maps_and_says_so():
    with pytest.raises(ValueError, match="it needs every part's map"):
        RULES["svm"].propose(Scores(good=GOOD, defective=DEFECTIVE), Wanted())
