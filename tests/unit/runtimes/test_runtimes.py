"""What all three built-in engines do alike."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.datatypes import Placement
from edge_inspect.errors import EngineError
from edge_inspect.geometry import place
from edge_inspect.model_folder import open_model_folder
from edge_inspect.protocols import Runtime

MODELS = Path(__file__).parents[2] / "golden" / "models"
TINY_MODELS = ["tiny", "tiny_mono", "tiny_nan", "tiny_own", "tiny_highest", "tiny_failing"]


def whole_frame(width: int = 64, height: int = 48, channels: int = 3) -> Placement:
    return place(width, height, None, width=64, height=48, channels=channels)


def grey_frame(level: int = 128, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize("name", TINY_MODELS)
def test_golden_frames_get_their_golden_scores(open_engine, name):
    model = open_model_folder(MODELS / name)
    golden, image = model.load_golden(), model.manifest.input
    placement = place(image.width, image.height, None, width=image.width, height=image.height, channels=image.channels)
    with open_engine(model=model) as runtime:
        assert isinstance(runtime, Runtime)
        for frame, score_map, score in zip(golden.images, golden.maps, golden.scores, strict=True):
            scores = runtime.infer(frame, placement)
            np.testing.assert_array_equal(scores.map, score_map)
            assert scores.image == pytest.approx(score, rel=1e-6)


def test_the_same_frame_gives_the_same_bits_whatever_came_between(open_engine, tiny):
    frames = np.random.default_rng(3).integers(0, 255, (20, 48, 64, 3), np.uint8)
    with open_engine(model=tiny) as runtime:
        first = [runtime.infer(frame, whole_frame()) for frame in frames]
        again = [runtime.infer(frame, whole_frame()) for frame in frames[::-1]][::-1]
    with open_engine(model=tiny) as runtime:
        opened_again = [runtime.infer(frame, whole_frame()) for frame in frames]
    for one, two, three in zip(first, again, opened_again, strict=True):
        assert one.map.tobytes() == two.map.tobytes() == three.map.tobytes()
        assert one.image == two.image == three.image


def test_a_larger_frame_is_placed_before_it_is_scored(open_engine, tiny):
    frame = grey_frame(width=128, height=96)
    frame[40:48, 80:88] = 200
    with open_engine(model=tiny) as runtime:
        scores = runtime.infer(frame, whole_frame(128, 96))
    wanted = np.zeros((12, 16), np.float32)
    wanted[5, 10] = 72
    np.testing.assert_array_equal(scores.map, wanted)
    assert scores.image == 72


def test_scores_that_were_given_out_do_not_change(open_engine, tiny):
    with open_engine(model=tiny) as runtime:
        bright = runtime.infer(grey_frame(168), whole_frame())
        runtime.infer(grey_frame(), whole_frame())
    assert bright.map.min() == bright.map.max() == 40
    assert bright.map.flags.writeable
    assert type(bright.image) is float


def test_a_map_that_is_not_finite_comes_out_as_it_is(open_engine):
    frame = grey_frame()
    frame[5, 6, 0] = 255
    with open_engine(model=open_model_folder(MODELS / "tiny_nan")) as runtime:
        scores = runtime.infer(frame, whole_frame())
        clean = runtime.infer(grey_frame(), whole_frame())
    assert np.argwhere(np.isnan(scores.map)).tolist() == [[1, 1]]
    assert np.isfinite(clean.map).all()


def test_an_engine_that_fails_on_a_frame_says_so_and_goes_on_with_the_next(open_engine):
    model = open_model_folder(MODELS / "tiny_failing")
    with open_engine(model=model) as runtime:
        with pytest.raises(EngineError, match=r"tiny_failing/model\.onnx: cannot be run by .*; ") as failure:
            runtime.infer(grey_frame(255), whole_frame())
        assert "\n" not in str(failure.value)
        assert runtime.infer(grey_frame(138), whole_frame()).image == 10


def test_a_placement_for_another_network_is_refused(open_engine, tiny):
    mono = place(64, 48, None, width=64, height=48, channels=1)
    with open_engine(model=tiny) as runtime, pytest.raises(EngineError, match=r"\(48, 64, 1\), the engine wants \(48, 64, 3\)"):
        runtime.infer(grey_frame(), mono)


@pytest.mark.parametrize(
    ("variant", "got"),
    [
        ("input_name", r"got image uint8 \(1, 48, 64, 3\), .*wanted frame uint8 \(1, 48, 64, 3\)"),
        ("output_name", "got anomaly_map float32 .*wanted .*score_map float32"),
        ("input_float", r"got frame float32 \(1, 48, 64, 3\).*wanted frame uint8 \(1, 48, 64, 3\)"),
        ("score_shape", r"got .*image_score float32 \(1, 1\).*wanted .*image_score float32 \(1\)"),
    ],
)
def test_a_graph_that_is_not_its_manifests_is_refused(open_engine, folder_with, variant, got):
    model = folder_with((MODELS / "variants" / f"{variant}.onnx").read_bytes())
    with pytest.raises(EngineError, match=got), open_engine(model=model):
        pass


def test_a_graph_of_another_size_is_refused(open_engine, folder_with):
    model = folder_with((MODELS / "tiny_mono" / "model.onnx").read_bytes())
    with (
        pytest.raises(EngineError, match=r"got frame uint8 \(1, 32, 32, 1\).*wanted frame uint8 \(1, 48, 64, 3\)"),
        open_engine(model=model),
    ):
        pass


def test_a_graph_with_open_sizes_is_refused(open_engine, folder_with):
    model = folder_with((MODELS / "variants" / "open_size.onnx").read_bytes())
    with pytest.raises(EngineError, match=r"got frame uint8 \(-1, 48, 64, 3\)"), open_engine(model=model):
        pass


@pytest.mark.parametrize("damage", [b"", b"junk", "half"])
def test_a_damaged_graph_is_one_sentence(open_engine, folder_with, tiny, damage):
    whole = tiny.model_file.read_bytes()
    model = folder_with(whole[: len(whole) // 2] if damage == "half" else damage)
    with pytest.raises(EngineError, match=r"model\.onnx: (cannot be opened by|not the graph)") as refusal, open_engine(model=model):
        pass
    assert "\n" not in str(refusal.value)


def test_a_graph_that_vanished_after_it_was_verified_is_one_sentence(open_engine, folder_with):
    model = folder_with(b"")
    model.model_file.unlink()
    with pytest.raises(EngineError, match=r"model\.onnx: cannot be opened by"), open_engine(model=model):
        pass


def test_errors_of_the_user_of_an_engine_are_left_alone(open_engine, tiny):
    with pytest.raises(RuntimeError, match="mine"), open_engine(model=tiny):
        raise RuntimeError("mine")


def _kept_after(count, infer):
    """Bytes that are still held after so many inferences."""
    for _ in range(count):
        infer()
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    return kept


def test_a_frame_allocates_less_than_a_frame(open_engine, tiny):
    frame, placement = grey_frame(), whole_frame()
    with open_engine(model=tiny) as runtime:
        for _ in range(10):
            runtime.infer(frame, placement)
        tracemalloc.start()
        try:
            # The libraries' own caches fill up in the first windows; what grows on after that is a leak.
            kept = [_kept_after(50, lambda: runtime.infer(frame, placement)) for _ in range(6)]
            tracemalloc.reset_peak()
            runtime.infer(frame, placement)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak - kept[-1] < frame.nbytes
    assert min(later - earlier for earlier, later in pairwise(kept)) < 1000  # the smallest object kept of every frame: 50 x 56 bytes
