"""What is OpenVINO's own: precision, threads, cache."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_inspect.errors import EngineError
from edge_inspect.freed_memory import give_back_freed_memory
from edge_inspect.geometry import place
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.openvino_runtime import open_openvino
from edge_inspect.runtimes.reference import open_reference

MODELS = Path(__file__).parents[2] / "golden" / "models"
PLACEMENT = place(64, 48, None, width=64, height=48, channels=3)
FRAME = np.random.default_rng(5).integers(0, 255, (48, 64, 3), np.uint8)


def test_weights_that_bfloat16_cannot_hold_are_not_rounded_to_it(folder_with):
    """Fails on a CPU with AMX or AVX512-BF16 when the precision is left to the library."""
    model = folder_with((MODELS / "variants" / "rounded.onnx").read_bytes())
    with open_openvino(model=model) as engine, open_reference(model=model) as reference:
        got, wanted = engine.infer(FRAME, PLACEMENT), reference.infer(FRAME, PLACEMENT)
    np.testing.assert_allclose(got.map, wanted.map, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_a_score(tiny, threads):
    with open_openvino(model=tiny) as automatic, open_openvino(model=tiny, threads=threads) as told:
        assert automatic.infer(FRAME, PLACEMENT).map.tobytes() == told.infer(FRAME, PLACEMENT).map.tobytes()


def test_a_cached_engine_gives_the_same_bits(tiny, tmp_path):
    with open_openvino(model=tiny, cache=tmp_path) as compiled:
        first = compiled.infer(FRAME, PLACEMENT)
    assert [path.parent.name for path in tmp_path.rglob("*.blob")] == [tiny.engine_sha256[:16]]
    with open_openvino(model=tiny, cache=tmp_path) as cached:
        again = cached.infer(FRAME, PLACEMENT)
    assert first.map.tobytes() == again.map.tobytes()
    assert first.image == again.image


def test_a_cache_that_cannot_be_written_is_one_sentence(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=r"model\.onnx: cannot be opened by OpenVINO"), open_openvino(model=tiny, cache=tmp_path / "file"):
        pass


def test_a_damaged_cache_is_made_again_or_refused_but_never_believed(tiny, tmp_path):
    with open_openvino(model=tiny, cache=tmp_path) as compiled:
        wanted = compiled.infer(FRAME, PLACEMENT)
    (blob,) = tmp_path.rglob("*.blob")
    blob.write_bytes(blob.read_bytes()[:100])
    try:
        with open_openvino(model=tiny, cache=tmp_path) as engine:
            assert engine.infer(FRAME, PLACEMENT).map.tobytes() == wanted.map.tobytes()
    except EngineError:
        pass


def test_own_models_open_alike(tiny):
    own = open_model_folder(MODELS / "tiny_own")
    with open_openvino(model=own) as engine, open_openvino(model=tiny) as plain:
        assert engine.infer(FRAME, PLACEMENT).image == pytest.approx(plain.infer(FRAME, PLACEMENT).map.mean())


@pytest.mark.parametrize("there", [True, False])
def test_what_the_library_freed_is_given_back_where_the_allocator_can(there, monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(**({"malloc_trim": asked.append} if there else {})))
    give_back_freed_memory()
    assert asked == [0] * there
