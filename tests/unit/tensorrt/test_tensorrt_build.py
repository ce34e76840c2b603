"""Plans by every TensorRT that there are names of: what is asked of the module, what is refused, and in which words."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from types import ModuleType

import graphs
import pytest
from fake_tensorrt import VERSIONS, load
from fake_tensorrt.parts import GPU
from fake_tensorrt.plan import read_plan

from edge_inspect.errors import EngineError
from edge_inspect.runtimes.tensorrt_plan import Gpu, PlanSidecar, sidecar_file
from edge_inspect.workshop.plan_files import read_timing_cache, write_plan
from edge_inspect.workshop.tensorrt_api import Elsewhere, Here, here
from edge_inspect.workshop.tensorrt_build import BuildSpec, BuiltPlan, build_plan, graph_file

pytestmark = pytest.mark.workshop
HERE = Path(__file__).parent
VARIANTS = HERE.parents[1] / "golden" / "models" / "variants"
NANO = Gpu(name="NVIDIA Tegra X1", compute_capability="5.3", driver="10.2")
GRAPHS = {"model.onnx": graphs.tiny, "model.fp16.onnx": graphs.halved, "model.int8.onnx": graphs.quantised}
WITH_FLAGS = {"8.2.1", "8.6.1", "10.3.0", "10.16.1.11"}


def build(version: str | ModuleType, precision: str = "fp32", **wanted) -> BuiltPlan:
    trt = load(version) if isinstance(version, str) else version
    wanted = ({"ahead_of_time": ("8.6",)} if trt.__name__ == "tensorrt_rtx" else {"gpu": GPU}) | wanted
    there = Here(trt)
    file = graph_file(there.api, precision, strongly_typed=wanted.get("strongly_typed", False))
    graph = wanted.pop("graph", None) or GRAPHS[file]()
    return build_plan(there, graph, BuildSpec(precision=precision, **wanted))


def header(built: BuiltPlan) -> dict:
    return read_plan(built.plan)[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("version", VERSIONS)
def test_flags_where_there_are_flags_and_the_graphs_own_types_elsewhere(version, precision):
    told = header(build(version, precision))
    if version in WITH_FLAGS:
        assert told["flags"] == {"fp32": [], "fp16": ["FP16"], "int8": ["FP16", "INT8"]}[precision]
        assert told["network"] == ["EXPLICIT_BATCH"]
    else:
        assert told["flags"] == []
        assert told["network"] == ["STRONGLY_TYPED"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sidecar_tells_what_the_plan_was_built_from_and_with(version):
    built, trt = build(version, workspace_mb=64, power_mode="MAXN"), load(version)
    sidecar = built.sidecar
    assert (sidecar.module, sidecar.tensorrt) == (trt.__name__, trt.__version__)
    assert sidecar.plan_sha256 == hashlib.sha256(built.plan).hexdigest()
    assert sidecar.onnx_sha256 == hashlib.sha256(graphs.tiny()).hexdigest()
    assert sidecar.weakly_typed == (version in WITH_FLAGS)
    assert sidecar.float_input == (version == "8.2.1")
    assert sidecar.power_mode == "MAXN"
    assert sidecar.gpu == (None if "rtx" in version else GPU)
    assert header(built)["workspace"] == 64 << 20
    assert PlanSidecar.model_validate_json(sidecar.model_dump_json(), strict=True) == sidecar


@pytest.mark.parametrize(("version", "kept"), [("8.6.1", {"conv5": "FLOAT"}), ("10.3.0", {"conv5": "FLOAT"})])
def test_named_nodes_stay_float32_whatever_the_flags_allow(version, kept):
    told = header(build(version, "fp16", float32_nodes=frozenset({"conv5"})))
    assert told["kept"] == kept
    assert told["flags"] == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]


def test_a_node_that_is_not_there_cannot_be_kept_in_float32():
    with pytest.raises(EngineError, match="no layer nowhere to keep in float32"):
        build("10.3.0", "fp16", float32_nodes=frozenset({"nowhere"}))


def test_ten_can_also_take_the_graphs_own_types():
    told = header(build("10.3.0", "fp16", strongly_typed=True))
    assert told["network"] == ["STRONGLY_TYPED"]
    assert told["flags"] == []


@pytest.mark.parametrize("version", ["8.2.1", "10.3.0", "rtx-1.7.1"])
def test_every_refused_node_is_told_with_its_name_and_in_the_parsers_words(version, fault):
    fault(parser_refuses={"Abs": "false", "Pad": "Plugin not found"})
    with pytest.raises(EngineError) as refusal:
        build(version)
    said = str(refusal.value)
    assert re.search(r"abs\d.*\(checkAbs\): UNSUPPORTED_NODE: false", said)
    assert re.search(r"pad\d.*\(checkPad\): UNSUPPORTED_NODE: Plugin not found", said)
    assert "\n" not in said


@pytest.mark.parametrize("version", VERSIONS)
def test_a_build_that_gives_nothing_is_an_error_with_what_the_logger_was_told(version, fault):
    fault(build=True)
    with pytest.raises(EngineError, match=r"cannot build the plan: .*any implementation for node conv1"):
        build(version)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_gpu_the_builder_says_what_to_do(version, fault):
    fault(no_device=True)
    with pytest.raises(EngineError, match=r"cannot start here: no usable GPU or driver .*build on the target"):
        build(version)


@pytest.mark.parametrize(("method", "what"), [("create_network", "network"), ("create_builder_config", "builder configuration")])
def test_whatever_else_gives_nothing_is_an_error_too(method, what):
    trt = load("10.3.0")
    setattr(trt.Builder, method, lambda *_: None)
    with pytest.raises(EngineError, match=f"gives no {what}: TensorRT gives no reason"):
        build(trt)


@pytest.mark.parametrize("version", ["8.2.1", "11.4.0.106"])
def test_int8_is_refused_for_a_jetson_nano(version, fault):
    with pytest.raises(EngineError, match=r"capability 5\.3 has no INT8 \(Jetson Nano: 5\.3\); build --precision fp16"):
        build(version, "int8", gpu=NANO)


@pytest.mark.parametrize(("capability", "precision", "instead"), [([6, 0], "int8", "fp16"), ([6, 1], "fp16", "fp32")])
def test_what_the_platform_says_it_is_slow_in_is_refused(capability, precision, instead, fault):
    fault(capability=capability)
    with pytest.raises(EngineError, match=f"no fast {precision.upper()}; build --precision {instead}"):
        build("10.3.0", precision)


def test_a_second_build_takes_the_first_ones_timing_cache():
    first = build("10.3.0")
    again = build("10.3.0", timing_cache=first.timing_cache)
    assert (header(first)["cached_builds"], header(again)["cached_builds"]) == (1, 2)


def test_a_timing_cache_of_another_device_is_begun_anew(fault):
    first = build("10.3.0")
    fault(capability=[8, 9])
    assert header(build("10.3.0", timing_cache=first.timing_cache))["cached_builds"] == 1


def test_tensorrt_rtx_keeps_no_timing_cache(tmp_path):
    built = build("rtx-1.7.1")
    assert built.timing_cache == b""
    write_plan(tmp_path / "cell.plan", built)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell.plan", "cell.plan.json"]


def test_a_timing_cache_that_is_never_taken_keeps_no_plan_from_being_built():
    trt = load("10.3.0")
    trt.IBuilderConfig.set_timing_cache = lambda *_: False
    assert build(trt).timing_cache == b""


def test_a_batch_that_is_left_open_is_refused():
    with pytest.raises(EngineError, match=r"frame is \(-1, 48, 64, 3\), wanted a fixed size and a batch of 1"):
        build("10.3.0", graph=(VARIANTS / "open_size.onnx").read_bytes())


def test_only_tensorrt_rtx_builds_for_a_gpu_that_is_not_here():
    with pytest.raises(EngineError, match=r"tensorrt 10\.3\.0 builds only for the GPU it runs on"):
        build("10.3.0", ahead_of_time=("8.6",))
    built = build("rtx-1.7.1", ahead_of_time=("7.5", "12.0"))
    assert header(built)["capabilities"] == [[7, 5], [12, 0]]
    assert built.sidecar.ahead_of_time == ("7.5", "12.0")


def test_tensorrt_rtx_must_be_told_for_which_gpus():
    with pytest.raises(EngineError, match="say for which compute capabilities"):
        build("rtx-1.7.1", ahead_of_time=())


def test_a_capability_that_tensorrt_rtx_does_not_know_is_refused_with_those_it_knows():
    with pytest.raises(EngineError, match=r"does not build for 8\.7 \(SM87\); it builds for SM120, SM121, SM75, SM80, SM86, SM89"):
        build("rtx-1.7.1", ahead_of_time=("8.7",))


@pytest.mark.parametrize(
    ("version", "precision", "file", "sentence"),
    [
        ("10.3.0", "int8", "model.onnx", "the graph is fp32, a plan in int8 is built from int8 here; take model.int8.onnx"),
        ("11.4.0.106", "fp16", "model.onnx", "take model.fp16.onnx"),
        ("10.3.0", "fp16", "model.fp16.onnx", "the graph is fp16, a plan in fp16 is built from fp32 here; take model.onnx"),
        ("11.4.0.106", "fp32", "model.int8.onnx", "take model.onnx"),
    ],
)
def test_a_graph_of_another_precision_is_refused_with_the_file_to_take(version, precision, file, sentence):
    with pytest.raises(EngineError, match=re.escape(sentence)):
        build(version, precision, graph=GRAPHS[file]())


@pytest.mark.parametrize(
    ("version", "wanted", "sentence"),
    [
        ("8.6.1", {"strongly_typed": True}, "has no strongly typed networks"),
        ("11.4.0.106", {"float32_nodes": frozenset({"conv5"})}, "says itself which nodes are float32"),
        ("10.3.0", {"gpu": None}, "say which one is here"),
        ("10.3.0", {"graph": b"junk"}, "no ONNX graph"),
    ],
)
def test_what_does_not_go_together_is_refused(version, wanted, sentence):
    with pytest.raises(EngineError, match=sentence):
        build(version, **wanted)


def test_plan_sidecar_and_timing_cache_lie_beside_each_other(tmp_path):
    built, plan = build("10.3.0"), tmp_path / "cell.fp32.plan"
    assert read_timing_cache(plan) == b""
    write_plan(plan, built)
    assert plan.read_bytes() == built.plan
    assert read_timing_cache(plan) == built.timing_cache
    assert PlanSidecar.model_validate_json(sidecar_file(plan).read_bytes(), strict=True) == built.sidecar
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell.fp32.plan", "cell.fp32.plan.json", "cell.fp32.timing"]


def test_a_plan_that_cannot_be_written_leaves_no_sidecar(tmp_path):
    built, plan = build("10.3.0"), tmp_path / "cell.plan"
    write_plan(plan, built)
    plan.unlink()
    plan.mkdir()
    with pytest.raises(EngineError, match=r"cell\.plan: cannot be written"):
        write_plan(plan, built)
    assert not sidecar_file(plan).exists()


@pytest.mark.parametrize("version", ["8.2.1", "11.4.0.106"])
def test_another_interpreter_builds_the_same_plan(version, fake):
    fake(version)
    there = Elsewhere(Path(sys.executable), "fake_tensorrt.tensorrt")
    assert there.read_gpu("fake_tensorrt.cuda") == GPU
    assert there.api == Here(load(version)).api
    first = build_plan(there, graphs.tiny(), BuildSpec(gpu=GPU))
    assert first.plan == build(version).plan
    again = build_plan(there, graphs.tiny(), BuildSpec(gpu=GPU, timing_cache=first.timing_cache))
    assert header(again)["cached_builds"] == 2


def test_what_another_interpreters_tensorrt_refuses_is_told_in_its_words(fake, fault):
    fake("8.2.1")
    fault(parser_refuses={"Abs": "no such thing"})
    there = Elsewhere(Path(sys.executable), "fake_tensorrt.tensorrt")
    with pytest.raises(EngineError, match=r"does not take this graph: abs\d .*no such thing"):
        build_plan(there, graphs.tiny(), BuildSpec(gpu=GPU))
    fault(no_device=True)
    with pytest.raises(EngineError, match=r"no usable GPU here \(cuInit failed"):
        there.read_gpu("fake_tensorrt.cuda")


@pytest.mark.parametrize(
    ("python", "library", "sentence"),
    [
        ("/nowhere/python3", "tensorrt", "/nowhere/python3: cannot be started: No such file"),
        (sys.executable, "no_such_module", r"no_such_module cannot be used by .*: No module named 'no_such_module'; install it"),
        ("/bin/false", "tensorrt", r"/bin/false: tensorrt broke off \(1\)"),
    ],
)
def test_an_interpreter_without_tensorrt_is_one_sentence(python, library, sentence):
    with pytest.raises(EngineError, match=sentence) as refusal:
        Elsewhere(Path(python), library)
    assert "\n" not in str(refusal.value)


def test_tensorrt_that_is_not_here_is_one_sentence():
    with pytest.raises(EngineError, match=r"no_such_module cannot be imported by .*; install it, or name an interpreter"):
        here("no_such_module")
