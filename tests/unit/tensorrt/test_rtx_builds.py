"""Rows of builds by the fake tensorrt_rtx; and, where the real one is installed, what its parser and builder say."""

from __future__ import annotations

import json
import warnings
from datetime import datetime, timezone
from pathlib import Path

import graphs
import onnx
import pytest
from fake_tensorrt import load
from onnx import TensorProto, helper

from edge_inspect.errors import EngineError
from edge_inspect.model_folder import open_model_folder, write_model_folder
from edge_inspect.workshop.rtx_builds import RESULT_FILE, build_rows, model_folders, record
from edge_inspect.workshop.tensorrt_api import Here
from edge_inspect.workshop.tensorrt_build import BuildSpec, build_plan

pytestmark = pytest.mark.workshop
MODELS = Path(__file__).parents[2] / "golden" / "models"


def folder(path: Path, **others: bytes) -> Path:
    tiny = open_model_folder(MODELS / "tiny")
    manifest = tiny.manifest
    write_model_folder(
        path,
        **{"onnx_bytes": graphs.tiny(), "golden": tiny.load_golden(), "model": path.name, "family": manifest.family},
        **{"input_size": manifest.input, "image_score": manifest.image_score, "score_meaning": manifest.score_meaning},
        **{"training": manifest.training, "software": "test", "created_at": datetime(2026, 11, 21, tzinfo=timezone.utc)},
        others={f"model.{name}.onnx": content for name, content in others.items()},
    )
    return path


def test_every_precision_that_a_folder_has_is_built_for_every_gpu(tmp_path):
    folder(tmp_path / "all", fp16=graphs.halved(), int8=graphs.quantised())
    folder(tmp_path / "plain")
    told: list = []
    rows = list(build_rows(load("rtx-1.7.1"), model_folders(tmp_path), capabilities=("7.5", "8.6"), told=told.append))
    assert rows == told
    assert [(row.model, row.precision, row.sm) for row in rows] == [
        *(("all", precision, sm) for precision in ("fp32", "fp16", "int8") for sm in ("SM75", "SM86")),
        *(("plain", "fp32", sm) for sm in ("SM75", "SM86")),
    ]
    assert all(row.built and row.bytes > 100 and row.seconds >= 0 and row.reason == "" for row in rows)


def test_a_build_that_fails_is_a_row_with_the_reason(tmp_path, fault):
    folder(tmp_path / "cell")
    fault(parser_refuses={"Abs": "no such thing"})
    (row,) = build_rows(load("rtx-1.7.1"), model_folders(tmp_path), capabilities=("8.6",))
    assert (row.built, row.seconds, row.bytes) == (False, None, None)
    assert "UNSUPPORTED_NODE: no such thing" in row.reason


def test_rows_are_added_to_those_of_other_models_and_replace_their_own(tmp_path, fault):
    folder(tmp_path / "models" / "one")
    rtx, models = load("rtx-1.7.1"), model_folders(tmp_path / "models")
    fault(build=True)
    record(tmp_path / "out", build_rows(rtx, models, capabilities=("8.6", "12.0")))
    fault()
    folder(tmp_path / "others" / "two")
    record(tmp_path / "out", build_rows(rtx, model_folders(tmp_path / "others"), capabilities=("8.6",)))
    path = record(tmp_path / "out", build_rows(rtx, models, capabilities=("8.6",)))
    assert path.name == RESULT_FILE
    rows = json.loads(path.read_text())["rows"]
    assert [(row["model"], row["sm"], row["built"]) for row in rows] == [
        ("one", "SM86", True),
        ("one", "SM120", False),
        ("two", "SM86", True),
    ]


def test_a_folder_without_models_is_refused(tmp_path):
    with pytest.raises(EngineError, match="no model folder here or below"):
        model_folders(tmp_path)


# From here on with NVIDIA's own parser and builder; no GPU is needed, and none of this has run on one.


@pytest.fixture(scope="module")
def rtx():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorrt_rtx", reason="needs pip install tensorrt-rtx (about 260 MB)")


@pytest.mark.parametrize(("precision", "graph"), [("fp32", graphs.tiny), ("fp16", graphs.halved), ("int8", graphs.quantised)])
def test_the_real_tensorrt_rtx_builds_every_precision(rtx, precision, graph):
    built = build_plan(Here(rtx), graph(), BuildSpec(precision=precision, ahead_of_time=("8.6", "12.0")))
    assert len(built.plan) > 10_000
    assert built.sidecar.module == "tensorrt_rtx"
    assert not built.sidecar.weakly_typed


def test_the_real_parser_names_every_node_that_it_does_not_take(rtx):
    inputs = [helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1, 4, 4])]
    nodes = [helper.make_node("Det", ["frame"], ["det"], name="bad_det"), helper.make_node("NoSuch", ["det"], ["out"], name="bad_custom")]
    graph = helper.make_graph(nodes, "bad", inputs, [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])])
    bad = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    with pytest.raises(EngineError, match=r"bad_det and operator: Det .*bad_custom"):
        build_plan(Here(rtx), bad.SerializeToString(), BuildSpec(ahead_of_time=("8.6",)))


def test_the_real_parser_refuses_a_zero_point_that_is_not_zero(rtx):
    model = onnx.load_from_string(graphs.quantised())
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "zero")
    zero.ClearField("raw_data")
    zero.int32_data[:] = [5]
    with pytest.raises(EngineError, match="Non-zero zero point is not supported"):
        build_plan(Here(rtx), model.SerializeToString(), BuildSpec(precision="int8", ahead_of_time=("8.6",)))


def test_the_real_one_does_not_know_the_gpu_of_a_jetson(rtx):
    with pytest.raises(EngineError, match=r"does not build for 8\.7 \(SM87\)"):
        build_plan(Here(rtx), graphs.tiny(), BuildSpec(ahead_of_time=("8.7",)))
