"""The page holds what was found and loads nothing; the gallery shows the worst first."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import OutputError
from edge_inspect.workshop.evaluation.evaluate import evaluate
from edge_inspect.workshop.evaluation.gallery import OUTLINE_COLOUR, heat_picture, highest_good, lowest_defective
from edge_inspect.workshop.evaluation.labelled import labelled_set
from edge_inspect.workshop.evaluation.outcomes import image_figures, outcomes_of
from edge_inspect.workshop.evaluation.plots import histogram_svg
from edge_inspect.workshop.evaluation.report import html, write_report
from tests.unit.workshop.evaluation.conftest import BOX, frame, write, write_set

pytestmark = pytest.mark.workshop
OUTLINE = list(bytes.fromhex(OUTLINE_COLOUR[1:]))


@pytest.fixture
def found(recipe_file, cells):
    return evaluate(recipe_file, cells, runtime=PluginBlock(kind="onnx"), resamples=50)


@pytest.fixture
def disturbed(recipe_file, cells):
    return evaluate(recipe_file, cells, runtime=PluginBlock(kind="onnx"), robustness=True, resamples=50)


class Sources(HTMLParser):
    """Everything a page would load, and whether its elements close."""

    def __init__(self):
        super().__init__()
        self.sources, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in {"src", "href", "xlink:href", "data"}]
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_every_element_closes(disturbed):
    page = html(disturbed, machine="a machine")
    parser = Sources()
    parser.feed(page)
    assert parser.open == []
    assert all(source.startswith(("data:image/", "#")) for source in parser.sources)
    assert "<script" not in page
    assert not re.search(r"url\((?!['\"]?#)", page)


def test_the_page_says_what_was_found(disturbed):
    page = html(disturbed, machine="a machine, 2 of 2 cores")
    assert f"{disturbed.image.auroc:.3f}" in page
    assert "1 of 10 are rejected" in page
    assert "1 of 6 pass" in page
    assert "a machine, 2 of 2 cores" in page
    assert disturbed.engine_sha256 in page
    for section in ("Verdicts by kind", "Scores", "ROC", "Precision and recall", "Salt and pepper", "The worst mistakes"):
        assert section in page


def test_without_robustness_there_are_no_curves_of_it(found):
    assert "Robustness" not in html(found, machine="m")


def test_names_from_outside_do_not_become_markup(found):
    page = html(replace(found, part="<b>&", set_name="<script>", refused=("<img src=x>: broken",)), machine="<i>")
    assert "<script>" not in page
    assert "&lt;b&gt;&amp;" in page
    assert "<img src=x>" not in page


def test_pictures_left_out_are_counted_and_the_first_ones_named(found):
    page = html(replace(found, refused=tuple(f"good/{number}.png: broken" for number in range(30))), machine="m")
    assert "30 pictures could not be judged" in page
    assert "good/11.png: broken" in page
    assert "good/12.png" not in page
    assert "and 18 more" in page


def test_a_plain_difference_of_the_pictures_is_warned_of(found):
    assert "Beware" not in html(replace(found, shortcuts={"brightness": 0.6}), machine="m")
    page = html(replace(found, shortcuts={"brightness": 1.0, "noise": 0.5}), machine="m")
    assert "Beware" in page
    assert "brightness (AUROC 1.000)" in page
    assert "noise (AUROC" not in page


@pytest.mark.parametrize(
    ("bound", "chance", "said"),
    [(None, None, "No promise to keep"), (0.5, 0.9, "Promise kept"), (0.001, 0.01, "Promise broken")],
)
def test_the_promise_is_called_what_it_is(found, bound, chance, said):
    assert said in html(replace(found, promise=replace(found.promise, bound=bound, chance=chance)), machine="m")


def test_a_set_without_masks_or_scores_still_has_a_page(recipe_file, tmp_path):
    write_set(tmp_path / "bare", good=[128, 129], defects={"dent": [180, 190]}, masks=False)
    bare = evaluate(recipe_file, labelled_set(tmp_path, "bare"), runtime=PluginBlock(kind="onnx"), resamples=50)
    page = html(bare, machine="m")
    assert "not measured" in page
    assert "No pixel figures: 2 defective pictures have no usable mask" in page
    blind = outcomes_of((one.image.kind, None, Verdict.FAULT) for one in bare.judged)
    none = tuple(replace(one, score=None, seen=None, verdict=Verdict.FAULT) for one in bare.judged)
    page = html(replace(bare, outcomes=blind, image=image_figures(blind), judged=none), machine="m")
    assert "4 parts were not inspected" in page
    assert "ROC</figcaption>" not in page


def test_a_page_that_cannot_be_written_is_one_sentence(found, tmp_path):
    with pytest.raises(OutputError, match="the report cannot be written"):
        write_report(found, tmp_path / "missing" / "report.html", machine="m")


def test_the_gallery_shows_the_worst_first(found):
    good, defective = highest_good(found.judged, 10.0), lowest_defective(found.judged, 10.0)
    assert [round(exhibit.judged.score) for exhibit in good] == [22, 8, 7, 6, 5, 4]
    assert [round(exhibit.judged.score) for exhibit in defective] == [10, 30, 30, 40, 40, 50]
    encoded = base64.b64decode(defective[0].heat.partition(",")[2])
    assert cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR).shape == (270, 360, 3)


def test_the_defect_is_outlined_and_itself_stays_free(found):
    dent = next(one for one in found.judged if one.image.kind == "dent")
    picture = heat_picture(frame(98)[:, :, None], dent, 1e6)
    rows, _ = np.nonzero((picture == OUTLINE).all(axis=2))
    factor = 360 / 64
    assert rows.min() < BOX[0].start * factor < BOX[0].stop * factor < rows.max() + 1
    inside = picture[int(8 * factor) + 2 : int(16 * factor) - 2, int(20 * factor) + 2 : int(32 * factor) - 2]
    assert (inside == 98).all()


def test_heat_has_the_scale_of_the_threshold_and_not_of_the_picture(found):
    dent = next(one for one in found.judged if one.image.kind == "dent")
    cold, hot = (heat_picture(frame(98)[:, :, None], dent, threshold) for threshold in (1e6, 10.0))
    assert np.ptp(cold[60, 150].astype(int)) == 0
    assert np.ptp(hot[60, 150].astype(int)) > 50


def test_a_giant_score_does_not_flatten_the_histogram():
    rows = [("good", float(score), Verdict.OK) for score in range(200)] + [("dent", 1e6, Verdict.NG)]
    assert re.search(r"\(\d higher in the last bar\)", histogram_svg(outcomes_of(rows), 150.0))
    assert "in the last bar" not in histogram_svg(outcomes_of(rows[:-1]), 150.0)


def test_a_part_that_all_score_alike_has_a_histogram():
    assert "<svg" in histogram_svg(outcomes_of([("good", 0.0, Verdict.OK), ("dent", 0.0, Verdict.OK)]), 0.0)


def test_a_narrow_frame_is_shown_whole(recipe_file, data):
    write(data / "cells" / "test" / "good" / "900.png", frame(120, width=40, height=400))
    narrow = evaluate(recipe_file, labelled_set(data, "cells"), runtime=PluginBlock(kind="onnx"), resamples=50).judged[10]
    assert heat_picture(frame(120, width=40, height=400)[:, :, None], narrow, 10.0).shape == (360, 36, 3)
