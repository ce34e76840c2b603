"""A frame seen in pieces, from the recipe to the verdict, with the tiny engine whose scores can be predicted."""

from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.config import PluginBlock, Tiles, load_recipe
from edge_inspect.datatypes import Scores, Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.field.benchmark import make_frames, measure, open_bench
from edge_inspect.geometry import Grid, tile
from edge_inspect.inspector import open_inspector
from edge_inspect.model_folder import open_model_folder
from edge_inspect.outputs.drawing import annotate
from edge_inspect.station.inspections import Trigger, inspection_from_finding
from edge_inspect.tiled import Tiled
from tests.conftest import MODELS, write_part
from tests.unit.test_inspector import frame

TILES = "frame: {width: 256, height: 192}\ntiles: {across: 3, down: 3, overlap_px: 16}\n"


def opened(tmp_path, extra=TILES, **options):
    return open_inspector(write_part(tmp_path / "cell", extra=extra, **options), PluginBlock(kind="onnx"), base=tmp_path)


def test_a_defect_on_a_seam_is_one_region_where_it_lies_in_the_frame(tmp_path):
    with opened(tmp_path) as inspector:
        assert inspector.inspect(frame(256, 192)).verdict is Verdict.OK
        finding = inspector.inspect(frame(256, 192, spot=(80, 60, 40)))
    assert finding.verdict is Verdict.NG
    [region] = finding.regions
    assert (region.left, region.top, region.right, region.bottom) == pytest.approx((80, 60, 120, 100), abs=8)
    assert finding.scores.map.shape == (finding.placement.height, finding.placement.width)
    assert finding.score == pytest.approx(finding.scores.map.max())


def test_a_small_defect_keeps_its_pixels(tmp_path):
    """Seen whole, four pixels are one of the network's, a sixteenth of a cell; seen in tiles they are more."""
    small = frame(256, 192, spot=(100, 80, 6))
    with opened(tmp_path, "frame: {width: 256, height: 192}\n") as whole, opened(tmp_path / "tiled") as tiled:
        assert tiled.inspect(small).score > 2 * whole.inspect(small).score


def test_masks_and_borders_are_those_of_the_whole_region(tmp_path):
    with opened(tmp_path, TILES + "masks: {border_px: 12, ignore: [[[70, 50], [130, 50], [130, 110], [70, 110]]]}\n") as inspector:
        searched = inspector.view(frame(256, 192)).searched
        assert inspector.inspect(frame(256, 192, spot=(80, 60, 30))).verdict is Verdict.OK
        assert inspector.inspect(frame(256, 192, spot=(150, 120, 30))).verdict is Verdict.NG
    assert not searched[0].any()
    assert searched[searched.shape[0] // 2, 2:10].all()


def test_a_picture_of_it_can_be_drawn(tmp_path):
    shown = frame(256, 192, spot=(80, 60, 40))
    with opened(tmp_path) as inspector:
        finding = inspector.inspect(shown)
        trigger = Trigger(sequence=1, acquisition=0, received_ns=shown.exposed_ns, deadline_ns=shown.exposed_ns + 10**12)
        picture = annotate(inspection_from_finding(finding, shown, trigger, inspector))
    assert picture.shape[2] == 3


class Counting:
    """A runtime that answers 1, 2, 3, ..."""

    def __init__(self, own):
        self.calls, self._own = 0, own

    def infer(self, pixels, placement):
        self.calls += 1
        return Scores(map=np.full((6, 8), self.calls, np.float32), image=self._own[self.calls - 1])


@pytest.mark.parametrize(("own", "wanted"), [([1.0, 5.0, 2.0, 3.0], 5.0), ([1.0, float("nan"), 2.0, 3.0], None), ([None] * 4, None)])
def test_the_image_score_is_the_highest_of_all_tiles(own, wanted):
    grid = Grid(width=32, height=24, channels=1, map_width=8, map_height=6)
    runtime = Counting(own)
    said = Tiled(runtime, tile(64, 48, None, Tiles(across=2, down=2), grid)).infer(np.zeros((48, 64, 1), np.uint8), None)
    assert runtime.calls == 4
    assert said.map.max() == 4
    if own[1] != own[1]:
        assert np.isnan(said.image)
    else:
        assert said.image == wanted


def test_an_overlap_that_is_not_possible_is_told_before_the_station_serves(tmp_path):
    with pytest.raises(ConfigError, match="cannot overlap by 200 px"), opened(tmp_path, TILES.replace("16}", "200}")):
        pytest.fail("served")


def test_the_bench_times_every_tile(tmp_path):
    recipe = load_recipe(write_part(tmp_path / "cell", extra=TILES))
    model = open_model_folder(MODELS / "tiny")
    frames = make_frames(model, 256, 192, 3, recipe=recipe)
    with open_bench(model, PluginBlock(kind="onnx"), recipe) as bench:
        calls = []
        infer = bench.runtime.infer
        bench.runtime.infer = lambda *arguments: calls.append(1) or infer(*arguments)
        measure(bench, frames, 2)
        assert len(calls) == 2 * 9 * 22
