import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge_inspect.acceptance import accept
from edge_inspect.cameras.pictures import hash_pixels
from edge_inspect.config import Recipe, load_recipe
from edge_inspect.decision import mean_of_highest
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.geometry import place, warp
from edge_inspect.model_folder import Golden, open_model_folder
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.runtimes.openvino_runtime import open_openvino
from edge_inspect.thresholds import load_thresholds
from edge_inspect.thresholds.order_statistics import upper_bound
from edge_inspect.thresholds.taught_frames import taught_frames
from edge_inspect.workshop import export as room
from edge_inspect.workshop.export import Exported, allowed, export
from edge_inspect.workshop.models.catalogue import CATALOGUE, configure
from edge_inspect.workshop.trained_folder import open_trained_folder
from edge_inspect.workshop.training import train

pytestmark = pytest.mark.torch
Plate = Callable[..., np.ndarray]


@pytest.fixture(autouse=True)
def _toy(toy: None) -> None:
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, plate: Plate, toy_class: type) -> Path:
    """A part trained once for the tests that only export it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(CATALOGUE, "toy", sys.modules[toy_class.__module__].ToyEntry())
        return train_toy(plate, tmp_path_factory.mktemp("trained") / "plate")


def train_toy(plate: Plate, out: Path, *, recipe: Recipe | None = None, channels: int = 1, **overrides: object) -> Path:
    config = configure("toy", {"width": 64, "height": 64, "epochs": 20, "patience": 20, "learning_rate": 0.01, **overrides})
    images = [(f"{seed:02}.png", plate(seed, channels=channels)) for seed in range(20)]
    train(images, name="toy", config=config, recipe=recipe or Recipe(part="plate", engine=out / "engine"), out=out)
    return out


def exported(trained: Path, recipe_file: Path, **options: object) -> Exported:
    return export(trained, recipe=load_recipe(recipe_file), **options)


def test_an_exported_model_is_accepted_by_both_runtimes_and_its_thresholds_belong_to_it(trained: Path, recipe_file: Path) -> None:
    result, recipe = exported(trained, recipe_file), load_recipe(recipe_file)
    model = open_model_folder(recipe.engine)
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    assert thresholds == result.finished.thresholds
    assert (model.manifest.family, model.manifest.image_score) == ("toy", "map maximum")
    assert model.manifest.training == open_trained_folder(trained).record.training
    for opened in (open_onnx, open_openvino):
        with opened(model=model) as runtime:
            accepted = accept(runtime, model, image_threshold=thresholds.image_threshold, pixel_threshold=thresholds.pixel_threshold)
        assert accepted.frames == 8


def test_the_graph_says_what_the_trained_module_says(trained: Path, recipe_file: Path, plate: Plate) -> None:
    model = exported(trained, recipe_file).finished.model
    system, frame = open_trained_folder(trained).load_system(), plate(77)
    with open_onnx(model=model) as runtime:
        got = runtime.infer(frame, place(80, 72, None, width=64, height=64, channels=1))
    pixels = warp(frame, place(80, 72, None, width=64, height=64, channels=1))
    with torch.no_grad():
        score_map, image_score = system(torch.from_numpy(pixels[None].copy()))
    np.testing.assert_allclose(got.map, score_map[0, 0].numpy(), rtol=1e-4)
    assert got.image == pytest.approx(float(image_score[0]), rel=1e-4)


def test_the_agreement_of_torch_and_both_runtimes_is_told_with_the_cost(trained: Path, recipe_file: Path) -> None:
    result = exported(trained, recipe_file)
    assert set(result.agreement) == {"torch", "onnx", "openvino"}
    assert all(0 <= difference <= 1e-4 for difference in result.agreement.values())
    convolutions = 16 * 16 * (1 * 8 * 9 + 8 * 2 + 2 * 1)
    smoothing = 32 * 36 * 5 + 32 * 32 * 5
    assert result.gmacs * 1e9 == pytest.approx(convolutions + smoothing)
    assert result.operators["Conv"] == 5


def test_a_defect_scores_above_every_held_out_good_part(trained: Path, recipe_file: Path, plate: Plate) -> None:
    result = exported(trained, recipe_file)
    spoilt = plate(99).copy()
    spoilt[40:60:2, 50:70] = 0
    with open_onnx(model=result.finished.model) as runtime:
        bad = runtime.infer(spoilt, place(80, 72, None, width=64, height=64, channels=1))
    assert bad.image > result.finished.thresholds.image_threshold
    row, column = np.unravel_index(bad.map.argmax(), bad.map.shape)
    assert 40 / 72 * 32 - 2 <= row <= 60 / 72 * 32 + 2
    assert 50 / 80 * 32 - 2 <= column <= 70 / 80 * 32 + 2


def test_the_threshold_is_cut_from_the_held_out_parts_as_teach_does(trained: Path, recipe_file: Path) -> None:
    result = exported(trained, recipe_file)
    thresholds, finished = result.finished.thresholds, result.finished
    assert thresholds.image_threshold == thresholds.pixel_threshold == max(finished.scores)
    assert thresholds.false_reject_bound == upper_bound(1, 6)
    assert list(finished.names) == json.loads((trained / "training.json").read_text())["held_out"]
    assert "needs 299 held-out good parts" in thresholds.promise


def test_the_frames_that_were_learnt_from_or_decided_when_to_stop_go_with_the_engine(
    trained: Path, recipe_file: Path, plate: Plate
) -> None:
    shares = json.loads((trained / "training.json").read_text())
    known = {hash_pixels(plate(int(name[:2]))) for name in (*shares["trained_on"], *shares["stopped_on"])}
    assert shares["stopped_on"]
    assert taught_frames(exported(trained, recipe_file).finished.model) == known == set(open_trained_folder(trained).taught)


def test_the_same_trained_folder_gives_the_same_engine(trained: Path, recipe_file: Path, tmp_path: Path) -> None:
    one, again = (exported(trained, recipe_file, out=tmp_path / name).finished.model for name in ("one", "again"))
    assert one.engine_sha256 == again.engine_sha256
    assert not load_recipe(recipe_file).engine.exists()


@pytest.mark.parametrize("illumination", ["contrast", "homomorphic", "both"])
def test_illumination_normalisation_is_inside_the_graph(illumination: str, plate: Plate, tmp_path: Path, recipe_file: Path) -> None:
    folder = train_toy(plate, tmp_path / "trained", channels=3, epochs=2, illumination=illumination)
    result = exported(folder, recipe_file)
    assert max(result.agreement.values()) <= 1e-4
    assert "AveragePool" in result.operators
    assert result.finished.model.manifest.input.channels == 3


def test_a_dynamic_batch_stands_beside_the_graph_that_the_line_opens(trained: Path, recipe_file: Path) -> None:
    result = exported(trained, recipe_file, dynamic_batch=True)
    model, golden = result.finished.model, result.finished.model.load_golden()
    assert set(open_model_folder(model.path).manifest.files) == {"model.onnx", "model.dynamic.onnx", "golden.npz", "taught_frames.json"}
    assert result.agreement["model.dynamic.onnx"] <= 1e-4
    session = onnxruntime.InferenceSession(model.path / "model.dynamic.onnx")
    assert session.run(None, {"frame": golden.images[:3]})[0].shape == (3, 1, 32, 32)
    with open_onnx(model=model) as runtime:
        accept(runtime, model, image_threshold=None)


class TestMeanOfHighest:
    """Where the image score is the mean of the highest cells, the line takes it from the map, and masks apply."""

    @pytest.fixture
    def highest(self, plate: Plate, tmp_path: Path) -> Path:
        return train_toy(plate, tmp_path / "highest", highest_cells=9, epochs=3)

    def test_the_graph_says_what_the_line_computes(self, highest: Path, recipe_file: Path) -> None:
        result = exported(highest, recipe_file, dynamic_batch=True)
        model, golden = result.finished.model, result.finished.model.load_golden()
        assert (model.manifest.highest_cells, result.operators["TopK"]) == (9, 1)
        assert max(result.agreement.values()) <= 1e-4
        by_line = [mean_of_highest(one.reshape(-1), 9) for one in golden.maps]
        np.testing.assert_allclose(golden.scores, by_line, rtol=1e-6)
        assert (golden.scores < golden.maps.max(axis=(1, 2))).all()

    def test_score_and_regions_are_two_events(self, highest: Path, recipe_file: Path) -> None:
        finished = exported(highest, recipe_file).finished
        assert finished.thresholds.image_threshold == max(finished.scores)
        assert finished.thresholds.pixel_threshold > finished.thresholds.image_threshold
        assert "one threshold for the picture, one for the place" in finished.thresholds.rule

    def test_a_mask_applies_to_it(self, highest: Path, recipe_file: Path) -> None:
        whole = exported(highest, recipe_file).finished
        recipe_file.write_text(recipe_file.read_text() + "masks: {border_px: 30}\n")
        masked = exported(highest, recipe_file).finished
        assert masked.model.engine_sha256 == whole.model.engine_sha256
        assert np.all(np.array(masked.scores) <= whole.scores)
        assert masked.scores != whole.scores


class TestOwnScore:
    """Where the image score is not the map's maximum, score and regions are two events."""

    @pytest.fixture
    def own(self, plate: Plate, tmp_path: Path) -> Path:
        return train_toy(plate, tmp_path / "own", image_score="own", offset=-5.0, epochs=3)

    def test_each_has_a_threshold_of_its_own(self, own: Path, recipe_file: Path) -> None:
        finished = exported(own, recipe_file).finished
        assert finished.model.manifest.image_score == "own"
        assert finished.thresholds.image_threshold == max(finished.scores) < 0
        assert finished.thresholds.pixel_threshold > 0
        assert finished.thresholds.false_reject_bound == upper_bound(1, 6)
        assert "one threshold for the picture, one for the place" in finished.thresholds.rule

    def test_both_together_promise_the_sum(self, own: Path, recipe_file: Path) -> None:
        recipe_file.write_text(recipe_file.read_text() + "decision: {regions: {min_area_px: 4}}\n")
        thresholds = exported(own, recipe_file).finished.thresholds
        assert thresholds.false_reject_bound == min(1.0, 2 * upper_bound(1, 6))
        assert thresholds.confidence == 0.9
        assert "with 90 % confidence at most" in thresholds.promise

    def test_regions_alone_promise_by_cells(self, own: Path, recipe_file: Path) -> None:
        recipe_file.write_text(recipe_file.read_text() + "decision: {image_score: false, regions: {}}\n")
        thresholds = exported(own, recipe_file).finished.thresholds
        assert thresholds.promise.startswith("With 95 % confidence")
        assert thresholds.false_reject_bound == upper_bound(1, 6)

    def test_a_mask_cannot_apply_to_it(self, own: Path, recipe_file: Path) -> None:
        recipe_file.write_text(recipe_file.read_text() + "masks: {border_px: 4}\n")
        with pytest.raises(ConfigError, match="a mask cannot apply"):
            exported(own, recipe_file)


def test_a_recipe_with_another_view_is_refused(trained: Path, recipe_file: Path) -> None:
    text = recipe_file.read_text()
    recipe_file.write_text(text + "region_of_interest: {left: 8, top: 8, width: 32, height: 32}\n")
    with pytest.raises(ConfigError, match=r"region_of_interest is .*, .*was trained with not there; export with the recipe it was trained"):
        exported(trained, recipe_file)
    recipe_file.write_text(text + "frame: {width: 640, height: 480}\n")
    with pytest.raises(ConfigError, match=r"frame is 640 x 480, .* was trained on frames of 80 x 72"):
        exported(trained, recipe_file)


def test_a_masked_recipe_of_the_same_view_gives_the_same_engine_and_its_own_threshold(trained: Path, recipe_file: Path) -> None:
    whole = exported(trained, recipe_file).finished
    recipe_file.write_text(recipe_file.read_text() + "masks: {border_px: 12}\n")
    masked = exported(trained, recipe_file).finished
    assert masked.model.engine_sha256 == whole.model.engine_sha256
    assert masked.thresholds.recipe_sha256 != whole.thresholds.recipe_sha256
    assert np.all(np.array(masked.scores) <= whole.scores)


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_a_rate_nobody_can_promise_is_refused(rate: float, trained: Path, recipe_file: Path) -> None:
    with pytest.raises(ConfigError, match="false reject rate"):
        exported(trained, recipe_file, false_reject_rate=rate)


def test_a_system_that_answers_otherwise_in_torch_is_not_exported(
    trained: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = room.Eager.infer

    def shifted(self: room.Eager, pixels: np.ndarray, placement: object) -> object:
        said = real(self, pixels, placement)
        return type(said)(map=said.map * 1.01, image=said.image * 1.01)

    monkeypatch.setattr(room.Eager, "infer", shifted)
    with pytest.raises(EngineError, match=r"torch does not compute what the exported graph computes: golden frame \d, .*difference of"):
        exported(trained, recipe_file)
    assert not load_recipe(recipe_file).engine.exists()
    assert not load_recipe(recipe_file).thresholds.exists()


def test_a_batch_whose_frames_touch_each_other_is_refused(
    trained: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch, toy_class: type
) -> None:
    real = toy_class.forward

    def mixing(self: torch.nn.Module, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score_map, image_score = real(self, frames)
        return score_map / score_map.mean(), image_score / score_map.mean()

    monkeypatch.setattr(toy_class, "forward", mixing)
    with pytest.raises(EngineError, match="must not depend on its neighbours in the batch"):
        exported(trained, recipe_file, dynamic_batch=True)


def test_a_forward_that_torch_cannot_write_is_one_sentence(
    trained: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch, toy_class: type
) -> None:
    def branching(self: torch.nn.Module, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("no\nsuch\nthing")

    monkeypatch.setattr(toy_class, "forward", branching)
    with pytest.raises(EngineError, match=r"Toy: torch cannot write it as ONNX: .*no such thing"):
        exported(trained, recipe_file)


def test_what_tensorrt_8_2_does_not_take_is_named(
    trained: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch, toy_class: type
) -> None:
    real = toy_class.forward

    def rounding(self: torch.nn.Module, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        score_map, image_score = real(self, frames)
        return torch.fmod(score_map, 5.0), image_score

    monkeypatch.setattr(toy_class, "forward", rounding)
    with pytest.raises(EngineError, match="there is no operator Mod"):
        exported(trained, recipe_file)


@pytest.mark.parametrize(("scores", "wanted"), [([0.0, 1.0], 1e-4), ([100.0, 101.0], 2.02e-4), ([1000.0, 1000.1], 5e-4)])
def test_scores_that_barely_vary_are_allowed_their_rounding_and_no_more(scores: list[float], wanted: float) -> None:
    golden = Golden(
        images=np.zeros((2, 4, 4, 1), np.uint8), maps=np.array([[[0.0]], [[1.0]]], np.float32), scores=np.array(scores, np.float32)
    )
    assert allowed(golden, own=True) == pytest.approx(wanted, rel=1e-3)
    assert allowed(golden, own=False) == 1e-4


def test_the_cast_comes_first(trained: Path, recipe_file: Path) -> None:
    graph = onnx.load(exported(trained, recipe_file).finished.model.model_file)
    assert [node.op_type for node in graph.graph.node if "frame" in node.input] == ["Cast"]
    assert (graph.ir_version, graph.opset_import[0].version) == (7, 13)
    assert not any(node.doc_string for node in graph.graph.node)
