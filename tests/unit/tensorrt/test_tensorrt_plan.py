"""A plan is checked against its sidecar, its model and this device before anything loads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import open_model_folder
from edge_inspect.runtimes.tensorrt_plan import Gpu, load_plan, refuse_elsewhere, sidecar_file

TINY = open_model_folder(Path(__file__).parents[2] / "golden" / "models" / "tiny")
HERE = {"name": "Fake RTX 3060", "compute_capability": "8.6", "driver": "12.4"}


def write(folder: Path, **changed) -> Path:
    plan = folder / "cell.plan"
    plan.write_bytes(b"a plan")
    sidecar = {
        **{"format": 1, "module": "tensorrt", "tensorrt": "10.3.0", "gpu": HERE, "ahead_of_time": [], "power_mode": None},
        **{"precision": "fp32", "weakly_typed": True, "float_input": False, "workspace_mb": 512, "build_s": 1.5, "software": "test"},
        "onnx_sha256": TINY.engine_sha256,
        "plan_sha256": hashlib.sha256(b"a plan").hexdigest(),
        "built_at": "2026-11-26T12:00:00Z",
        **changed,
    }
    sidecar_file(plan).write_text(json.dumps({name: value for name, value in sidecar.items() if value != "left out"}))
    return plan


def test_a_plan_of_this_model_is_loaded_with_all_its_sidecar_tells(tmp_path):
    sidecar = load_plan(write(tmp_path), TINY)
    assert (sidecar.precision, sidecar.tensorrt, sidecar.gpu) == ("fp32", "10.3.0", Gpu(**HERE))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"plan_sha256": "0" * 64}, r"is not the plan that was built: hash \w{12}, its sidecar says 000000000000"),
        ({"onnx_sha256": "1" * 64}, "was built from graph 111111111111, which .*tiny does not have"),
        ({"precision": "fp8"}, "not a sidecar of this version: .*precision"),
        ({"format": 2}, "not a sidecar of this version: .*format"),
        ({"workspace_mb": "512"}, "not a sidecar of this version: .*workspace_mb"),
        ({"build_s": "left out"}, "not a sidecar of this version: .*build_s"),
        ({"colour": "red"}, "not a sidecar of this version: .*colour"),
        ({"gpu": {**HERE, "compute_capability": "sm_86"}}, "not a sidecar of this version: .*compute_capability"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(changed, sentence, tmp_path):
    with pytest.raises(EngineError, match=sentence + ".*; build it again on this device"):
        load_plan(write(tmp_path, **changed), TINY)


def test_a_plan_without_its_sidecar_or_a_sidecar_without_its_plan_is_refused(tmp_path):
    plan = write(tmp_path)
    plan.unlink()
    with pytest.raises(EngineError, match=r"cell\.plan: cannot be read"):
        load_plan(plan, TINY)
    sidecar_file(plan).unlink()
    with pytest.raises(EngineError, match=r"cell\.plan\.json: cannot be read: .*; a plan needs its sidecar"):
        load_plan(plan, TINY)


@pytest.mark.parametrize(
    ("sidecar", "here", "sentence"),
    [
        ({}, {"tensorrt": "10.13.3.9"}, r"was built by tensorrt 10\.3\.0, here is tensorrt 10\.13\.3\.9"),
        ({}, {"module": "tensorrt_rtx"}, r"was built by tensorrt 10\.3\.0, here is tensorrt_rtx 10\.3\.0"),
        ({}, {"gpu": {**HERE, "name": "RTX 3090"}}, r"was built on Fake RTX 3060 \(8\.6\), here is RTX 3090 \(8\.6\)"),
        ({}, {"gpu": {**HERE, "compute_capability": "8.9"}}, r"here is Fake RTX 3060 \(8\.9\)"),
        ({"gpu": None, "ahead_of_time": ["7.5", "8.9"]}, {}, r"ahead of time for 7\.5, 8\.9, this Fake RTX 3060 is 8\.6"),
    ],
)
def test_a_plan_of_another_tensorrt_or_gpu_is_refused(sidecar, here, sentence, tmp_path):
    plan = write(tmp_path, **sidecar)
    facts = {"module": "tensorrt", "tensorrt": "10.3.0", "gpu": HERE, **here}
    with pytest.raises(EngineError, match=sentence + ".*; build it again"):
        refuse_elsewhere(plan, load_plan(plan, TINY), **{**facts, "gpu": Gpu(**facts["gpu"])})


@pytest.mark.parametrize("sidecar", [{}, {"gpu": None, "ahead_of_time": ["8.6"]}, {"gpu": {**HERE, "driver": "11.8"}}])
def test_another_driver_is_no_reason_to_refuse(sidecar, tmp_path):
    plan = write(tmp_path, **sidecar)
    refuse_elsewhere(plan, load_plan(plan, TINY), module="tensorrt", tensorrt="10.3.0", gpu=Gpu(**HERE))
