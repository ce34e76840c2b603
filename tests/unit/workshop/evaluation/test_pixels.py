"""AUPRO against a slow reference that follows the definition word by word, and where the score map is read."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from edge_inspect.config import RegionOfInterest
from edge_inspect.datatypes import Verdict
from edge_inspect.geometry import place
from edge_inspect.workshop.evaluation.judging import Judged, Seen
from edge_inspect.workshop.evaluation.labelled import Labelled
from edge_inspect.workshop.evaluation.pixels import (
    PixelCounts,
    figures_from_counts,
    frame_scores,
    pixel_figures,
    thresholds_from_cells,
)
from tests.unit.workshop.evaluation.conftest import write

pytestmark = pytest.mark.workshop


def slow_aupro(maps, masks, limit):
    """Every different score a threshold, every region by itself, trapezoids, and a straight cut at the limit."""
    good = np.concatenate([scores[~mask] for scores, mask in zip(maps, masks, strict=True)])
    regions = []
    for scores, mask in zip(maps, masks, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [scores[labels == label] for label in range(1, count)]
    thresholds = np.unique(np.concatenate([scores.ravel() for scores in maps]))[::-1]
    overlaps = [float(np.mean([np.mean(region >= threshold) for region in regions])) for threshold in thresholds]
    points = [(0.0, 0.0), *zip([float(np.mean(good >= threshold)) for threshold in thresholds], overlaps, strict=True)]
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            cut = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            return (area + (y0 + cut) / 2 * (limit - x0)) / limit
        area += (y0 + y1) / 2 * (x1 - x0)
    return area / limit


def made_up(seed, *, levels=None, count=6, side=40):
    """Smooth maps, higher on two regions of different size in every second picture."""
    random = np.random.default_rng(seed)
    maps, masks = [], []
    for number in range(count):
        mask = np.zeros((side, side), bool)
        if number % 2:
            mask[4:10, 5:25] = mask[30:33, 30:34] = True
        scores = cv2.GaussianBlur(random.gamma(2, 3, (side, side)), (5, 5), 1) + 2.5 * mask
        maps.append((np.rint(scores * levels) / levels if levels else scores).astype(np.float32))
        masks.append(mask)
    return maps, masks


def counted(maps, masks):
    counts = PixelCounts(thresholds_from_cells(maps))
    for scores, mask in zip(maps, masks, strict=True):
        counts.add(scores, mask)
    return figures_from_counts(counts)


@pytest.mark.parametrize("seed", range(3))
def test_aupro_of_few_different_scores_is_exactly_that_of_the_definition(seed):
    maps, masks = made_up(seed, levels=4)
    figures = counted(maps, masks)
    assert figures.aupro_30 == pytest.approx(slow_aupro(maps, masks, 0.30), abs=1e-9)
    assert figures.aupro_05 == pytest.approx(slow_aupro(maps, masks, 0.05), abs=1e-9)
    assert 0.1 < figures.aupro_05 < figures.aupro_30 < 0.95


@pytest.mark.parametrize("seed", range(3))
def test_aupro_and_auroc_of_continuous_scores_agree_to_a_thousandth(seed):
    maps, masks = made_up(seed)
    figures = counted(maps, masks)
    assert figures.aupro_30 == pytest.approx(slow_aupro(maps, masks, 0.30), abs=1e-3)
    assert figures.aupro_05 == pytest.approx(slow_aupro(maps, masks, 0.05), abs=1e-3)
    assert figures.auroc == pytest.approx(roc_auc_score(np.ravel(masks), np.ravel(maps)), abs=1e-3)


def test_figures_do_not_depend_on_the_scale_of_the_scores():
    maps, masks = made_up(0, levels=4)
    assert counted([np.exp(2 * scores) for scores in maps], masks) == counted(maps, masks)


def test_a_perfect_map_is_1_and_an_empty_one_is_what_chance_gives():
    mask = np.zeros((40, 40), bool)
    mask[5:8, 5:8] = True
    perfect, empty = counted([mask.astype(np.float32)], [mask]), counted([np.zeros((40, 40), np.float32)], [mask])
    assert (perfect.auroc, perfect.aupro_30, perfect.aupro_05) == (1.0, 1.0, 1.0)
    assert (empty.auroc, empty.aupro_30, empty.aupro_05) == (0.5, pytest.approx(0.15), pytest.approx(0.025))


def test_a_small_region_counts_as_much_as_a_large_one():
    mask = np.zeros((40, 40), bool)
    mask[2:22, 2:22] = mask[30, 30] = True
    small, large = (np.zeros((40, 40), np.float32) for _ in range(2))
    small[30, 30], large[2:22, 2:22] = 1, 1
    assert counted([small], [mask]).aupro_30 == pytest.approx(counted([large], [mask]).aupro_30)
    assert counted([small], [mask]).regions == 2


def test_pixels_that_touch_at_a_corner_are_one_region():
    mask = np.zeros((40, 40), bool)
    mask[3, 3] = mask[4, 4] = True
    assert counted([mask.astype(np.float32)], [mask]).regions == 1


def seen(score_map, region=None, *, width, height, searched=None):
    cells = np.ones(score_map.shape, bool) if searched is None else searched
    placement = place(width, height, region, width=4 * score_map.shape[1], height=4 * score_map.shape[0], channels=1)
    return Seen(score_map=score_map.astype(np.float32), placement=placement, searched=cells)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (203, 512), (500, 419), (31, 17), (1, 1), (1023, 7)])
def test_a_map_over_the_whole_frame_covers_every_pixel_of_it(width, height):
    scores = frame_scores(seen(np.random.default_rng(0).random((12, 16)), width=width, height=height), width=width, height=height)
    assert scores.shape == (height, width)
    assert np.isfinite(scores).all()


def test_the_map_is_read_where_its_cells_lie():
    """A ramp over the cells is the same ramp over the pixels; beyond the outermost cell centres it stays level."""
    ramp = np.tile(np.arange(16.0), (12, 1))
    row = frame_scores(seen(ramp, width=128, height=96), width=128, height=96)[50]
    assert row[4:124] == pytest.approx((np.arange(4, 124) + 0.5) / 8 - 0.5, abs=0.05)
    assert (row[0], row[-1]) == (0, 15)


def test_a_turned_region_of_interest_is_laid_back_where_it_was():
    hot = np.zeros((12, 16))
    hot[:, :2] = 9
    region = RegionOfInterest(left=40, top=20, width=64, height=48, rotation_deg=180)
    scores = frame_scores(seen(hot, region, width=160, height=100), width=160, height=100)
    assert scores[44, 100] == pytest.approx(9)
    assert scores[44, 44] == pytest.approx(0)
    assert np.isneginf(scores[44, 30])
    assert np.count_nonzero(np.isfinite(scores)) == 64 * 48


def test_what_is_not_searched_has_no_score():
    searched = np.ones((12, 16), bool)
    searched[:, 8:] = False
    scores = frame_scores(seen(np.ones((12, 16)), width=64, height=48, searched=searched), width=64, height=48)
    assert np.isfinite(scores[:, :32]).all()
    assert np.isneginf(scores[:, 32:]).all()


def test_a_defect_that_is_not_searched_is_missed_and_a_good_pixel_there_is_left_out():
    scores, mask = np.zeros((40, 40), np.float32), np.zeros((40, 40), bool)
    mask[:10] = True
    scores[:10] = 1
    scores[:5] = -np.inf
    scores[30:] = -np.inf
    counts = PixelCounts(thresholds_from_cells([np.array([[0.0, 1.0]], np.float32)]))
    counts.add(scores, mask)
    assert counts.good.sum() == 20 * 40
    figures = figures_from_counts(counts)
    assert figures.aupro_30 == pytest.approx(0.5)
    assert figures.auroc == pytest.approx(0.5)


def judged(kind, *, mask=None, level=0.0, verdict=Verdict.OK):
    at = None if verdict is Verdict.FAULT else seen(np.full((12, 16), level), width=64, height=48)
    return Judged(
        image=Labelled(picture=mask or Path("x.png"), kind=kind, mask=mask),
        verdict=verdict,
        score=None if at is None else level,
        seen=at,
        frame_width=64,
        frame_height=48,
        duration_ms=1.0,
        look=(0.0, 0.0, 0.0, 0.0),
    )


def test_without_masks_there_are_no_pixel_figures_and_it_is_said_why(tmp_path):
    without = judged("dent", mask=tmp_path / "missing.png")
    figures, left_out = pixel_figures([judged("good"), without])
    assert figures is None
    assert "missing.png: cannot be read" in left_out[0]


def test_one_picture_without_a_mask_leaves_the_others(tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:20] = 255
    write(tmp_path / "mask.png", mask)
    rows = [judged("good"), judged("dent", mask=tmp_path / "mask.png"), judged("dent", mask=tmp_path / "missing.png")]
    figures, left_out = pixel_figures(rows)
    assert figures is not None
    assert (figures.images, figures.regions, len(left_out)) == (2, 1, 1)


def test_a_part_that_was_not_inspected_has_no_pixels():
    figures, left_out = pixel_figures([judged("good", verdict=Verdict.FAULT)])
    assert figures is None
    assert "was not inspected" in left_out[0]


def test_many_cells_are_thinned_out_and_the_extremes_stay(monkeypatch):
    monkeypatch.setattr("edge_inspect.workshop.evaluation.pixels.MOST_CELLS", 100)
    maps = [np.random.default_rng(seed).random((50, 50)).astype(np.float32) for seed in range(3)]
    thresholds = thresholds_from_cells(maps)
    assert len(thresholds) <= 110
    assert (thresholds[0], thresholds[-1]) == (np.min(maps), np.max(maps))
