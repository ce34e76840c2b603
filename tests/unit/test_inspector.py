"""From a frame to a finding, with the tiny engine whose scores can be predicted."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import numpy as np
import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Frame, Verdict
from edge_inspect.errors import CameraError, ConfigError, EngineError
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


def test_a_mask_is_refused_where_the_score_is_the_engines_own(tmp_path):
    with pytest.raises(ConfigError, match="decide by regions"), opened(tmp_path, "masks: {border_px: 2}\n", model="tiny_own"):
        pytest.fail("served")
