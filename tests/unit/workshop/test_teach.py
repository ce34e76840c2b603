import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from edge_inspect.acceptance import accept
from edge_inspect.cameras.pictures import hash_pixels, read_picture
from edge_inspect.config import load_recipe
from edge_inspect.datatypes import Placement
from edge_inspect.errors import ConfigError, EngineError
from edge_inspect.geometry import place
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.onnx_runtime import open_onnx
from edge_inspect.thresholds import load_thresholds
from edge_inspect.thresholds.frames import load_frames
from edge_inspect.thresholds.history import history_path
from edge_inspect.thresholds.order_statistics import upper_bound
from edge_inspect.thresholds.taught_frames import taught_frames
from edge_inspect.workshop import golden_frames as room
from edge_inspect.workshop.teach import Taught, teach

pytestmark = pytest.mark.workshop
Plate = Callable[..., np.ndarray]


def taught(folder: Path, recipe_file: Path, **options: object) -> Taught:
    return teach(sorted(folder.iterdir()), recipe=load_recipe(recipe_file), width=64, height=64, **options)


@pytest.fixture(scope="module")
def one(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """A part taught once for the tests that only look at it."""
    file = tmp_path_factory.mktemp("part") / "recipe.yaml"
    file.write_text("part: plate\nengine: engine\n", encoding="utf-8")
    return taught(good_folder, file)


def whole(frame: np.ndarray) -> Placement:
    return place(frame.shape[1], frame.shape[0], None, width=64, height=64, channels=1)


def test_a_taught_part_is_accepted_and_its_thresholds_belong_to_it(one: Taught) -> None:
    result, recipe = one, load_recipe(one.model.path.parent / "recipe.yaml")
    model = open_model_folder(recipe.engine)
    thresholds = load_thresholds(recipe.thresholds, engine_sha256=model.engine_sha256, recipe_sha256=recipe.sha256)
    assert thresholds == result.thresholds
    assert model.manifest.family == "padim"
    assert model.manifest.training.images == result.fitted == 14
    assert (model.manifest.score_map.width, model.manifest.score_map.height) == (16, 16)
    onnx.checker.check_model(onnx.load(model.model_file), full_check=True)
    with open_onnx(model=model) as runtime:
        accepted = accept(runtime, model, image_threshold=thresholds.image_threshold)
    assert accepted.frames == 8


def test_a_defect_scores_above_every_held_out_good_part_and_where_it_is(one: Taught, plate: Plate) -> None:
    spoilt = plate(99).copy()
    cv2.circle(spoilt, (60, 50), 5, 220, -1)
    with open_onnx(model=one.model) as runtime:
        good, bad = (runtime.infer(frame, whole(frame)) for frame in (plate(99), spoilt))
    assert bad.image > one.thresholds.image_threshold
    assert bad.image > 1.5 * good.image
    row, column = np.unravel_index(bad.map.argmax(), bad.map.shape)
    assert abs(column - 60 / 80 * 16) <= 2
    assert abs(row - 50 / 72 * 16) <= 2


def test_the_same_images_and_seed_give_the_same_engine_and_another_seed_another(one: Taught, good_folder: Path, recipe_file: Path) -> None:
    again, another = (taught(good_folder, recipe_file, seed=seed).model.engine_sha256 for seed in (0, 1))
    assert again == one.model.engine_sha256
    assert again != another


def test_the_threshold_is_the_largest_held_out_score_and_promises_no_more_than_six_parts_carry(
    good_folder: Path, recipe_file: Path
) -> None:
    result = taught(good_folder, recipe_file)
    assert len(result.scores) == len(result.held_out) == 6
    assert result.thresholds.image_threshold == result.thresholds.pixel_threshold == max(result.scores)
    assert result.thresholds.false_reject_bound == upper_bound(1, 6)
    assert "needs 299 held-out good parts" in result.thresholds.promise
    assert result.thresholds.sample.images == 6


def test_the_model_folder_says_which_frames_it_was_made_from_and_that_it_was_not_the_held_out_ones(one: Taught, good_folder: Path) -> None:
    taught_on = taught_frames(open_model_folder(one.model.path))
    hashes = {path.name: hash_pixels(read_picture(path)) for path in good_folder.iterdir()}
    assert taught_on == {digest for name, digest in hashes.items() if name not in one.held_out}
    assert len(taught_on) == one.fitted


def test_parts_with_several_pictures_count_once_and_stay_together(good_folder: Path, recipe_file: Path) -> None:
    result = taught(good_folder, recipe_file, part_of=re.compile(r"(\d+)_"))
    assert result.cut.parts == 3
    assert len(result.scores) == 6
    assert len({name[:3] for name in result.held_out}) == 3


def test_an_ignored_place_counts_for_the_threshold_no_more_than_for_the_verdict(recipe_file: Path, plate: Plate) -> None:
    images = [(f"{seed}", plate(seed).copy()) for seed in range(20)]
    for seed, (_, pixels) in enumerate(images):
        cv2.circle(pixels, (10, 60), 1 + seed % 7, int(255 * (seed % 2)), -1)
    open_everywhere = teach(images, recipe=load_recipe(recipe_file), width=64, height=64)
    recipe_file.write_text(recipe_file.read_text() + "masks:\n  ignore: [[[0, 36], [32, 36], [32, 72], [0, 72]]]\n")
    masked = teach(images, recipe=load_recipe(recipe_file), width=64, height=64)
    assert masked.model.engine_sha256 == open_everywhere.model.engine_sha256
    assert masked.thresholds.recipe_sha256 != open_everywhere.thresholds.recipe_sha256
    assert np.all(np.array(masked.scores) <= open_everywhere.scores)
    assert sum(masked.scores) < sum(open_everywhere.scores)


def test_half_of_the_golden_frames_are_defective(one: Taught) -> None:
    golden = one.model.load_golden()
    assert len(golden.images) == 8
    assert np.isfinite(golden.maps).all()
    np.testing.assert_allclose(golden.scores, golden.maps.max(axis=(1, 2)))
    assert golden.scores[4:].mean() > golden.scores[:4].mean()


def test_no_golden_frame_is_so_near_the_threshold_that_rounding_flips_it(recipe_file: Path, plate: Plate) -> None:
    """Of three held-out parts one is the threshold: it is no golden frame."""
    result = teach([(f"{seed}", plate(seed)) for seed in range(10)], recipe=load_recipe(recipe_file), width=64, height=64)
    golden, threshold = result.model.load_golden(), result.thresholds.image_threshold
    assert len(golden.images) == 2 + 4
    assert np.all(np.abs(golden.scores - threshold) > 0.02 * threshold)


def test_ten_equal_pictures_are_taught_and_any_change_is_a_defect(recipe_file: Path, plate: Plate) -> None:
    result = teach([(f"{index}", plate(0)) for index in range(10)], recipe=load_recipe(recipe_file), width=64, height=64)
    assert result.thresholds.image_threshold < 0.1
    assert result.model.load_golden().scores.min() > 1


def test_colour_frames_from_a_generator_are_taught_too(recipe_file: Path, plate: Plate) -> None:
    frames = ((f"{seed}", plate(seed, channels=3)) for seed in range(12))
    result = teach(frames, recipe=load_recipe(recipe_file), width=64, height=96)
    assert result.model.manifest.input.channels == 3
    assert result.model.manifest.score_map.height == 24


def test_another_folder_than_the_recipes_can_be_written(good_folder: Path, recipe_file: Path, tmp_path: Path) -> None:
    result = taught(good_folder, recipe_file, out=tmp_path / "elsewhere")
    assert open_model_folder(tmp_path / "elsewhere").engine_sha256 == result.model.engine_sha256
    assert not load_recipe(recipe_file).engine.exists()


def test_progress_is_told_for_every_step(good_folder: Path, recipe_file: Path) -> None:
    told: list[tuple[str, int, int]] = []
    taught(good_folder, recipe_file, progress=lambda *said: told.append(said))
    last = {doing: (done, total) for doing, done, total in told}
    assert last == {"reading": (20, 20), "fitting": (14, 14), "scoring": (6, 6)}


@pytest.mark.parametrize(("width", "height"), [(250, 256), (256, 250), (48, 256)])
def test_a_size_the_backbone_cannot_take_is_refused(width: int, height: int, recipe_file: Path) -> None:
    with pytest.raises(ConfigError, match=f"network image {width} x {height}: wanted multiples of 16"):
        teach([], recipe=load_recipe(recipe_file), width=width, height=height)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_nobody_can_promise_is_refused(rate: float, recipe_file: Path) -> None:
    with pytest.raises(ConfigError, match="false reject rate"):
        teach([], recipe=load_recipe(recipe_file), false_reject_rate=rate)


def test_an_edited_history_is_told_before_the_engine_in_service_is_replaced(good_folder: Path, recipe_file: Path) -> None:
    thresholds = taught(good_folder, recipe_file).thresholds
    recipe = load_recipe(recipe_file)
    assert load_frames(recipe.thresholds).sample.max() == thresholds.image_threshold
    history = history_path(recipe.thresholds)
    history.write_text(history.read_text().replace("good images", "other images"))
    before = {file: file.read_bytes() for file in recipe_file.parent.rglob("*") if file.is_file()}
    with pytest.raises(ConfigError, match="the history is not as it was written"):
        taught(good_folder, recipe_file, seed=1)
    assert {file: file.read_bytes() for file in recipe_file.parent.rglob("*") if file.is_file()} == before


def test_a_runtime_that_computes_something_else_makes_no_golden_frames(
    good_folder: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Another:
        def __init__(self, graph: onnx.ModelProto) -> None:
            pass

        def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.zeros((1, 1, 16, 16), np.float32)]

    monkeypatch.setattr(room, "ReferenceEvaluator", Another)
    with pytest.raises(EngineError, match=r"differ by .* of the score range"):
        taught(good_folder, recipe_file)
    assert not load_recipe(recipe_file).engine.exists()
