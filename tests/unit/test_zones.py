"""Zones with limits of their own: which cells they hold, which regions they give, and what the line makes of them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_inspect.config import PluginBlock, RegionOfInterest, Zone, load_recipe
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import CameraError, ConfigError
from edge_inspect.geometry import place, zone_cells
from edge_inspect.inspector import open_inspector
from edge_inspect.outputs.records import inspection_from_record, record_from_inspection
from edge_inspect.plc.signals import result_from_inspection
from edge_inspect.regions import Zoned, find_regions
from edge_inspect.scoring import limits_from
from edge_inspect.station.inspections import Trigger, inspection_from_finding
from edge_inspect.thresholds import ZoneLimits, load_thresholds, read_thresholds, save_thresholds
from tests.conftest import MODELS, write_part
from tests.unit.test_inspector import LOCATOR, frame, wedge
from tests.unit.test_regions import SCORES, corners_in_frame, flood, told, told_slowly
from tests.unit.test_tiled import TILES

LABEL = "decision: {regions: {}}\nzones:\n  - {name: label, rectangle: {left: 32, top: 48, width: 16, height: 16}}\n"

maps = arrays.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=SCORES)


# which cells


@given(
    st.lists(st.tuples(st.floats(90, 150), st.floats(90, 130), st.floats(1, 60), st.floats(1, 60)), min_size=1, max_size=3),
    st.floats(-180, 180),
    st.sampled_from([(64, 64, 16, 16), (40, 20, 5, 4), (8, 8, 8, 8)]),
)
@settings(deadline=None)
def test_a_cell_lies_in_the_first_zone_that_holds_its_middle(boxes, rotation_deg, sizes):
    width, height, columns, rows = sizes
    placement = place(
        300,
        300,
        RegionOfInterest(left=100, top=100, width=60.5, height=35.25, rotation_deg=rotation_deg),
        width=width,
        height=height,
        channels=1,
    )
    zones = [
        Zone(name=str(number), rectangle={"left": left, "top": top, "width": wide, "height": high})
        for number, (left, top, wide, high) in enumerate(boxes)
    ]
    cells = zone_cells(placement, columns, rows, zones)
    assert cells.dtype == np.uint8
    for row in range(rows):
        for column in range(columns):
            x, y = np.mean(corners_in_frame(placement, (rows, columns), [(row, column)]), axis=0)
            near = min(min(abs(x - left), abs(x - left - wide), abs(y - top), abs(y - top - high)) for left, top, wide, high in boxes)
            holds = (n for n, (left, top, wide, high) in enumerate(boxes, start=1) if left <= x < left + wide and top <= y < top + high)
            assert near < 1e-6 or cells[row, column] == next(holds, 0)


def test_a_zone_of_the_networks_image_lies_still_on_a_part_that_turns():
    zone = Zone(name="tip", polygon=[(48, 0), (64, 0), (64, 48), (48, 48)], pixels="network")
    placements = [
        place(300, 300, RegionOfInterest(left=100, top=100, width=80, height=60, rotation_deg=deg), width=64, height=48, channels=1)
        for deg in (0, 37)
    ]
    first, turned = (zone_cells(one, 8, 6, [zone]) for one in placements)
    np.testing.assert_array_equal(first, turned)
    np.testing.assert_array_equal(first, np.broadcast_to(np.arange(8) >= 6, (6, 8)))


# which regions


@given(maps, st.data())
@settings(max_examples=200, deadline=None)
def test_regions_are_what_a_flood_fill_finds_above_the_threshold_of_each_cell(score_map, data):
    height, width = score_map.shape
    searched = data.draw(arrays.arrays(np.bool_, score_map.shape))
    cells = data.draw(arrays.arrays(np.uint8, score_map.shape, elements=st.integers(0, 2)))
    each = data.draw(st.tuples(SCORES, SCORES, SCORES))
    placement = place(width, height, None, width=width, height=height, channels=1)
    zoned = Zoned(cells, names=["a", "b"], thresholds=each[1:], outside=each[0])
    got = find_regions(score_map, pixel_threshold=each[0], searched=searched, placement=placement, mm_per_px=None, zones=zoned)
    parts = flood(score_map, searched, np.array(each)[cells])
    assert sorted(told(one, 1.0) for one in got) == sorted(told_slowly(score_map, placement, part) for part in parts)
    numbers = {}
    for part in parts:
        counts = [sum(cells[cell] == number for cell in part) for number in range(3)]
        numbers[told_slowly(score_map, placement, part)] = {counts.index(max(counts))} | numbers.get(
            told_slowly(score_map, placement, part), set()
        )
    for one in got:
        assert one.zone_number in numbers[told(one, 1.0)]
        assert one.zone == ("", "a", "b")[one.zone_number]


@given(maps, st.floats(0, 8))
def test_zones_with_the_threshold_of_the_rest_change_nothing_but_the_names(score_map, threshold):
    height, width = score_map.shape
    placement = place(width, height, None, width=width, height=height, channels=1)
    given = {"pixel_threshold": threshold, "searched": np.ones(score_map.shape, bool), "placement": placement, "mm_per_px": None}
    zoned = Zoned(np.zeros(score_map.shape, np.uint8), names=["a"], thresholds=[threshold], outside=threshold)
    assert find_regions(score_map, **given, zones=zoned) == find_regions(score_map, **given)


def test_a_cell_that_is_no_number_is_in_no_region_of_a_zone_either():
    score_map = np.array([[np.nan, 5.0]], np.float32)
    zoned = Zoned(np.array([[1, 0]], np.uint8), names=["a"], thresholds=[0.0], outside=1.0)
    placement = place(2, 1, None, width=2, height=1, channels=1)
    [one] = find_regions(score_map, pixel_threshold=1.0, searched=np.ones((1, 2), bool), placement=placement, mm_per_px=None, zones=zoned)
    assert (one.left, one.zone) == (1, "")


# what the line makes of them


def learnt(tmp_path, recipe_text, **zones):
    """A part with thresholds that were learnt for its zones: name to (pixel threshold, least area)."""
    recipe_file = write_part(tmp_path / "cell", extra=recipe_text)
    path = load_recipe(recipe_file).thresholds
    limits = tuple(ZoneLimits(name=name, pixel_threshold=pixel, min_area_px=area) for name, (pixel, area) in zones.items())
    save_thresholds(path, read_thresholds(path).model_copy(update={"zones": limits}))
    return open_inspector(recipe_file, PluginBlock(kind="onnx"), base=tmp_path)


def test_a_label_that_is_always_there_passes_and_a_defect_beside_it_does_not(tmp_path):
    with learnt(tmp_path, LABEL, label=(90.0, 0.0)) as inspector:
        on_label = inspector.inspect(frame(spot=(32, 48, 16)))
        assert (on_label.verdict, on_label.regions, on_label.score) == (Verdict.OK, (), 0)
        beside = inspector.inspect(frame(spot=(80, 48, 16)))
        assert beside.verdict is Verdict.NG
        assert beside.score == pytest.approx(80)
        assert [region.zone for region in beside.regions] == [""]


def test_what_is_more_than_the_label_is_told_with_its_zone_everywhere(tmp_path):
    shown = frame(spot=(32, 48, 16))
    with learnt(tmp_path, LABEL, label=(70.0, 0.0)) as inspector:
        finding = inspector.inspect(shown)
        trigger = Trigger(sequence=1, acquisition=1, received_ns=shown.exposed_ns, deadline_ns=shown.exposed_ns + 10**12)
        inspection = inspection_from_finding(finding, shown, trigger, inspector)
    assert finding.verdict is Verdict.NG
    assert "worst at (32, 48) in zone label, 16 x 16 px, peak 80" in finding.reason
    assert [(region.zone, region.zone_number) for region in finding.regions] == [("label", 1)]
    record = json.loads(json.dumps(record_from_inspection(inspection, station="cell")))
    assert record["regions"][0]["zone"] == "label"
    assert inspection_from_record(record).regions == finding.regions
    assert result_from_inspection(inspection).zone == 1


@pytest.mark.parametrize(
    ("zone", "counts"),
    [("min_area_px: 257", False), ("min_area_px: 255", True), ("min_area_mm2: 65", False), ("min_peak: 81", False), ("min_peak: 79", True)],
)
def test_a_zone_has_wishes_of_its_own_of_size_and_peak(tmp_path, zone, counts):
    recipe = "mm_per_px: 0.5\n" + LABEL.replace("16}}\n", f"16}}, {zone}}}\n")
    with learnt(tmp_path, recipe) as inspector:
        assert inspector.inspect(frame(spot=(32, 48, 16))).verdict is (Verdict.NG if counts else Verdict.OK)
        assert inspector.inspect(frame(spot=(80, 48, 8))).verdict is Verdict.NG


def test_what_a_zone_does_not_say_the_recipe_says_and_what_was_learnt_can_only_be_stricter(tmp_path):
    recipe_text = LABEL.replace("regions: {}", "regions: {min_area_px: 30, min_peak: 5}")
    with learnt(tmp_path, recipe_text, label=(15.0, 20.0)) as inspector:
        [zone] = inspector.limits.zones
        assert (zone.name, zone.pixel_threshold, zone.rule.min_area_px, zone.rule.min_peak) == ("label", 15.0, 30.0, 5.0)
        thresholds = inspector.thresholds.model_copy(update={"zones": (ZoneLimits(name="label", pixel_threshold=15.0, min_area_px=40.0),)})
        inspector.take_over(thresholds)
        assert inspector.limits.zones[0].rule.min_area_px == 40.0
        assert limits_from(thresholds.model_copy(update={"zones": ()}), inspector.recipe).zones[0].pixel_threshold == 10.0


def test_new_thresholds_are_those_of_the_zones_from_the_next_part_on(tmp_path):
    shown = frame(spot=(32, 48, 16))
    with learnt(tmp_path, LABEL, label=(90.0, 0.0)) as inspector:
        assert inspector.inspect(shown).verdict is Verdict.OK
        inspector.take_over(inspector.thresholds.model_copy(update={"zones": (ZoneLimits(name="label", pixel_threshold=70.0),)}))
        assert inspector.inspect(shown).verdict is Verdict.NG


def test_a_zone_over_tiles_lies_where_it_lies_in_the_frame(tmp_path):
    zones = "decision: {regions: {}}\nzones:\n  - {name: label, polygon: [[70, 50], [130, 50], [130, 110], [70, 110]]}\n"
    with learnt(tmp_path, TILES + zones, label=(90.0, 0.0)) as inspector:
        assert inspector.inspect(frame(256, 192, spot=(85, 65, 20))).verdict is Verdict.OK
        assert inspector.inspect(frame(256, 192, spot=(180, 120, 20))).verdict is Verdict.NG


@pytest.mark.parametrize("angle_deg", [0, 77, -120])
def test_a_zone_on_a_located_part_turns_with_it(tmp_path, angle_deg):
    zones = (
        "decision: {regions: {}}\nzones:\n  - {name: left half, rectangle: {left: 0, top: 0, width: 32, height: 1000}, pixels: network}\n"
    )
    with learnt(tmp_path, LOCATOR + zones, **{"left half": (200.0, 0.0)}) as inspector:
        assert inspector.inspect(wedge(angle_deg, spot=-30)).verdict is Verdict.OK
        found = inspector.inspect(wedge(angle_deg, spot=25))
    assert found.verdict is Verdict.NG
    assert {region.zone for region in found.regions} == {""}


def test_under_a_mask_a_zone_is_not_searched(tmp_path):
    masks = "masks: {ignore: [[[32, 48], [40, 48], [40, 64], [32, 64]]]}\n"
    with learnt(tmp_path, LABEL + masks, label=(70.0, 0.0)) as inspector:
        [region] = inspector.inspect(frame(spot=(32, 48, 16))).regions
    assert (region.left, region.right, region.zone) == (40, 48, "label")


# what is refused, and what binds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zones: [{name: a, rectangle: {left: 0, top: 0, width: 8, height: 8}}]\n", "only regions are found in them"),
        ("decision: {regions: {}}\nzones: [{name: a}]\n", "give rectangle: "),
        (LABEL + "  - {name: label, rectangle: {left: 0, top: 0, width: 8, height: 8}}\n", "two have the same name"),
        (LABEL.replace("16}}\n", "16}, min_area_mm2: 1}\n"), "needs mm_per_px"),
        (LABEL + LOCATOR, "give them in pixels of the network's image"),
        (LABEL.replace("16}}\n", "16}, pixels: network}\n") + TILES, "there is no one network image"),
    ],
)
def test_zones_that_mean_nothing_are_refused(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        write_part(tmp_path / "cell", extra=text)


@pytest.mark.parametrize(
    ("rectangle", "says"),
    [
        ("{left: 0, top: 0, width: 500, height: 500}", "nothing is left for the image score"),
        ("{left: 500, top: 0, width: 9, height: 9}", "no searched cell's middle"),
    ],
)
def test_zones_that_hold_everything_or_nothing_are_told_for_the_frame(tmp_path, rectangle, says):
    with (
        learnt(tmp_path, f"decision: {{regions: {{}}}}\nzones: [{{name: a, rectangle: {rectangle}}}]\n") as inspector,
        pytest.raises(CameraError, match=says),
    ):
        inspector.inspect(frame())


def test_an_engine_with_a_score_of_its_own_cannot_leave_a_zone_out_of_it(tmp_path):
    with pytest.raises(ConfigError, match="zones: the engine tiny_own computes its image score over the whole image"):
        open_inspector(write_part(tmp_path / "cell", model="tiny_own", extra=LABEL), PluginBlock(kind="onnx"), base=tmp_path).__enter__()


def test_a_threshold_is_bound_to_where_the_zones_lie_and_not_to_their_wishes(tmp_path):
    def sha256(text):
        (tmp_path / "recipe.yaml").write_text(f"part: cell\nengine: {MODELS / 'tiny'}\n{text}")
        return load_recipe(tmp_path / "recipe.yaml").sha256

    bound = sha256(LABEL)
    assert bound != sha256("decision: {regions: {}}\n")
    assert bound != sha256(LABEL.replace("left: 32", "left: 33"))
    assert bound != sha256(LABEL.replace("label", "logo"))
    assert bound == sha256(LABEL.replace("16}}\n", "16}, min_peak: 3}\n"))


def test_thresholds_without_zones_keep_the_name_they_had(tmp_path):
    path = load_recipe(write_part(tmp_path / "cell")).thresholds
    thresholds = read_thresholds(path)
    assert "zones" not in json.loads(path.read_text())
    with_zone = thresholds.model_copy(update={"zones": (ZoneLimits(name="a", pixel_threshold=1.0),)})
    assert with_zone.calibration_id != thresholds.calibration_id
    save_thresholds(path, with_zone)
    assert load_thresholds(path, engine_sha256=thresholds.engine_sha256, recipe_sha256=thresholds.recipe_sha256) == with_zone


def test_a_label_in_a_picture_names_the_zone(tmp_path):
    from edge_inspect.outputs.drawing import annotate

    pictures = []
    for threshold in (70.0, 90.0):
        shown = frame(spot=(32, 48, 16))
        with learnt(tmp_path, LABEL, label=(threshold, 0.0)) as inspector:
            trigger = Trigger(sequence=1, acquisition=1, received_ns=shown.exposed_ns, deadline_ns=shown.exposed_ns + 10**12)
            pictures.append(annotate(inspection_from_finding(inspector.inspect(shown), shown, trigger, inspector)))
    assert cv2.absdiff(pictures[0], pictures[1]).any()
