"""The verdict and its sentence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_inspect.config import DecisionRule, RegionRule
from edge_inspect.datatypes import Region, Scores, Verdict
from edge_inspect.decision import Decision, Limits, decide, is_finite, masked_score, mean_of_highest
from edge_inspect.errors import EngineError

ALL = np.ones((2, 2), bool)


def region(**changes):
    values = {"left": 312, "top": 88, "right": 353, "bottom": 118, "centre_x": 330.0, "centre_y": 100.0, "area_px": 800.0}
    return Region(**(values | {"area_mm2": None, "peak": 7.31, "mean": 6.0} | changes))


def limits(image_threshold=5.2, *, image_score=True, regions=None):
    rule = DecisionRule(image_score=image_score, regions=regions)
    return Limits(image_threshold=image_threshold, pixel_threshold=4.0, rule=rule)


def scores(cells, image=None):
    return Scores(map=np.array(cells, np.float32), image=image)


def decided(score=1.0, found=(), *, finite=True, **rule):
    return decide(score, found, limits(**rule), finite=finite)


def test_a_score_above_the_threshold_rejects_the_part_and_names_the_worst_region():
    decision = decided(7.31, (region(area_mm2=0.123), region(peak=6.0)))
    assert decision.verdict is Verdict.NG
    assert decision.reason == "score 7.31 above 5.20; worst of 2 regions at (312, 88), 41 x 30 px, 0.12 mm2, peak 7.31"
    assert len(decision.regions) == 2


def test_a_score_above_the_threshold_rejects_a_part_without_regions():
    assert decided(7.31).reason == "score 7.31 above 5.20"


def test_a_score_at_the_threshold_passes():
    assert decided(5.2) == Decision(verdict=Verdict.OK, reason="score 5.20 not above 5.20", regions=())


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.floats(allow_nan=False, allow_infinity=False))
def test_the_image_score_alone_decides_and_both_numbers_can_be_told_apart(score, threshold):
    decision = decided(score, image_threshold=threshold)
    assert decision.verdict is (Verdict.NG if score > threshold else Verdict.OK)
    words = decision.reason.split()
    assert (float(words[1]) > float(words[-1])) == (score > threshold)


@pytest.mark.parametrize(
    ("score", "threshold", "reason"),
    [
        (5.2004, 5.2, "score 5.2004 above 5.2000"),
        (1234.5, 1000.0, "score 1234 above 1000"),
        (0.00052, 0.0004, "score 0.000520 above 0.000400"),
        (0.0, 0.0, "score 0.00 not above 0.00"),
        (-3.0, -2.0, "score -3.00 not above -2.00"),
    ],
)
def test_numbers_have_the_digits_that_it_takes(score, threshold, reason):
    assert decided(score, image_threshold=threshold).reason == reason


def test_a_large_area_is_told_without_decimals():
    assert "41 x 30 px, 1234 mm2, peak 7.31" in decided(9.0, (region(area_mm2=1234.4),)).reason


def test_a_region_rejects_the_part_where_regions_decide():
    decision = decided(1.0, (region(),), regions=RegionRule())
    assert decision.verdict is Verdict.NG
    assert decision.reason == "1 region where none is allowed; worst at (312, 88), 41 x 30 px, peak 7.31"


def test_both_causes_are_told():
    decision = decided(6.0, (region(), region(), region()), regions=RegionRule(max_count=2))
    assert decision.reason.startswith("score 6.00 above 5.20; 3 regions where 2 are allowed; worst at (312, 88)")


@pytest.mark.parametrize(("count", "verdict"), [(0, Verdict.OK), (2, Verdict.OK), (3, Verdict.NG)])
def test_more_regions_than_allowed_reject_the_part(count, verdict):
    assert decided(1.0, (region(),) * count, regions=RegionRule(max_count=2)).verdict is verdict


def test_regions_do_not_reject_where_only_the_image_score_decides():
    decision = decided(1.0, (region(), region()))
    assert decision.verdict is Verdict.OK
    assert len(decision.regions) == 2


def test_the_image_score_does_not_reject_where_only_regions_decide():
    decision = decided(99.0, (), image_score=False, regions=RegionRule())
    assert decision == Decision(verdict=Verdict.OK, reason="no region", regions=())


def test_a_good_part_is_told_with_its_margins():
    decision = decided(3.1, (region(),), regions=RegionRule(max_count=1))
    assert decision.reason == "score 3.10 not above 5.20; 1 region where 1 is allowed"


@pytest.mark.parametrize(
    ("rule", "one", "counts"),
    [
        (RegionRule(min_area_px=800), region(), True),
        (RegionRule(min_area_px=800.1), region(), False),
        (RegionRule(min_peak=7.31), region(), True),
        (RegionRule(min_peak=7.32), region(), False),
        (RegionRule(min_area_mm2=0.5), region(area_mm2=0.5), True),
        (RegionRule(min_area_mm2=0.5), region(area_mm2=0.49), False),
        (RegionRule(min_area_mm2=0.5), region(area_mm2=None), True),
        (RegionRule(min_area_px=1, min_peak=1, min_area_mm2=1), region(area_mm2=0.5), False),
        (RegionRule(min_area_px=1, min_peak=1, min_area_mm2=1), region(area_mm2=1.5), True),
    ],
)
def test_a_region_counts_when_it_is_large_and_strong_enough(rule, one, counts):
    decision = decided(1.0, (one,), regions=rule)
    assert decision.regions == ((one,) if counts else ())
    assert (decision.verdict is Verdict.NG) == counts


@pytest.mark.parametrize(("score", "finite"), [(1.0, False), (np.nan, True), (np.inf, True), (-np.inf, True), (99.0, False)])
def test_a_score_that_is_not_finite_faults_the_part(score, finite):
    decision = decided(score, (region(),), finite=finite)
    assert decision.verdict is Verdict.FAULT
    assert decision.reason == "not inspected: the engine gave a score that is not a finite number"
    assert decision.regions == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["map", "image"])
def test_one_number_that_is_not_finite_is_seen_anywhere(bad, where):
    assert is_finite(scores([[1, 2], [3, 4]], image=4.0))
    assert not is_finite(scores([[1, 2], [3, bad]], image=4.0) if where == "map" else scores([[1, 2], [3, 4]], image=bad))


def test_a_map_without_an_image_score_can_be_finite():
    assert is_finite(scores([[1, 2], [3, 4]]))


def test_the_engines_own_score_is_taken_as_it_is():
    assert masked_score(scores([[1, 2], [3, 4]], image=9.5), ALL, highest_cells=None) == 9.5


def test_an_engine_without_the_score_it_promised_is_an_error():
    with pytest.raises(EngineError, match="no image score, but its manifest says that it has its own"):
        masked_score(scores([[1, 2], [3, 4]]), ALL, highest_cells=None)


def test_the_maximum_is_taken_over_searched_cells_only():
    got = masked_score(scores([[1, 2], [3, 4]], image=4.0), np.array([[True, True], [False, False]]), highest_cells=1)
    assert got == 2
    assert type(got) is float


def test_a_score_below_zero_is_not_clamped():
    assert masked_score(scores([[-5, -2], [-3, -4]]), ALL, highest_cells=1) == -2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_cell_that_is_not_finite_shows_in_the_masked_score(bad):
    assert not np.isfinite(masked_score(scores([[1, bad], [3, 4]]), ALL, highest_cells=1))


@pytest.mark.parametrize(("count", "wanted"), [(1, 4), (2, 3.5), (3, 3), (4, 2.5), (9, 2.5)])
def test_the_mean_of_the_highest_cells_is_that_of_all_where_there_are_fewer(count, wanted):
    assert masked_score(scores([[1, 2], [4, 3]], image=99.0), ALL, highest_cells=count) == wanted


def test_the_highest_cells_are_those_that_are_searched():
    assert masked_score(scores([[9, 2], [4, 3]]), np.array([[False, True], [True, True]]), highest_cells=2) == 3.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_searched_cell_that_is_not_finite_shows_in_the_mean_of_the_highest(bad, count):
    assert not np.isfinite(masked_score(scores([[1, bad], [3, 4]]), ALL, highest_cells=count))


def test_a_part_of_which_nothing_is_searched_has_no_finite_score():
    assert masked_score(scores([[1, 2], [3, 4]]), ~ALL, highest_cells=2) == -np.inf


CELLS = arrays(np.float32, (6, 5), elements=st.floats(-1000, 1000, width=32))


@given(CELLS, arrays(np.bool_, (6, 5)), st.integers(1, 12))
def test_a_mask_never_raises_the_mean_of_the_highest_while_so_many_cells_are_searched(cells, searched, count):
    searched.flat[:count] = True
    everywhere = masked_score(scores(cells), np.ones((6, 5), bool), highest_cells=count)
    assert masked_score(scores(cells), searched, highest_cells=count) <= everywhere <= cells.max()


@given(CELLS, st.integers(1, 40), st.randoms(use_true_random=False))
def test_the_mean_of_the_highest_has_the_same_bits_wherever_the_cells_lie(cells, count, random):
    turned = list(cells.flat)
    random.shuffle(turned)
    got = mean_of_highest(cells.reshape(-1), count)
    assert got == mean_of_highest(np.array(turned, np.float32), count)
    assert got == pytest.approx(sum(sorted(map(float, turned))[-count:]) / min(count, 30), rel=1e-9, abs=1e-9)
