"""From a frame to a finding, with the tiny engine whose scores can be predicted."""

from __future__ import annotations

import gc
import time
import tracemalloc
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Frame, Verdict
from edge_inspect.errors import CameraError, ConfigError, EngineError, PartNotLocated
from edge_inspect.inspector import open_inspector
from edge_inspect.model_folder import Golden, open_model_folder, write_model_folder
from tests.conftest import MODELS, write_part


def frame(width=128, height=96, *, spot=None):
    pixels = np.full((height, width, 3), 128, np.uint8)
    if spot:
        left, top, size = spot
        pixels[top : top + size, left : left + size] = 208
    now = time.monotonic_ns()
    return Frame(pixels=pixels, sequence=1, exposed_ns=now, taken_at=datetime.now(timezone.utc), camera="test")


def opened(tmp_path, extra="", **options):
    return open_inspector(write_part(tmp_path / "cell", extra=extra, **options), PluginBlock(kind="onnx"), base=tmp_path)


def test_a_defect_is_found_where_it_lies_in_the_frame(tmp_path):
    with opened(tmp_path, "mm_per_px: 0.5\n") as inspector:
        finding = inspector.inspect(frame(spot=(32, 48, 16)))
    assert finding.verdict is Verdict.NG
    assert finding.score == pytest.approx(80)
    [region] = finding.regions
    assert (region.left, region.top, region.right, region.bottom) == (32, 48, 48, 64)
    assert region.area_px == pytest.approx(256)
    assert region.area_mm2 == pytest.approx(64)


def test_the_same_frame_gets_the_same_bits_again(tmp_path):
    shown = frame(spot=(30, 41, 13))
    with opened(tmp_path) as inspector:
        first, again = inspector.inspect(shown), inspector.inspect(shown)
    assert first.scores.map.tobytes() == again.scores.map.tobytes()
    assert (first.verdict, first.score, first.regions) == (again.verdict, again.score, again.regions)


def test_a_defect_under_a_mask_counts_neither_for_the_score_nor_as_a_region(tmp_path):
    masks = "masks: {ignore: [[[24, 40], [56, 40], [56, 72], [24, 72]]]}\n"
    with opened(tmp_path, masks) as inspector:
        finding = inspector.inspect(frame(spot=(32, 48, 16)))
    assert finding.verdict is Verdict.OK
    assert finding.score == 0
    assert finding.regions == ()


def test_a_region_of_interest_is_all_the_engine_sees(tmp_path):
    region = "region_of_interest: {left: 64, top: 0, width: 64, height: 48}\n"
    with opened(tmp_path, region) as inspector:
        assert inspector.inspect(frame(spot=(0, 0, 16))).verdict is Verdict.OK
        finding = inspector.inspect(frame(spot=(96, 16, 8)))
    assert (finding.regions[0].left, finding.regions[0].top) == (96, 16)


def test_parts_can_be_decided_by_regions_alone(tmp_path):
    rule = "decision: {image_score: false, regions: {min_area_px: 100, max_count: 1}}\n"
    with opened(tmp_path, rule) as inspector:
        assert inspector.inspect(frame(spot=(32, 48, 16))).verdict is Verdict.OK
        two = frame(spot=(32, 48, 16))
        pixels = np.array(two.pixels)
        pixels[0:16, 96:112] = 208
        finding = inspector.inspect(Frame(pixels=pixels, sequence=2, exposed_ns=0, taken_at=two.taken_at, camera="test"))
    assert finding.verdict is Verdict.NG
    assert len(finding.regions) == 2


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("frame: {width: 64, height: 48}\n", "the recipe is made for 64 x 48"),
        ("region_of_interest: {left: 100, top: 0, width: 64, height: 48}\n", "does not fit the recipe"),
    ],
)
def test_a_frame_that_does_not_fit_the_recipe_is_told(tmp_path, extra, words):
    with opened(tmp_path, extra) as inspector, pytest.raises(CameraError, match=words):
        inspector.inspect(frame())


LOCATOR = "locator: {kind: principal_axis, background: dark, width: 160, height: 120}\n"


def wedge(angle_deg, *, x=128, y=128, spot=None):
    """A light wedge on a dark ground, both of a good grey, its middle at x, y; a bad spot `spot` px from it towards its tip."""
    pixels = np.full((256, 256, 3), 119, np.uint8)
    along = np.array([np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
    across, middle = np.array([-along[1], along[0]]), np.array([x, y])
    corners = middle + np.array([-60 * along - 25 * across, -60 * along + 25 * across, 60 * along])
    cv2.fillPoly(pixels, [np.rint(corners).astype(np.int32)], (137, 137, 137))
    if spot is not None:
        cv2.circle(pixels, np.rint(middle + spot * along).astype(int).tolist(), 9, (90, 90, 90), -1)
    return Frame(pixels=pixels, sequence=1, exposed_ns=time.monotonic_ns(), taken_at=datetime.now(timezone.utc), camera="test")


@pytest.mark.parametrize("angle_deg", [0, 77, 160, -120])
def test_a_defect_of_a_turned_part_is_found_where_it_lies_in_the_frame(tmp_path, angle_deg):
    with opened(tmp_path, LOCATOR) as inspector:
        assert inspector.inspect(wedge(angle_deg, x=120, y=140)).verdict is Verdict.OK
        finding = inspector.inspect(wedge(angle_deg, x=120, y=140, spot=-30))
    assert finding.verdict is Verdict.NG
    [region] = finding.regions
    x, y = 120 - 30 * np.cos(np.radians(angle_deg)), 140 - 30 * np.sin(np.radians(angle_deg))
    assert (region.centre_x, region.centre_y) == pytest.approx((x + 0.5, y + 0.5), abs=2.5)
    assert region.left < x < region.right
    assert region.top < y < region.bottom


def test_the_engine_is_shown_the_same_picture_of_a_part_however_it_lies(tmp_path):
    with opened(tmp_path, LOCATOR) as inspector:
        maps = [inspector.inspect(wedge(angle_deg, spot=-30)).scores.map for angle_deg in (0, 90, 200)]
    peaks = [np.unravel_index(one.argmax(), one.shape) for one in maps]
    assert np.abs(np.array(peaks) - peaks[0]).max() <= 1
    assert peaks[0][1] < maps[0].shape[1] / 2


def test_each_frame_is_located_anew(tmp_path):
    with opened(tmp_path, LOCATOR) as inspector:
        for angle_deg in (10, 100):
            affine = inspector.view(wedge(angle_deg)).placement.affine
            assert np.degrees(np.arctan2(affine[1, 0], affine[0, 0])) == pytest.approx(angle_deg, abs=1.5)


def test_what_lies_beyond_the_frame_is_not_searched(tmp_path):
    with opened(tmp_path, LOCATOR) as inspector:
        within = inspector.view(wedge(0)).searched
        beyond = inspector.view(wedge(0, y=40)).searched
    assert within.all()
    np.testing.assert_array_equal(beyond, (np.arange(12)[:, np.newaxis] >= 2) & np.ones((1, 16), bool))


def test_a_border_is_taken_off_what_the_locator_shows(tmp_path):
    with opened(tmp_path, LOCATOR + "masks: {border_px: 12}\n") as inspector:
        searched = inspector.view(wedge(30)).searched
    assert searched[1:-1, 1:-1].all()
    assert not searched[[0, -1]].any()
    assert not searched[:, [0, -1]].any()


def test_a_part_that_cannot_be_located_is_not_inspected(tmp_path):
    with opened(tmp_path, LOCATOR) as inspector, pytest.raises(PartNotLocated, match="no part in the region of interest"):
        inspector.inspect(frame(256, 256))


def test_a_frame_of_another_size_is_told_before_its_part_is_searched(tmp_path):
    with opened(tmp_path, LOCATOR + "frame: {width: 64, height: 48}\n") as inspector, pytest.raises(CameraError, match="made for 64 x 48"):
        inspector.inspect(wedge(0))


def test_a_region_of_interest_that_does_not_fit_is_told_with_a_locator_too(tmp_path):
    region = "region_of_interest: {left: 200, top: 0, width: 64, height: 48}\n"
    with opened(tmp_path, LOCATOR + region) as inspector, pytest.raises(CameraError, match="does not fit the recipe"):
        inspector.inspect(wedge(0))


def disagreeing(folder):
    """The tiny model with golden answers of another engine: all scores a tenth higher, every hash right."""
    tiny = open_model_folder(MODELS / "tiny")
    golden = tiny.load_golden()
    return write_model_folder(
        folder,
        onnx_bytes=tiny.model_file.read_bytes(),
        golden=Golden(images=golden.images, maps=golden.maps * np.float32(1.1), scores=golden.scores * np.float32(1.1)),
        model="disagreeing",
        family=tiny.manifest.family,
        input_size=tiny.manifest.input,
        image_score="map maximum",
        score_meaning=tiny.manifest.score_meaning,
        training=tiny.manifest.training,
        software="test",
        created_at=datetime.now(timezone.utc),
    )


def test_an_engine_that_does_not_agree_with_its_golden_frames_never_serves(tmp_path):
    disagreeing(tmp_path / "engine")
    with pytest.raises(EngineError, match="no agreement, no service"), opened(tmp_path, model=tmp_path / "engine"):
        pytest.fail("served")


def test_a_mean_of_the_highest_cells_is_taken_over_the_searched_ones(tmp_path):
    shown = frame(spot=(32, 48, 16))  # two by two cells of 80
    pixels = np.array(shown.pixels)
    pixels[:, 64:] = 128 + 20
    shown = Frame(pixels=pixels, sequence=1, exposed_ns=0, taken_at=shown.taken_at, camera="test")
    with opened(tmp_path, model="tiny_highest") as inspector:
        whole = inspector.inspect(shown)
    half = "masks: {ignore: [[[24, 40], [40, 40], [40, 72], [24, 72]]]}\n"  # hides two of the four cells
    with opened(tmp_path, half, model="tiny_highest") as inspector:
        masked = inspector.inspect(shown)
    assert whole.score == pytest.approx(80)
    assert masked.score == pytest.approx((80 + 80 + 20 + 20) / 4)
    assert masked.scores.image == pytest.approx(80)


def test_a_defect_of_a_single_cell_is_still_a_region_and_rejects_where_regions_decide(tmp_path):
    shown = frame(spot=(32, 48, 8))  # one cell of 80: a mean of 20 over the four highest
    with opened(tmp_path, model="tiny_highest") as inspector:
        by_score = inspector.inspect(shown)
    with opened(tmp_path, "decision: {regions: {}}\n", model="tiny_highest") as inspector:
        by_either = inspector.inspect(shown)
    assert by_score.score == pytest.approx(20)
    assert (by_score.verdict, len(by_score.regions)) == (Verdict.OK, 1)
    assert (by_either.verdict, by_either.regions[0].peak) == (Verdict.NG, pytest.approx(80))


def test_a_mask_is_refused_where_the_score_is_the_engines_own(tmp_path):
    with pytest.raises(ConfigError, match="decide by regions"), opened(tmp_path, "masks: {border_px: 2}\n", model="tiny_own"):
        pytest.fail("served")


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_after_the_warm_up_a_good_part_leaves_nothing_behind_and_its_frame_is_not_copied(tmp_path, kind):
    """Memory is counted, not timed. What is handed out, the score map, is a copy; the frame is lent."""
    if kind == "openvino":
        pytest.importorskip("openvino")
    shown = frame()
    with open_inspector(write_part(tmp_path / "cell"), PluginBlock(kind=kind), base=tmp_path) as inspector:
        for _ in range(20):
            inspector.inspect(shown)
        tracemalloc.start()
        for _ in range(200):  # what replaces what was there before is counted as new, once
            inspector.inspect(shown)
        windows = [grown_and_peak(inspector, shown) for _ in range(3)]
        tracemalloc.stop()
    # What a part leaves behind is in every window; the interpreter's free lists and other threads are in one (24 kB once).
    assert min(grown for grown, _ in windows) < 200 * 100  # a map that stayed would be 768 bytes a part
    assert min(peak for _, peak in windows) < shown.pixels.nbytes


def grown_and_peak(inspector, shown):
    """Bytes that 200 parts leave behind, and the most that were held beside what was there before."""
    gc.collect()  # openvino's answers are cycles
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for _ in range(200):
        inspector.inspect(shown)
    _, peak = tracemalloc.get_traced_memory()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return after - before, peak - before


def peppered(shown, percent=20):
    drawn = np.random.default_rng(0).random(shown.pixels.shape[:2])
    pixels = shown.pixels.copy()
    pixels[drawn < percent / 200] = 0
    pixels[drawn > 1 - percent / 200] = 255
    return Frame(pixels=pixels, sequence=1, exposed_ns=time.monotonic_ns(), taken_at=shown.taken_at, camera="test")


def test_specks_are_taken_out_where_the_recipe_says_so(tmp_path):
    with opened(tmp_path) as inspector:
        assert inspector.inspect(peppered(frame())).verdict is Verdict.NG
    with opened(tmp_path, "despeckle: true\n") as inspector:
        assert inspector.inspect(peppered(frame())).verdict is Verdict.OK
        finding = inspector.inspect(peppered(frame(spot=(32, 48, 16))))
        assert finding.verdict is Verdict.NG
        assert (finding.regions[0].left, finding.regions[0].top) == (32, 48)


def test_a_part_is_located_in_a_frame_without_its_specks(tmp_path):
    with opened(tmp_path, LOCATOR + "despeckle: true\n") as inspector:
        affine = inspector.inspect(peppered(wedge(30))).placement.affine
        [look] = inspector.looks(peppered(wedge(30)))
    assert np.degrees(np.arctan2(affine[1, 0], affine[0, 0])) == pytest.approx(30, abs=1.5)
    np.testing.assert_array_equal(look.affine, affine)
