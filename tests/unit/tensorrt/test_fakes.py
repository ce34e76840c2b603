"""The fakes have the names of the real modules, do what those do, and are strict where those are treacherous."""

from __future__ import annotations

import gc
from pathlib import Path

import fake_tensorrt.cuda as cuda
import numpy as np
import pytest
from fake_tensorrt import VERSIONS, load
from fake_tensorrt.building import bodies as building_bodies
from fake_tensorrt.device import CANARY
from fake_tensorrt.execution import bodies as execution_bodies
from fake_tensorrt.network import bodies as network_bodies
from fake_tensorrt.shape import Crash, read_names

pytestmark = pytest.mark.workshop
TINY = Path(__file__).parents[2] / "golden" / "models" / "tiny" / "model.onnx"


def public(one: object) -> set[str]:
    return {name for name in dir(one) if not name.startswith("_")}


def listed(names: dict) -> set[str]:
    return {name for name in names["dir"] if not name.startswith("_")}


def built(trt, onnx_bytes=None, flags=None):
    """Logger, builder, network, parser and configuration of a parsed graph; the caller keeps them all."""
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    kinds = trt.NetworkDefinitionCreationFlag
    bits = 1 << int(getattr(kinds, "EXPLICIT_BATCH", None) or kinds.STRONGLY_TYPED)
    network = builder.create_network(bits if flags is None else flags)
    parser = trt.OnnxParser(network, logger)
    parser.parse(TINY.read_bytes() if onnx_bytes is None else onnx_bytes)
    return logger, builder, network, parser, builder.create_builder_config()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_class_and_enum_has_exactly_the_listed_names(version):
    trt, names = load(version), read_names(version)
    assert {name for name in names["__all__"] if not name.startswith("_")} <= public(trt)
    for name, entry in names.items():
        if isinstance(entry, dict) and entry["members"]:
            assert {member.name for member in getattr(trt, name)} == set(entry["members"])
        elif isinstance(entry, dict):
            assert public(getattr(trt, name)) == listed(entry), name


def test_every_written_name_is_one_that_some_real_version_has():
    trt = load("8.6.1")
    real: dict[str, set[str]] = {}
    for names in map(read_names, VERSIONS):
        for name, entry in names.items():
            if isinstance(entry, dict):
                real.setdefault(name, set()).update(listed(entry))
    for name, body in {**network_bodies(trt), **building_bodies(trt), **execution_bodies(trt)}.items():
        assert {key for key in body if not key.startswith("_")} <= real[name], name


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("8.2.1", lambda trt: trt.DataType.UINT8),
        ("8.2.1", lambda trt: trt.MemoryPoolType),
        ("8.2.1", lambda trt: trt.ICudaEngine.num_io_tensors),
        ("10.3.0", lambda trt: trt.ICudaEngine.num_bindings),
        ("11.0.0.114", lambda trt: trt.BuilderFlag.FP16),
        ("11.4.0.106", lambda trt: trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH),
        ("11.4.0.106", lambda trt: trt.IBuilderConfig.set_compute_capability),
    ],
)
def test_a_name_that_the_real_version_lacks_is_an_attribute_error(version, missing):
    with pytest.raises(AttributeError):
        missing(load(version))


def test_an_attribute_that_the_real_version_lacks_cannot_be_set_either():
    config = built(load("10.3.0"))[-1]
    with pytest.raises(AttributeError, match="max_workspace_size"):
        config.max_workspace_size = 1


def test_a_flag_is_no_integer_and_has_another_value_in_another_version():
    old, new = load("10.3.0"), load("11.0.0.114")
    assert int(old.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == 1
    assert int(new.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == 0
    assert int(old.BuilderFlag.REFIT) != int(new.BuilderFlag.REFIT)
    with pytest.raises(TypeError):
        1 << old.BuilderFlag.REFIT


@pytest.mark.parametrize("version", ["8.2.1", "10.3.0"])
def test_a_refused_node_is_told_with_all_the_parser_knows(version, fault):
    fault(parser_refuses={"Abs": "false"})
    trt = load(version)
    parser = built(trt)[3]
    (error,) = [parser.get_error(place) for place in range(parser.num_errors) if parser.get_error(place).node() >= 0]
    assert error.desc() == "false"
    assert str(error).endswith("(checkAbs): UNSUPPORTED_NODE: false")
    assert ("operator: Abs" in str(error)) == (version != "8.2.1")


def test_a_parser_whose_network_nobody_holds_crashes_as_the_real_one():
    trt = load("11.4.0.106")
    logger = trt.Logger()
    builder = trt.Builder(logger)
    parser = trt.OnnxParser(builder.create_network(1), logger)
    gc.collect()
    with pytest.raises(Crash):
        parser.parse(TINY.read_bytes())


def test_without_a_device_the_builder_raises_what_pybind_raises(fault):
    fault(no_device=True)
    with pytest.raises(TypeError, match="factory function returned nullptr"):
        built(load("10.3.0"))
    with pytest.raises(cuda.RuntimeError, match="no CUDA-capable device"):
        cuda.init()


def plan_of(version):
    logger, builder, network, parser, config = built(load(version))
    return bytes(builder.build_serialized_network(network, config)), parser.num_errors, logger


@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "8.2.1"])
def test_a_plan_is_read_by_its_own_version_only(version):
    plan, errors, _ = plan_of(version)
    assert errors == 0
    trt = load(version)
    assert trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan) is not None
    other = load("8.6.1" if version != "8.6.1" else "10.3.0")
    assert other.Runtime(other.Logger()).deserialize_cuda_engine(plan) is None


def test_a_plan_for_another_capability_is_not_read(fault):
    plan, _, _ = plan_of("10.3.0")
    fault(capability=[8, 7])
    trt = load("10.3.0")
    assert trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan) is None


def locked(size):
    array = cuda.pagelocked_empty(size, np.uint8)
    array[:] = 7
    return array


def test_copies_happen_only_when_their_stream_is_synchronised():
    cuda.Device(0).retain_primary_context().push()
    stream, memory, answer = cuda.Stream(), cuda.mem_alloc(4), locked(4)
    cuda.memcpy_dtoh_async(answer, memory, stream)
    assert answer.tolist() == [7] * 4
    stream.synchronize()
    assert answer.tolist() == [CANARY] * 4


def test_memory_that_is_not_page_locked_cannot_be_copied_asynchronously():
    cuda.Device(0).retain_primary_context().push()
    with pytest.raises(cuda.LogicError, match="not page-locked"):
        cuda.memcpy_htod_async(cuda.mem_alloc(4), np.zeros(4, np.uint8), cuda.Stream())


def test_without_a_context_nothing_works():
    with pytest.raises(cuda.LogicError, match="context"):
        cuda.mem_alloc(4)


def test_after_a_cuda_error_nothing_works_any_more(fault):
    cuda.Device(0).retain_primary_context().push()
    trt = load("10.3.0")
    runtime = trt.Runtime(trt.Logger())
    engine = runtime.deserialize_cuda_engine(plan_of("10.3.0")[0])
    context, stream = engine.create_execution_context(), cuda.Stream()
    for name, size in (("frame", 48 * 64 * 3), ("score_map", 12 * 16 * 4), ("image_score", 4)):
        assert context.set_tensor_address(name, int(cuda.mem_alloc(size)))
    fault(execute="cuda error")
    assert context.execute_async_v3(stream.handle)
    with pytest.raises(cuda.LaunchError, match="illegal memory access"):
        stream.synchronize()
    with pytest.raises(cuda.LaunchError):
        cuda.mem_alloc(4)
