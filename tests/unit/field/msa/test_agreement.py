"""The study's figures against hand computation, scikit-learn and scipy."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.field.msa.agreement import LIMITS, Presentation, Standing, agreement, kappa

OK, NG, FAULT = Verdict.OK, Verdict.NG, Verdict.FAULT


def shown(part, good, *verdicts):
    return [Presentation(part=part, good=good, trial=str(n), verdict=verdict) for n, verdict in enumerate(verdicts)]


def figures(study):
    return {one.name: one for one in study.figures}


@pytest.fixture
def small():
    """Ten parts shown twice: one good part rejected once, one defective part passed both times, one that ends in a FAULT once."""
    found = [one for n in range(5) for one in shown(f"g{n}", True, OK, OK)]
    found += shown("g5", True, OK, NG)
    found += [one for n in range(2) for one in shown(f"b{n}", False, NG, NG)]
    return agreement(found + shown("b2", False, OK, OK) + shown("b3", False, NG, FAULT))


def test_every_figure_is_what_a_pencil_says(small):
    found = figures(small)
    assert small.counts == (5, 2, 11, 1)
    assert small.faults == 1
    assert found["effectiveness"].value == pytest.approx(7 / 10)
    assert found["miss rate"].value == pytest.approx(2 / 7)
    assert found["false alarm rate"].value == pytest.approx(1 / 12)
    assert found["repeatability"].value == pytest.approx(8 / 10)
    assert found["defective parts passed at least once"].value == pytest.approx(1 / 4)
    assert found["good parts rejected at least once"].value == pytest.approx(1 / 6)
    # agreed 16 of 19; by chance (7 * 6 + 12 * 13) / 19^2
    assert found["kappa"].value == pytest.approx((16 / 19 - 198 / 361) / (1 - 198 / 361))
    assert [one[0].part for one in small.wrong] == ["g5", "b2", "b3"]


def test_each_figure_stands_where_its_limit_says_and_the_worst_counts(small):
    found = figures(small)
    assert found["effectiveness"].standing is Standing.NOT_ACCEPTED
    assert found["false alarm rate"].standing is Standing.MARGINAL
    assert found["kappa"].standing is Standing.MARGINAL
    assert found["repeatability"].standing is None
    assert small.standing is Standing.NOT_ACCEPTED


@pytest.mark.parametrize(
    ("name", "value", "standing"),
    [
        ("effectiveness", 0.90, "accepted"),
        ("effectiveness", 0.89, "marginal"),
        ("effectiveness", 0.79, "not accepted"),
        ("miss rate", 0.02, "accepted"),
        ("miss rate", 0.05, "marginal"),
        ("miss rate", 0.051, "not accepted"),
        ("false alarm rate", 0.05, "accepted"),
        ("false alarm rate", 0.10, "marginal"),
        ("false alarm rate", 0.11, "not accepted"),
        ("kappa", 0.75, "accepted"),
        ("kappa", 0.4, "marginal"),
        ("kappa", 0.39, "not accepted"),
    ],
)
def test_the_customary_limits_include_their_bound(name, value, standing):
    assert LIMITS[name].standing(value).value == standing


def test_a_small_study_without_a_mistake_is_accepted_but_does_not_carry_it():
    study = agreement([*shown("g", True, OK, OK), *shown("b", False, NG, NG)])
    assert study.standing is Standing.ACCEPTED
    assert not any(one.carried for one in study.figures)


def test_a_large_study_without_a_mistake_carries_every_limit():
    study = agreement([one for n in range(200) for one in (*shown(f"g{n}", True, OK), *shown(f"b{n}", False, NG))])
    assert all(one.carried for one in study.figures if one.standing)


def test_one_marginal_figure_makes_the_study_marginal():
    found = [one for n in range(20) for one in (*shown(f"g{n}", True, OK), *shown(f"b{n}", False, NG))]
    found[0] = shown("g0", True, NG)[0]  # one of 20 good parts is 5 %; two are 10 %
    found[2] = shown("g1", True, NG)[0]
    assert agreement(found).standing is Standing.MARGINAL


def test_a_fault_is_never_an_ok_and_a_part_of_faults_alone_is_not_repeated():
    study = agreement([*shown("g", True, FAULT, FAULT), *shown("b", False, NG, NG)])
    found = figures(study)
    assert study.faults == 2
    assert found["effectiveness"].value == 0.5
    assert found["repeatability"].value == 0.5
    assert found["false alarm rate"].value is None
    assert (found["kappa"].value, found["kappa"].low, found["kappa"].high) == (None, -1, 1)
    assert study.standing is Standing.NOT_ACCEPTED


@pytest.mark.parametrize(
    ("presentations", "wanted"),
    [
        (shown("a", True, OK) + shown("a", False, NG), "good and defective"),
        (shown("a", True, OK) * 2 + shown("b", False, NG), "stands there twice"),
        (shown("a", True, OK), "only one kind"),
        ([], "only one kind"),
    ],
)
def test_what_is_no_study_is_refused(presentations, wanted):
    with pytest.raises(ConfigError, match=wanted):
        agreement(presentations)


def test_a_study_tells_when_parts_were_shown_once_or_unequally_often():
    assert "repeatability" in agreement([*shown("g", True, OK), *shown("b", False, NG)]).told[0]
    assert "1 to 2 times" in agreement([*shown("g", True, OK, OK), *shown("b", False, NG)]).told[0]
    assert agreement([*shown("g", True, OK, OK), *shown("b", False, NG, NG)], told=["known"]).told == ("known",)


verdicts = st.lists(st.sampled_from([OK, NG]), min_size=1, max_size=12)


@settings(deadline=None)  # the first example imports the library
@given(good=verdicts, bad=verdicts)
def test_kappa_is_that_of_scikit_learn(good, bad):
    metrics = pytest.importorskip("sklearn.metrics")
    known, said = ["OK"] * len(good) + ["NG"] * len(bad), [one.value for one in good + bad]
    found = figures(agreement([*shown("g", True, *good), *shown("b", False, *bad)]))["kappa"]
    assert found.value == pytest.approx(metrics.cohen_kappa_score(known, said), abs=1e-12)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9


@settings(deadline=None)  # the first example imports the library
@given(good=verdicts, bad=verdicts)
def test_the_intervals_are_those_of_clopper_and_pearson(good, bad):
    stats = pytest.importorskip("scipy.stats")
    for one in agreement([*shown("g", True, *good), *shown("b", False, *bad)]).figures:
        if one.of:
            wanted = stats.binomtest(one.seen, one.of).proportion_ci(0.95, method="exact")
            assert (one.low, one.high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


rates = st.floats(0, 1)


@given(share=st.floats(0.01, 0.99), miss=rates, more=rates, alarm=rates)
def test_kappa_falls_with_either_error_so_that_corners_bound_it(share, miss, more, alarm):
    low, high = sorted((miss, more))
    assert kappa(bad_share=share, miss=high, false_alarm=alarm) <= kappa(bad_share=share, miss=low, false_alarm=alarm) + 1e-9
    assert kappa(bad_share=share, miss=alarm, false_alarm=high) <= kappa(bad_share=share, miss=alarm, false_alarm=low) + 1e-9
