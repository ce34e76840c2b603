"""A whole evaluation of the tiny engine, whose scores can be predicted, and what happens to pictures that do not fit."""

import re
import time

import numpy as np
import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.inspector import open_inspector
from edge_inspect.workshop.evaluation.disturbances import DISTURBANCES
from edge_inspect.workshop.evaluation.evaluate import evaluate
from edge_inspect.workshop.evaluation.judging import finding_of, frame_from_pixels
from edge_inspect.workshop.evaluation.labelled import labelled_set
from edge_inspect.workshop.evaluation.robustness import measure_robustness
from tests.conftest import write_part
from tests.unit.workshop.evaluation.conftest import frame, write, write_set

pytestmark = pytest.mark.workshop
ONNX = PluginBlock(kind="onnx")


def judged(recipe_file, labelled, **options):
    return evaluate(recipe_file, labelled, runtime=ONNX, resamples=200, **options)


def test_the_figures_are_those_of_scores_and_verdicts_that_can_be_predicted(recipe_file, cells):
    found = judged(recipe_file, cells)
    assert [one.score for one in found.judged] == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7, 8, 22, 30, 40, 30, 40, 50, 10], abs=1e-4)
    assert found.image.auroc == pytest.approx((5 * 10 + 9) / 60)
    assert found.image.recall == pytest.approx(5 / 6)
    assert found.image.precision == pytest.approx(5 / 6)
    assert found.image.false_reject_rate == pytest.approx(1 / 10)
    assert found.per_defect["scratch"].recall == pytest.approx(3 / 4)
    assert found.per_defect["dent"].auroc == 1.0
    assert found.pixel is not None
    assert (found.pixel.images, found.pixel.regions) == (16, 6)
    assert found.pixel.auroc > 0.99
    assert (found.promise.parts, found.promise.rejected, found.promise.bound) == (10, 1, None)
    assert found.manifest.family == "grey deviation"
    assert found.ms_per_image > 0


def test_a_picture_that_cannot_be_read_is_named_and_the_rest_goes_on(recipe_file, cells):
    broken = cells.images[3].picture
    broken.write_bytes(b"no picture")
    found = judged(recipe_file, cells)
    assert len(found.judged) == 15
    assert len(found.refused) == 1
    assert "good/003.png" in found.refused[0]


def test_a_set_without_a_readable_good_picture_is_refused_with_the_reasons(recipe_file, cells):
    for image in cells.images:
        if image.good:
            image.picture.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"no good picture could be judged: good/000\.png: .*and 7 more"):
        judged(recipe_file, cells)


def test_pictures_of_another_size_than_the_recipes_frame_are_left_out(tmp_path, data):
    write(data / "cells" / "test" / "good" / "900.png", frame(128, width=80))
    recipe_file = write_part(tmp_path / "sized", extra="frame: {width: 64, height: 48}\n")
    found = judged(recipe_file, labelled_set(data, "cells"))
    assert ["good/900.png" in reason and "80 x 48" in reason for reason in found.refused] == [True]


def test_pictures_of_different_sizes_are_judged_each_in_its_own(recipe_file, data):
    write(data / "cells" / "test" / "dent" / "900.png", frame(188, width=128, height=96))
    mask = np.zeros((96, 128), np.uint8)
    mask[8:16, 20:32] = 255
    write(data / "cells" / "ground_truth" / "dent" / "900_mask.png", mask)
    found = judged(recipe_file, labelled_set(data, "cells"))
    assert found.pixel is not None
    assert (len(found.judged), found.pixel.images, found.without_mask) == (17, 17, ())


def test_a_set_without_masks_has_no_pixel_figures(recipe_file, tmp_path):
    write_set(tmp_path / "bare", good=[128, 129], defects={"dent": [180, 190]}, masks=False)
    found = judged(recipe_file, labelled_set(tmp_path, "bare"))
    assert found.pixel is None
    assert len(found.without_mask) == 2
    assert found.image.auroc == 1.0


def test_pictures_of_one_part_are_counted_as_one(recipe_file, cells):
    found = judged(recipe_file, cells, part_of=re.compile(r"\d\d(\d)"))
    assert (found.promise.parts, found.part_of) == (10, r"\d\d(\d)")
    assert judged(recipe_file, cells, part_of=re.compile(r"(\d\d)\d")).promise.parts == 1


def test_a_name_that_tells_no_part_is_refused_before_anything_is_judged(recipe_file, cells):
    with pytest.raises(ConfigError, match="does not find a part's name"):
        judged(recipe_file, cells, part_of=re.compile(r"part(\d)"), progress=lambda *_: pytest.fail("judged"))


def test_the_same_seed_gives_the_same_figures(recipe_file, cells):
    one, other = (judged(recipe_file, cells, robustness=True, seed=4) for _ in range(2))
    assert (one.intervals, one.robustness, one.image) == (other.intervals, other.robustness, other.image)


def test_every_disturbance_has_a_curve_that_starts_with_the_set_as_it_came(recipe_file, cells):
    found = judged(recipe_file, cells, robustness=True)
    for disturbance in DISTURBANCES:
        curve = [point for point in found.robustness if point.disturbance == disturbance.name]
        assert [point.strength for point in curve] == [disturbance.neutral, *disturbance.strengths]
        assert [point.undisturbed for point in curve] == [True] + [False] * len(disturbance.strengths)
        assert curve[0].auroc == found.image.auroc


def test_a_disturbance_is_judged_at_the_unchanged_threshold(recipe_file, cells):
    """The tiny engine scores the distance from 128: half the light is 64 off everywhere, and all are rejected."""
    found = judged(recipe_file, cells, robustness=True)
    dark = next(point for point in found.robustness if (point.disturbance, point.strength) == ("low_light", 0.5))
    assert (dark.false_reject_rate, dark.recall) == (1.0, 1.0)
    moved = next(point for point in found.robustness if (point.disturbance, point.strength) == ("shift", 1))
    assert moved.false_reject_rate == pytest.approx(found.image.false_reject_rate)


def test_without_being_asked_nothing_is_disturbed(recipe_file, cells):
    assert judged(recipe_file, cells).robustness == ()


def test_progress_is_told_for_every_stage(recipe_file, cells):
    told = []
    judged(recipe_file, cells, robustness=True, progress=lambda doing, done, total: told.append((doing, done, total)))
    for stage in ("judging", "disturbing", "pixels"):
        assert [(done, total) for doing, done, total in told if doing == stage] == [(number, 16) for number in range(1, 17)], stage


def test_a_set_whose_defects_were_taken_in_other_light_is_found_out(recipe_file, tmp_path):
    for number in range(6):
        write(tmp_path / "lit" / "test" / "good" / f"{number}.png", np.full((48, 64), 120 + number, np.uint8))
        write(tmp_path / "lit" / "test" / "dent" / f"{number}.png", np.full((48, 64), 140 + number, np.uint8))
    assert judged(recipe_file, labelled_set(tmp_path, "lit")).shortcuts["brightness"] == 1.0


def test_a_part_that_is_not_inspected_is_a_fault_and_has_no_score(recipe_file, tmp_path, cells, monkeypatch):
    from edge_inspect.errors import PartNotLocated
    from edge_inspect.inspector import Inspector

    whole = Inspector.inspect

    def sometimes(self, frame):
        if frame.part_id == "good/000.png":
            raise PartNotLocated("no part in the frame")
        return whole(self, frame)

    monkeypatch.setattr(Inspector, "inspect", sometimes)
    found = judged(recipe_file, cells, robustness=True)
    first = found.judged[0]
    assert (first.verdict, first.score, first.seen, first.rejected) == (Verdict.FAULT, None, None, True)
    assert found.outcomes.faults == 1
    assert found.image.false_reject_rate == pytest.approx(2 / 10)
    assert {point.faults for point in found.robustness} == {1}
    assert found.pixel is not None
    assert found.pixel.images == 15
    assert found.without_mask == ("good/000.png: was not inspected",)


def test_a_map_that_is_not_finite_is_not_inspected(recipe_file, tmp_path, monkeypatch):
    with open_inspector(recipe_file, ONNX, base=tmp_path) as inspector:
        infer = inspector._runtime.infer

        def broken(pixels, placement):
            scores = infer(pixels, placement)
            spoilt = scores.map.copy()
            spoilt[0, 0] = np.nan
            return type(scores)(map=spoilt, image=scores.image)

        monkeypatch.setattr(inspector, "_runtime", type("Broken", (), {"infer": staticmethod(broken)}))
        assert finding_of(inspector, frame_from_pixels(frame(128)[:, :, None], number=0, name="x")) is None


def test_figures_of_500_pictures_take_a_few_seconds_beyond_inference(recipe_file, tmp_path, cells):
    from edge_inspect.workshop.evaluation.intervals import bootstrap
    from edge_inspect.workshop.evaluation.pixels import pixel_figures

    found = judged(recipe_file, cells)
    started = time.process_time()
    pixel_figures(found.judged * 32)
    bootstrap(found.outcomes)
    assert time.process_time() - started < 10


def test_robustness_is_measured_for_the_judged_pictures_only(recipe_file, tmp_path, cells):
    cells.images[3].picture.write_bytes(b"")
    found = judged(recipe_file, cells, robustness=True)
    with open_inspector(recipe_file, ONNX, base=tmp_path) as inspector:
        again = measure_robustness(inspector, found.judged, found.outcomes)
    assert again == found.robustness
