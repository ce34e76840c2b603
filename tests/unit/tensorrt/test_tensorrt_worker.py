"""The worker's class in this process, on the fakes of every version: what it asks of TensorRT and CUDA, and in which order."""

from __future__ import annotations

import ast
import os
import select
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import fake_tensorrt.cuda as cuda
import numpy as np
import pytest
from fake_tensorrt import VERSIONS

from edge_inspect.errors import EngineError
from edge_inspect.geometry import place
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes import tensorrt_worker
from edge_inspect.runtimes.tensorrt_runtime import open_tensorrt

WHOLE = place(64, 48, None, width=64, height=48, channels=3)
GREY = np.full((48, 64, 3), 138, np.uint8)


def opened(model_and_plan, **options) -> AbstractContextManager[Runtime]:
    model, plan = model_and_plan
    return open_tensorrt(model=model, plan=plan, in_process=True, library="fake_tensorrt.tensorrt", cuda="fake_tensorrt.cuda", **options)


def device():
    return cuda.DEVICE


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_frames_get_their_golden_scores(version, plan_of):
    model, plan = plan_of(version)
    golden = model.load_golden()
    with opened((model, plan)) as engine:
        for frame, score_map, score in zip(golden.images, golden.maps, golden.scores, strict=True):
            scores = engine.infer(frame, WHOLE)
            np.testing.assert_array_equal(scores.map, score_map)
            assert scores.image == pytest.approx(score, rel=1e-6)


def test_every_buffer_is_allocated_once_and_given_back(plan_of, monkeypatch):
    allocated = []
    real = cuda.mem_alloc
    monkeypatch.setattr(cuda, "mem_alloc", lambda size: allocated.append(size) or real(size))
    with opened(plan_of("10.3.0")) as engine:
        for _ in range(10):
            engine.infer(GREY, WHOLE)
        assert sorted(allocated) == [4, 12 * 16 * 4, 48 * 64 * 3]
        assert len(device().streams) == 1
        assert len(device().locked) == 1
        assert device().contexts == 0
    assert device().memory == {}
    assert device().locked == []


def test_a_device_that_cannot_lock_the_lines_memory_copies_through_its_own(plan_of, fault):
    fault(no_registration=True)
    with opened(plan_of("8.2.1")) as engine:
        assert engine.infer(GREY, WHOLE).image == 10
        assert engine.infer(GREY + np.uint8(20), WHOLE).image == 30


def test_the_fakes_would_catch_a_missing_synchronise(plan_of, monkeypatch):
    with opened(plan_of("10.3.0")) as engine:
        assert engine.infer(GREY, WHOLE).image == 10
        monkeypatch.setattr(cuda.Stream, "synchronize", lambda self: None)
        assert engine.infer(GREY + np.uint8(20), WHOLE).image == 10


@pytest.mark.parametrize("version", ["8.2.1", "10.3.0"])
@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ({"no_device": True}, "no usable GPU: cuInit failed"),
        ({"deserialize": True}, "TensorRT does not take this plan: Error Code 1: Serialization"),
        ({"context": True}, "gives no execution context: Error Code 2: OutOfMemory"),
        ({"execute": "false"}, "does not run the plan: Error Code 1: Cuda Runtime"),
        ({"execute": "cuda error"}, "the GPU failed: cuStreamSynchronize failed: an illegal memory access"),
        ({"gpu": "Fake RTX 3090"}, r"was built on Fake RTX 3060 \(8\.6\), here is Fake RTX 3090"),
        ({"capability": [8, 9]}, r"here is Fake RTX 3060 \(8\.9\)"),
    ],
)
def test_whatever_fails_while_opening_is_one_sentence_with_what_to_do(version, faults, sentence, plan_of, fault):
    fault(**faults)
    with pytest.raises(EngineError, match=r"tiny\.plan: .*" + sentence) as refusal, opened(plan_of(version)):
        pass
    assert "\n" not in str(refusal.value)
    assert "build" in str(refusal.value)


def test_a_runtime_that_gets_no_driver_says_so(plan_of, fault, monkeypatch):
    monkeypatch.setattr(cuda, "init", lambda: None)
    fault(no_device=True)
    with pytest.raises(EngineError, match=r"TensorRT cannot start: no usable GPU or driver \(pybind11"), opened(plan_of("10.3.0")):
        pass


def test_a_plan_of_another_graph_is_refused_with_both_lists(plan_of):
    other = (Path(__file__).parents[2] / "golden" / "models" / "tiny_mono" / "model.onnx").read_bytes()
    with (
        pytest.raises(EngineError, match=r"got input frame uint8 \(1, 32, 32, 1\).* wanted input frame uint8 \(1, 48, 64, 3\)"),
        opened(plan_of("10.3.0", graph=other)),
    ):
        pass


def test_a_frame_that_tensorrt_does_not_run_is_a_fault_and_the_next_one_is_not(plan_of, fault):
    with opened(plan_of("11.4.0.106")) as engine:
        fault(execute="false", once=True)
        with pytest.raises(EngineError, match="does not run the plan"):
            engine.infer(GREY, WHOLE)
        assert engine.infer(GREY, WHOLE).image == 10


def test_after_a_lost_gpu_every_frame_is_a_fault_in_this_process(plan_of, fault):
    with opened(plan_of("10.3.0")) as engine:
        fault(execute="cuda error", once=True)
        with pytest.raises(EngineError, match=r"the GPU failed: .*illegal memory access"):
            engine.infer(GREY, WHOLE)
        with pytest.raises(EngineError, match="start the station again"):
            engine.infer(GREY, WHOLE)


@pytest.mark.parametrize("option", ["library", "cuda"])
def test_a_module_that_is_not_there_is_named(option, plan_of):
    model, plan = plan_of("10.3.0")
    modules = {"library": "fake_tensorrt.tensorrt", "cuda": "fake_tensorrt.cuda", option: "no_such_module"}
    with (
        pytest.raises(EngineError, match="no_such_module cannot be imported here"),
        open_tensorrt(model=model, plan=plan, in_process=True, **modules),
    ):
        pass


def test_waiting_awake_ends_when_something_comes_or_the_time_is_over():
    reads, writes = os.pipe()
    ready = select.poll()
    ready.register(reads, select.POLLIN)
    started = time.monotonic()
    tensorrt_worker.stay_awake(ready, 0.02)
    assert time.monotonic() - started >= 0.02
    os.write(writes, b"r")
    tensorrt_worker.stay_awake(ready, 3600)
    tensorrt_worker.stay_awake(None, 0)
    os.close(reads)
    os.close(writes)


SELF_CONTAINED = {"runtimes/tensorrt_worker.py": {"numpy"}, "workshop/tensorrt_builder.py": set()}


def tree(file: str) -> list[ast.AST]:
    source = (Path(tensorrt_worker.__file__).parents[1] / file).read_text(encoding="utf-8")
    return list(ast.walk(ast.parse(source, feature_version=(3, 6))))


@pytest.mark.parametrize("file", SELF_CONTAINED)
def test_what_runs_under_an_old_python_has_the_syntax_of_3_6(file):
    # feature_version lets some of it pass that only an old compiler refuses
    for node in tree(file):
        assert not isinstance(node, (ast.NamedExpr, ast.Match))
        assert not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        assert not (isinstance(node, ast.arguments) and node.posonlyargs)


@pytest.mark.parametrize(("file", "others"), SELF_CONTAINED.items())
def test_what_runs_under_an_old_python_imports_the_standard_library_and_no_more_than_it_says(file, others):
    names = {alias.name for node in tree(file) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in tree(file) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == others
