"""The worker in a process of its own: what it survives, what the line survives, and that nothing of it is left."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from edge_inspect.datatypes import Scores
from edge_inspect.errors import EngineError
from edge_inspect.geometry import place
from edge_inspect.model_folder import open_model_folder
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.tensorrt_plan import load_plan, sidecar_file
from edge_inspect.runtimes.tensorrt_process import WorkerProcess
from edge_inspect.runtimes.tensorrt_runtime import GoldenAnswers, open_tensorrt
from edge_inspect.testing import check_runtime
from tests.conftest import named_memory

WHOLE = place(64, 48, None, width=64, height=48, channels=3)
GREY = np.full((48, 64, 3), 138, np.uint8)
PATIENCE_S = 30


def opened(model_and_plan, **options) -> AbstractContextManager[Runtime]:
    model, plan = model_and_plan
    modules = {"library": "fake_tensorrt.tensorrt", "cuda": "fake_tensorrt.cuda"}
    return open_tensorrt(model=model, plan=plan, **{**modules, "timeout_ms": 300, **options})


def pid_of(engine) -> int:
    return engine._engine.process.pid


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(condition) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def next_served(engine) -> tuple[Scores, set[str]]:
    """The first answer, and what was said until then."""
    said: set[str] = set()
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            return engine.infer(GREY, WHOLE), said
        except EngineError as error:
            said.add(str(error))
            time.sleep(0.01)
    raise AssertionError(f"never served again: {said}")


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@contextmanager
def nothing_left():
    """No process, no descriptor and no shared memory is left afterwards."""
    before = len(descriptors()), named_memory()
    yield
    assert children() == []
    assert (len(descriptors()), named_memory()) == before


@pytest.mark.parametrize("version", ["8.2.1", "11.4.0.106"])
def test_the_worker_keeps_the_promises_of_a_runtime(version, plan_of):
    model, plan = plan_of(version)
    with nothing_left():
        check_runtime(partial(opened, (model, plan)), model)


@pytest.mark.parametrize("in_process", [False, True], ids=["worker", "in process"])
def test_a_python_for_an_old_glibc_shares_memory_without_a_name_too(in_process, plan_of, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    with nothing_left(), opened(plan_of("10.3.0", warp=True), in_process=in_process, frame_mb=1) as engine:
        held = (str(Path(f"/proc/self/fd/{number}").readlink()) for number in descriptors() if Path(f"/proc/self/fd/{number}").exists())
        assert any("deleted" in file and file.startswith("/dev/shm/") for file in held)
        assert engine.infer(GREY, WHOLE).image == 10
        large = np.full((1100, 1400, 3), 138, np.uint8)
        assert engine.infer(large, place(1400, 1100, None, width=64, height=48, channels=3)).image == 10


def test_a_worker_that_stays_awake_answers_dies_and_leaves_like_any_other(plan_of, fault):
    with nothing_left(), opened(plan_of("10.3.0"), busy_wait_ms=20) as engine:
        assert engine.infer(GREY, WHOLE).image == 10
        fault(execute="hang", once=True)
        with pytest.raises(EngineError, match=r"did not answer within 0\.3 s and was killed"):
            engine.infer(GREY, WHOLE)
        assert next_served(engine)[0].image == 10


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("hang", r"did not answer within 0\.3 s and was killed"),
        ("hang holding the interpreter", r"did not answer within 0\.3 s and was killed"),
        ("cuda error", "the GPU failed: cuStreamSynchronize failed: an illegal memory access .*the worker is started again"),
        ("exit", r"the TensorRT worker ended by itself \(exit code 3\)"),
        ("killed", r"the TensorRT worker ended by itself \(SIGKILL: somebody's, or the kernel's because memory ran out: see dmesg\)"),
        ("memory", "the worker is out of memory; see what else runs on this machine.*the worker is started again"),
    ],
)
def test_a_lost_worker_is_a_fault_and_the_next_one_serves_when_it_has_proved_itself(kind, sentence, plan_of, fault):
    with nothing_left(), opened(plan_of("10.3.0")) as engine:
        first = pid_of(engine)
        fault(execute=kind, once=True)
        with pytest.raises(EngineError, match=r"tiny\.plan: .*" + sentence):
            engine.infer(GREY, WHOLE)
        assert not psutil.pid_exists(first)
        with pytest.raises(EngineError, match="is being started again; this part is not inspected"):
            engine.infer(GREY, WHOLE)
        scores, said = next_served(engine)
        assert scores.image == 10
        assert said <= {"the TensorRT worker is being started again; this part is not inspected"}
        assert pid_of(engine) != first
        assert len(children()) == 1


def test_a_worker_that_is_killed_between_two_parts_is_replaced(plan_of):
    with nothing_left(), opened(plan_of("10.3.0")) as engine:
        os.kill(pid_of(engine), signal.SIGKILL)
        wait_until(lambda: is_gone(pid_of(engine)))
        with pytest.raises(EngineError, match=r"ended by itself \(SIGKILL: "):
            engine.infer(GREY, WHOLE)
        assert next_served(engine)[0].image == 10


def test_a_frame_that_tensorrt_does_not_run_costs_no_worker(plan_of, fault):
    with opened(plan_of("10.3.0")) as engine:
        first = pid_of(engine)
        fault(execute="false", once=True)
        with pytest.raises(EngineError, match="does not run the plan: Error Code 1"):
            engine.infer(GREY, WHOLE)
        assert engine.infer(GREY, WHOLE).image == 10
        assert pid_of(engine) == first


def test_a_worker_that_says_other_things_of_the_golden_frames_does_not_serve(plan_of, fault):
    with nothing_left(), opened(plan_of("10.3.0")) as engine:
        faults = fault(execute="other answers")
        os.kill(pid_of(engine), signal.SIGKILL)
        said: set[str] = set()

        def refused() -> bool:
            with pytest.raises(EngineError) as refusal:
                engine.infer(GREY, WHOLE)
            said.add(str(refusal.value))
            return any("says of 7 golden frames what it did not say before; it does not serve" in text for text in said)

        wait_until(refused)
        faults.unlink()
        assert next_served(engine)[0].image == 10


def test_an_interpreter_that_vanished_is_told_for_every_part_until_it_is_back(plan_of, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with nothing_left(), opened(plan_of("10.3.0"), python=python) as engine:
        python.rename(tmp_path / "away")
        os.kill(pid_of(engine), signal.SIGKILL)
        wait_until(lambda: is_gone(pid_of(engine)))
        with pytest.raises(EngineError, match="ended by itself"):
            engine.infer(GREY, WHOLE)
        for _ in range(3):
            with pytest.raises(EngineError, match="python: cannot be started: No such file or directory; correct the runtime's option"):
                engine.infer(GREY, WHOLE)
        (tmp_path / "away").rename(python)
        assert next_served(engine)[0].image == 10


def test_closing_does_not_wait_for_a_worker_that_is_being_started_again(plan_of, fault):
    with nothing_left(), opened(plan_of("10.3.0"), start_timeout_s=3600) as engine:
        fault(execute="hang")
        with pytest.raises(EngineError, match="did not answer"):
            engine.infer(GREY, WHOLE)
        started = time.monotonic()
    assert time.monotonic() - started < PATIENCE_S


@pytest.mark.parametrize(
    ("faults", "options", "sentence"),
    [
        ({"no_device": True}, {}, "no usable GPU: cuInit failed"),
        ({"deserialize": True}, {}, "TensorRT does not take this plan"),
        ({"execute": "hang"}, {"start_timeout_s": 1}, "did not load the plan within 1 s and was killed"),
        ({"gpu": "Fake RTX 3090"}, {}, "here is Fake RTX 3090"),
        ({}, {"library": "no_such_module"}, "no_such_module cannot be imported by .*python"),
        ({}, {"python": Path("/nowhere/python3")}, "/nowhere/python3: cannot be started"),
        ({}, {"device": 3}, "no usable GPU: cuDeviceGet failed"),
    ],
)
def test_a_worker_that_cannot_start_is_one_sentence_and_leaves_nothing(faults, options, sentence, plan_of, fault):
    fault(**faults)
    with nothing_left(), pytest.raises(EngineError, match=sentence) as refusal, opened(plan_of("10.3.0"), **options):
        pass
    assert "\n" not in str(refusal.value)


def test_without_a_name_the_only_plan_of_the_model_folder_is_taken(plan_of, tmp_path):
    model, plan = plan_of("10.3.0")
    copied = open_model_folder(shutil.copytree(model.path, tmp_path / "model"))
    with pytest.raises(EngineError, match=r"wants one plan, found none; build one \(edge-inspect build\)"), opened((copied, None)):
        pass
    for file in (plan, sidecar_file(plan)):
        file.rename(copied.path / file.name)
    with opened((copied, None)) as engine:
        assert engine.infer(GREY, WHOLE).image == 10
    (copied.path / "other.plan").touch()
    with pytest.raises(EngineError, match=r"found other\.plan, tiny\.plan"), opened((copied, None)):
        pass


def test_an_interrupted_wait_costs_the_worker_or_its_answer_would_be_taken_for_the_next_frames(plan_of, monkeypatch):
    real, waits = WorkerProcess._line, []

    def interrupted_once(*arguments):
        waits.append(arguments)
        if len(waits) == 1:
            raise KeyboardInterrupt
        return real(*arguments)

    with nothing_left(), opened(plan_of("10.3.0")) as engine:
        monkeypatch.setattr(WorkerProcess, "_line", interrupted_once)
        with pytest.raises(KeyboardInterrupt):
            engine.infer(GREY, WHOLE)
        assert next_served(engine)[0].image == 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_whose_proof_broke_off_does_not_serve(plan_of, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    with nothing_left(), opened(plan_of("10.3.0")) as engine:
        real = GoldenAnswers.demand
        monkeypatch.setattr(GoldenAnswers, "demand", broken)
        os.kill(pid_of(engine), signal.SIGKILL)
        with pytest.raises(EngineError, match="ended by itself"):
            engine.infer(GREY, WHOLE)
        wait_until(lambda: not engine._rescue.is_alive())
        monkeypatch.setattr(GoldenAnswers, "demand", real)
        with pytest.raises(EngineError, match="broke off while it was started again"):
            engine.infer(GREY, WHOLE)
        assert next_served(engine)[0].image == 10


def test_a_worker_that_does_not_leave_is_killed(plan_of, monkeypatch):
    monkeypatch.setattr("edge_inspect.runtimes.tensorrt_process.FAREWELL_S", 0.05)
    with nothing_left(), opened(plan_of("10.3.0")) as engine:
        os.kill(pid_of(engine), signal.SIGSTOP)


def test_signals_for_the_station_do_not_take_its_worker(plan_of):
    with nothing_left(), opened(plan_of("10.3.0")) as engine:
        first = pid_of(engine)
        os.kill(first, signal.SIGTERM)
        os.kill(first, signal.SIGINT)
        assert engine.infer(GREY, WHOLE).image == 10
        assert pid_of(engine) == first


def test_a_plan_that_changes_after_it_was_checked_is_not_loaded(plan_of, monkeypatch):
    def changed_afterwards(plan, model):
        sidecar = load_plan(plan, model)
        plan.write_bytes(plan.read_bytes() + b" ")
        return sidecar

    monkeypatch.setattr("edge_inspect.runtimes.tensorrt_runtime.load_plan", changed_afterwards)
    with nothing_left(), pytest.raises(EngineError, match=r"tiny\.plan changed since it was checked"), opened(plan_of("10.3.0")):
        pass
