"""The picture is measured where it can be: geometry, colours, what is covered. That it is handsome was looked at by eye."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from edge_inspect.datatypes import Placement, Region, Verdict
from edge_inspect.errors import OutputError
from edge_inspect.outputs.drawing import annotate

NETWORK = 256
STRIP = 66


def affine(width: float, height: float, *, centre: tuple[float, float] | None = None, turned_deg: float = 0.0) -> np.ndarray:
    """Network pixel to frame pixel for a rectangle of this size about the centre."""
    x, y = ((width - 1) / 2, (height - 1) / 2) if centre is None else centre
    angle = math.radians(turned_deg)
    linear = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) @ np.diag(
        [width / NETWORK, height / NETWORK]
    )
    middle = np.full(2, (NETWORK - 1) / 2)
    return np.hstack([linear, (np.array([x, y]) - linear @ middle)[:, None]])


@pytest.fixture
def picture_of(inspection):
    """Draws a grey frame of a size, with one hot cell of a 64 x 64 map."""

    def draw(height=512, width=512, *, channels=1, hot=None, regions=(), placement=None, **fields):
        evidence = inspection().evidence
        frame = dataclasses.replace(evidence.frame, pixels=np.full((height, width, channels), 100, np.uint8))
        score_map = np.zeros((64, 64), np.float32)
        if hot is not None:
            score_map[hot] = 4.0
        matrix = affine(width, height) if placement is None else placement
        evidence = dataclasses.replace(
            evidence,
            frame=frame,
            score_map=score_map,
            placement=Placement(affine=matrix, width=NETWORK, height=NETWORK, channels=channels),
        )
        values = {"threshold": 2.0, "score": 4.0, "regions": tuple(regions), "evidence": evidence} | fields
        return annotate(inspection(1, **values))

    return draw


def region(left, top, right, bottom, *, peak=4.0, area_mm2=None) -> Region:
    size = {"left": left, "top": top, "right": right, "bottom": bottom}
    return Region(**size, centre_x=left, centre_y=top, area_px=(right - left) * (bottom - top), area_mm2=area_mm2, peak=peak, mean=peak)


def below_strip(picture: np.ndarray, height: int) -> np.ndarray:
    return picture[picture.shape[0] - height :]


def centre_of(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


def test_an_inspection_without_a_frame_cannot_be_drawn(inspection):
    with pytest.raises(OutputError, match="inspection 1: has no frame"):
        annotate(inspection(1, evidence=None))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_frame_stands_unchanged_below_the_strip(picture_of, channels):
    picture = picture_of(600, 700, channels=channels)
    assert picture.dtype == np.uint8
    assert (below_strip(picture, 600) == 100).all()
    assert picture.shape == (600 + STRIP, 700, 3)


def test_the_frame_itself_is_not_drawn_on(picture_of, inspection):
    before = inspection().evidence.frame.pixels.copy()
    annotate(inspection(1))
    np.testing.assert_array_equal(inspection().evidence.frame.pixels, before)


@pytest.mark.parametrize(
    ("height", "width", "wanted"), [(128, 128, (512, 512)), (100, 300, (300, 900)), (511, 511, (1022, 1022)), (512, 512, (512, 512))]
)
def test_a_small_frame_is_magnified_by_a_whole_number(picture_of, height, width, wanted):
    picture = picture_of(height, width)
    assert picture.shape[1] == wanted[1]
    assert (below_strip(picture, wanted[0]) == 100).all()
    assert (picture[picture.shape[0] - wanted[0] - 1] != 100).any()


def test_letters_grow_with_a_large_frame(picture_of):
    strip = picture_of(2160, 3840).shape[0] - 2160
    assert 150 < strip < 250


def test_a_narrow_frame_stands_in_the_middle_below_a_strip_that_can_be_read(picture_of):
    picture = below_strip(picture_of(2000, 150), 2000)
    assert picture.shape[1] >= 460
    assert (picture[1000] == 100).all(axis=1).sum() == 150
    assert picture[1000, picture.shape[1] // 2, 0] == 100


def test_heat_lies_where_the_cell_lies_in_the_frame(picture_of):
    picture = below_strip(picture_of(512, 1024, hot=(16, 48)), 512)
    x, y = centre_of(picture[:, :, 0] != 100)
    assert (x, y) == (pytest.approx(48.5 * 16 - 0.5, abs=2), pytest.approx(16.5 * 8 - 0.5, abs=2))


def test_heat_lies_where_the_cell_lies_in_a_magnified_frame(picture_of):
    picture = below_strip(picture_of(128, 128, hot=(16, 48)), 512)
    x, y = centre_of(picture[:, :, 0] != 100)
    assert (x, y) == (pytest.approx(48.5 * 8 - 0.5, abs=1), pytest.approx(16.5 * 8 - 0.5, abs=1))


def test_heat_follows_a_turned_region_of_interest(picture_of):
    placement = affine(400, 300, centre=(500, 400), turned_deg=90)
    picture = below_strip(picture_of(800, 1000, hot=(32, 63), placement=placement), 800)
    red, blue = picture[:, :, 0].astype(int), picture[:, :, 2].astype(int)
    x, y = centre_of(np.abs(red - blue) > 40)
    assert (x, y) == (pytest.approx(498, abs=3), pytest.approx(400 + 200 - 3, abs=4))


def test_the_region_of_interest_is_outlined_unless_it_is_the_whole_frame(picture_of):
    inside = below_strip(picture_of(600, 600, placement=affine(300, 300, centre=(300, 300))), 600)
    changed = (inside != 100).any(axis=2)
    assert changed[150, 200:400].all()
    assert not changed[200:400, 200:400].any()
    assert not (below_strip(picture_of(600, 600), 600) != 100).any()


def test_a_part_without_a_threshold_has_no_heat(picture_of):
    picture = picture_of(600, 600, hot=(32, 32), threshold=None, score=None, verdict=Verdict.FAULT)
    assert (below_strip(picture, 600) == 100).all()


def test_a_box_stands_around_the_region_and_hides_nothing_of_it(picture_of):
    picture = below_strip(picture_of(600, 600, regions=[region(200, 250, 300, 320)]), 600)
    assert (picture[250:320, 200:300] == 100).all()
    assert (picture[250:320, 190:200] > 200).any(axis=1).all()
    assert (picture[320:330, 200:300] > 200).any(axis=0).all()


def test_boxes_are_magnified_with_the_frame(picture_of):
    picture = below_strip(picture_of(128, 128, regions=[region(50, 60, 70, 80)]), 512)
    assert (picture[240:320, 200:280] == 100).all()
    assert (picture[240:320, 190:200] > 200).any(axis=1).all()


def dark(picture: np.ndarray) -> np.ndarray:
    return (picture < 60).all(axis=2)


def test_a_label_stands_above_its_region_or_below_it_at_the_edge(picture_of):
    above = below_strip(picture_of(600, 600, regions=[region(200, 250, 300, 320)]), 600)
    below = below_strip(picture_of(600, 600, regions=[region(200, 3, 300, 60)]), 600)
    assert dark(above[225:245, 200:230]).mean() > 0.5
    assert dark(below[64:80, 200:230]).mean() > 0.5


def test_a_label_of_a_region_as_high_as_the_frame_stands_inside(picture_of):
    picture = below_strip(picture_of(600, 600, regions=[region(200, 0, 300, 600)]), 600)
    assert dark(picture[2:16, 204:230]).mean() > 0.5


def test_a_label_never_runs_over_the_edge(picture_of):
    picture = below_strip(picture_of(600, 600, regions=[region(590, 300, 600, 320, area_mm2=1.5)]), 600)
    assert dark(picture[282:294, 560:600]).mean() > 0.3


def test_labels_do_not_cover_each_other(picture_of):
    one = picture_of(600, 600, regions=[region(200, 250, 300, 320, peak=9)])
    two = picture_of(600, 600, regions=[region(200, 250, 300, 320, peak=9), region(204, 252, 230, 270, peak=3)])
    label = np.s_[STRIP + 229 : STRIP + 246, 198:260]
    np.testing.assert_array_equal(one[label], two[label])


def chip(picture: np.ndarray) -> tuple[int, ...]:
    return tuple(int(value) for value in np.median(picture[12:36, 16:22].reshape(-1, 3), axis=0))


def test_the_verdict_is_told_by_colour(picture_of):
    ok, ng, fault = (chip(picture_of(verdict=verdict)) for verdict in Verdict)
    assert ok[1] > max(ok[0], ok[2])
    assert ng[0] > 3 * ng[1]
    assert fault[0] > fault[1] > 3 * fault[2]


@pytest.mark.parametrize(
    "change",
    [{"verdict": Verdict.OK}, {"score": 4.01}, {"threshold": 2.01}, {"part_id": "another"}, {"reason": "another"}, {"part_id": ""}],
)
def test_the_strip_tells_what_was_decided(picture_of, change):
    before, after = picture_of(part_id="cell"), picture_of(**({"part_id": "cell"} | change))
    assert (before[:STRIP] != after[:STRIP]).any()


def test_a_long_part_name_leaves_room_for_the_reason(picture_of):
    one, other = (picture_of(part_id="x" * 300, reason=reason) for reason in ("dark frame", "late"))
    changed = (one[:STRIP] != other[:STRIP]).any(axis=(0, 2))
    assert changed.any()
    assert not changed[:240].any()


def test_the_strip_stays_within_the_picture_whatever_the_text(picture_of):
    picture = picture_of(part_id="Gehäuse " * 50, reason="日本\n" * 200, score=-1.23456e-12, threshold=1e30)
    assert picture.shape[1] == 512
    assert dark(picture[:STRIP, -8:]).all()
