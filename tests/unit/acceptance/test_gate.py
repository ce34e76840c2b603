"""No agreement, no service: every way in which an engine can be wrong is tried with a really wrong engine."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.acceptance import REPEATS, accept, compare
from edge_inspect.datatypes import Scores
from edge_inspect.errors import EngineError
from edge_inspect.model_folder import Golden, open_model_folder, write_model_folder
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.runtimes.openvino_runtime import open_openvino
from edge_inspect.runtimes.reference import open_reference

MODELS = Path(__file__).parents[2] / "golden" / "models"
ENGINES = [open_openvino, open_onnx, open_reference]
# What the golden frames of tiny score at most: four good ones, a dark square, a scratch, a stain.
SCORES = [7.625, 7.875, 7.625, 7.625, 108.0, 59.5625, 54.375]


@pytest.fixture
def tiny():
    return open_model_folder(MODELS / "tiny")


@pytest.fixture
def open_variant(tiny, tmp_path):
    """Opens a wrong graph that claims tiny's golden frames; gives the engine and its folder."""
    with ExitStack() as opened:

        def open_one(name, open_engine=open_reference):
            model = rewritten(tiny, tmp_path / name, onnx_bytes=(MODELS / "variants" / f"{name}.onnx").read_bytes())
            return opened.enter_context(open_engine(model=model)), model

        yield open_one


def rewritten(model, path, *, onnx_bytes=None, **golden):
    """The model folder again, with another graph or other golden frames."""
    manifest, old = model.manifest, model.load_golden()
    return write_model_folder(
        path,
        onnx_bytes=onnx_bytes or model.model_file.read_bytes(),
        golden=Golden(**{"images": old.images, "maps": old.maps, "scores": old.scores} | golden),
        model="variant",
        family=manifest.family,
        input_size=manifest.input,
        image_score=manifest.image_score,
        score_meaning=manifest.score_meaning,
        training=manifest.training,
        software="test",
        created_at=datetime(2026, 11, 21, tzinfo=timezone.utc),
    )


@dataclass
class Altered:
    """An engine whose every answer is altered on the way out."""

    runtime: object
    alter: object
    calls: list = field(default_factory=list)

    def infer(self, pixels, placement):
        self.calls.append(placement)
        return self.alter(self.runtime.infer(pixels, placement), len(self.calls))


@pytest.mark.parametrize("open_engine", ENGINES)
@pytest.mark.parametrize("name", ["tiny", "tiny_mono", "tiny_nan", "tiny_own", "tiny_highest"])
def test_an_engine_that_agrees_is_accepted(open_engine, name):
    model = open_model_folder(MODELS / name)
    with open_engine(model=model) as runtime:
        acceptance = accept(runtime, model, image_threshold=6.2 if name == "tiny_own" else 20.0, pixel_threshold=10.0)
    assert acceptance.frames == 7
    assert acceptance.worst_relative < 1e-6
    assert acceptance.flipped == acceptance.undecided == acceptance.complaints == ()
    assert acceptance.regions_overlap == 1
    assert acceptance.repeatable
    assert 0 < acceptance.latency_p50_ms <= acceptance.latency_p95_ms <= acceptance.latency_p99_ms


@pytest.mark.parametrize("open_engine", ENGINES)
@pytest.mark.parametrize("name", ["scaled", "offset", "swapped", "zero", "shifted"])
def test_a_wrong_engine_is_refused(open_variant, open_engine, name):
    runtime, model = open_variant(name, open_engine)
    with pytest.raises(
        EngineError, match=r"no agreement, no service: golden frame \d, (score map at row|image score).* of the golden range"
    ):
        accept(runtime, model, image_threshold=None)


def test_the_refusal_says_where_and_by_how_much(open_variant):
    runtime, model = open_variant("scaled")
    with pytest.raises(EngineError) as refusal:
        accept(runtime, model, image_threshold=None)
    assert (
        "golden frame 4, score map at row 2, column 3: got 110.16, wanted 108: "
        "a difference of 2.0e-02 of the golden range, allowed is 1.0e-03" in str(refusal.value)
    )


def test_rounding_is_accepted_and_reported(open_variant):
    runtime, model = open_variant("rounded")
    acceptance = accept(runtime, model, image_threshold=20.0)
    assert acceptance.worst_absolute == pytest.approx(0.0108, rel=1e-2)
    assert acceptance.worst_relative == pytest.approx(1e-4, rel=5e-2)


def test_the_tolerance_can_be_tightened(open_variant):
    runtime, model = open_variant("rounded")
    with pytest.raises(EngineError, match=r"allowed is 1.0e-05"):
        accept(runtime, model, image_threshold=None, tolerance=1e-5)


def test_a_flipped_verdict_is_refused_even_within_the_tolerance(open_variant):
    runtime, model = open_variant("rounded")
    with pytest.raises(EngineError, match=r"service: golden frame 4 flips its verdict: got 108.0\d+, wanted 108, threshold 108.005"):
        accept(runtime, model, image_threshold=108.005)
    assert compare(runtime, model, image_threshold=108.005).flipped == (4,)


def test_frames_that_the_tolerance_could_flip_are_named(open_variant):
    runtime, model = open_variant("rounded")
    assert accept(runtime, model, image_threshold=108.05).undecided == (4,)
    assert accept(runtime, model, image_threshold=90.0).undecided == ()


def test_regions_that_differ_are_refused(open_variant):
    runtime, model = open_variant("rounded")
    with pytest.raises(EngineError, match=r"service: regions above 108.005 overlap by 0.00, wanted 0.95"):
        accept(runtime, model, image_threshold=None, pixel_threshold=108.005)


def test_no_region_anywhere_is_agreement(open_variant):
    runtime, model = open_variant("rounded")
    assert accept(runtime, model, image_threshold=None, pixel_threshold=500.0).regions_overlap == 1


def test_an_engine_that_does_not_repeat_itself_is_refused(tiny):
    def jitter(scores, call):
        return Scores(map=scores.map + np.float32(1e-5 * (call % 3)), image=scores.image)

    with (
        open_reference(model=tiny) as runtime,
        pytest.raises(EngineError, match="service: the same frame did not give the same bits"),
    ):
        accept(Altered(runtime, jitter), tiny, image_threshold=None)


def test_an_engine_that_wavers_late_is_refused(tiny):
    """The same frame again and again: the twentieth answer is another one."""

    def late(scores, call):
        return Scores(map=scores.map + np.float32(1e-5 * (call == 32)), image=scores.image)

    with open_reference(model=tiny) as runtime, pytest.raises(EngineError, match="did not give the same bits"):
        accept(Altered(runtime, late), tiny, image_threshold=None)


def test_the_margin_used_is_the_worst_frame_s_part_of_its_distance_from_the_threshold(tiny):
    with open_reference(model=tiny) as runtime:
        moved = Altered(runtime, lambda scores, call: replace(scores, image=scores.image + 0.05))
        said = compare(moved, tiny, image_threshold=7.875 + 0.5, tolerance=1.0)
    assert said.margin_used == pytest.approx(0.1)
    assert said.flipped == ()


def test_a_margin_that_is_used_up_is_a_flip(tiny):
    with open_reference(model=tiny) as runtime:
        moved = Altered(runtime, lambda scores, call: replace(scores, image=scores.image + 1.0))
        said = compare(moved, tiny, image_threshold=7.875 + 0.5, tolerance=1.0)
    assert said.margin_used == pytest.approx(2.0)
    assert said.flipped == (0, 1, 2, 3)


def test_an_image_score_that_does_not_repeat_itself_is_refused(tiny):
    def jitter(scores, call):
        return Scores(map=scores.map, image=scores.image + 1e-9 * call)

    with open_reference(model=tiny) as runtime, pytest.raises(EngineError, match="did not give the same bits"):
        accept(Altered(runtime, jitter), tiny, image_threshold=None)


def test_a_map_with_one_nan_is_refused(tiny):
    def spoil(scores, call):
        scores.map[3, 4] = np.nan
        return scores

    with open_reference(model=tiny) as runtime:
        spoilt = Altered(runtime, spoil)
        with pytest.raises(EngineError, match="golden frame 0, score map at row 3, column 4: got nan"):
            accept(spoilt, tiny, image_threshold=None)
        assert compare(spoilt, tiny, image_threshold=None).worst_absolute == np.inf


def test_an_image_score_that_is_not_finite_flips_the_verdict(tiny):
    with open_reference(model=tiny) as runtime:
        said = compare(Altered(runtime, lambda scores, call: replace(scores, image=float("nan"))), tiny, image_threshold=20.0)
    assert said.flipped == (0, 1, 2, 3, 4, 5, 6)
    assert len(said.complaints) == 8


def test_a_wrong_image_score_beside_a_right_map_is_refused(tiny):
    with open_reference(model=tiny) as runtime, pytest.raises(EngineError, match=r"golden frame 0, image score: got 9\.6"):
        accept(Altered(runtime, lambda scores, call: replace(scores, image=scores.image + 2)), tiny, image_threshold=None)


def test_an_own_image_score_is_measured_by_its_own_range():
    own = open_model_folder(MODELS / "tiny_own")
    # The means range over 2.7, the maps over 108: 0.05 is nothing of the maps' range, and much of the means'.
    with open_reference(model=own) as runtime, pytest.raises(EngineError, match="image score"):
        accept(Altered(runtime, lambda scores, call: replace(scores, image=scores.image + 0.05)), own, image_threshold=None)


def test_own_image_scores_that_are_all_alike_are_measured_by_their_size(tmp_path):
    own = open_model_folder(MODELS / "tiny_own")
    first = own.load_golden()
    model = rewritten(own, tmp_path / "one", images=first.images[:1], maps=first.maps[:1], scores=first.scores[:1])
    with open_openvino(model=model) as runtime:
        assert accept(runtime, model, image_threshold=None).worst_relative < 1e-6


def test_an_engine_without_an_image_score_is_judged_by_the_maximum_of_its_map(tiny):
    with open_reference(model=tiny) as runtime:
        assert accept(Altered(runtime, lambda scores, call: replace(scores, image=None)), tiny, image_threshold=20.0).frames == 7


def test_a_wrong_mean_of_the_highest_cells_beside_a_right_map_is_refused_by_the_range_of_the_map():
    model = open_model_folder(MODELS / "tiny_highest")
    with open_reference(model=model) as runtime:
        accept(Altered(runtime, lambda scores, call: replace(scores, image=scores.image + 0.05)), model, image_threshold=None)
        with pytest.raises(EngineError, match="image score: got"):
            accept(Altered(runtime, lambda scores, call: replace(scores, image=scores.image + 0.2)), model, image_threshold=None)


def test_an_engine_without_an_image_score_is_judged_by_the_mean_of_its_highest_cells():
    model = open_model_folder(MODELS / "tiny_highest")
    with open_reference(model=model) as runtime:
        said = accept(Altered(runtime, lambda scores, call: replace(scores, image=None)), model, image_threshold=20.0)
    assert (said.frames, said.flipped) == (7, ())


def test_an_engine_without_the_models_own_image_score_is_refused():
    own = open_model_folder(MODELS / "tiny_own")
    with open_reference(model=own) as runtime, pytest.raises(EngineError, match="gives no image score, and the model has its own"):
        accept(Altered(runtime, lambda scores, call: replace(scores, image=None)), own, image_threshold=None)


def test_a_map_of_another_size_is_refused(tiny):
    with open_reference(model=tiny) as runtime, pytest.raises(EngineError, match=r"map of \(12, 15\), the manifest says \(12, 16\)"):
        accept(Altered(runtime, lambda scores, call: replace(scores, map=scores.map[:, 1:])), tiny, image_threshold=None)


def test_every_golden_frame_is_run_twice_and_the_first_twenty_times(tiny, tmp_path):
    assert REPEATS == 20
    old = tiny.load_golden()
    many = rewritten(tiny, tmp_path / "many", images=old.images.repeat(4, 0), maps=old.maps.repeat(4, 0), scores=old.scores.repeat(4, 0))
    for model, calls in ((tiny, 32), (many, 74)):
        with open_reference(model=model) as runtime:
            counted = Altered(runtime, lambda scores, call: scores)
            accept(counted, model, image_threshold=None)
        assert len(counted.calls) == calls


@pytest.mark.parametrize(
    ("golden", "sentence"),
    [
        ({"images": np.zeros((7, 32, 32, 3), np.uint8)}, r"golden frames are \(\(7, 32, 32, 3\).*wants \(\(7, 48, 64, 3\)"),
        ({"images": np.zeros((7, 48, 64, 3), np.float32)}, "the golden frames are"),
        ({"scores": np.zeros(6, np.float32)}, r"\(6,\)\), the manifest wants"),
        ({"maps": np.zeros((7, 12, 16), np.float32)}, "7 golden frames prove nothing"),
        ({"maps": np.full((7, 12, 16), np.nan, np.float32)}, "prove nothing"),
        ({"scores": np.full(7, np.inf, np.float32)}, "prove nothing"),
        (
            {"images": np.zeros((0, 48, 64, 3), np.uint8), "maps": np.zeros((0, 12, 16), np.float32), "scores": np.zeros(0, np.float32)},
            "0 golden frames prove nothing",
        ),
    ],
)
def test_golden_frames_that_prove_nothing_are_refused(tiny, tmp_path, golden, sentence):
    model = rewritten(tiny, tmp_path / "model", **golden)
    with open_reference(model=model) as runtime, pytest.raises(EngineError, match=sentence):
        accept(runtime, model, image_threshold=None)


def test_the_golden_scores_are_what_this_file_says(tiny):
    assert tiny.load_golden().scores.tolist() == SCORES
