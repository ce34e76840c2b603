"""The network's kernels as one CUDA graph, on a driver that is called by the C names and types of the real one."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import fake_tensorrt.cuda as cuda
import numpy as np
import pytest
from fake_tensorrt import VERSIONS, driver
from fake_tensorrt.driver import Driver

from edge_inspect.errors import EngineError
from edge_inspect.geometry import place
from edge_inspect.runtimes import tensorrt_worker
from edge_inspect.runtimes.tensorrt_runtime import open_tensorrt

WHOLE = place(64, 48, None, width=64, height=48, channels=3)
GREY = np.full((48, 64, 3), 138, np.uint8)
RECORDED = ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy", "cuGraphLaunch"]


@pytest.fixture
def driven(monkeypatch, plan_of):
    """Opens the engine on such a driver; both."""

    def opened(version, driving, **options):
        monkeypatch.setattr(driver, "DEVICE", cuda.DEVICE)
        monkeypatch.setattr(tensorrt_worker, "_driver", lambda _: driving)
        model, plan = plan_of(version)
        modules = {"library": "fake_tensorrt.tensorrt", "cuda": "fake_tensorrt.cuda"}
        return open_tensorrt(model=model, plan=plan, in_process=True, **modules, **options)

    return opened


@pytest.mark.parametrize("version", VERSIONS)
def test_after_the_warm_up_every_frame_is_one_launch_of_what_was_recorded(version, driven):
    driving = Driver()
    with driven(version, driving) as engine:
        assert driving.calls == RECORDED
        for level in (10, 30, 20):
            assert engine.infer(GREY + np.uint8(level - 10), WHOLE).image == level
        assert driving.calls == [*RECORDED, *["cuGraphLaunch"] * 3]
        assert driving.left == 1
    assert driving.left == 0
    assert driving.calls[-1] == "cuGraphExecDestroy"


def test_an_older_driver_makes_the_graph_by_its_own_call(driven):
    driving = Driver(older=True)
    with driven("8.2.1", driving) as engine:
        assert "cuGraphInstantiate" in driving.calls
        assert engine.infer(GREY, WHOLE).image == 10


@pytest.mark.parametrize("refused", ["cuStreamBeginCapture_v2", "work", "cuGraphInstantiateWithFlags"])
def test_what_cannot_be_recorded_is_launched_one_by_one_and_nothing_is_left(refused, driven):
    driving = Driver(refuses=(refused,))
    with driven("10.3.0", driving) as engine:
        for level in (10, 30):
            assert engine.infer(GREY + np.uint8(level - 10), WHOLE).image == level
        assert "cuGraphLaunch" not in driving.calls
        assert driving.left == 0


def test_a_network_that_tensorrt_will_not_queue_while_it_is_recorded_is_launched_one_by_one(driven, fault):
    class Refusing(Driver):
        def _begin(self, stream, mode):
            fault(execute="false", once=True)
            return super()._begin(stream, mode)

    driving = Refusing()
    with driven("10.3.0", driving) as engine:
        assert engine.infer(GREY, WHOLE).image == 10
        assert "cuGraphLaunch" not in driving.calls
        assert driving.left == 0


def test_a_launch_that_fails_is_a_lost_gpu(driven):
    driving = Driver()
    with driven("10.3.0", driving) as engine:
        driving.refuses = ("launch",)
        with pytest.raises(EngineError, match="the GPU failed: cuGraphLaunch gave CUDA error 719"):
            engine.infer(GREY, WHOLE)
        with pytest.raises(EngineError, match="start the station again"):
            engine.infer(GREY, WHOLE)


def test_it_can_be_left_alone(driven):
    driving = Driver()
    with driven("10.3.0", driving, cuda_graph=False) as engine:
        assert engine.infer(GREY, WHOLE).image == 10
    assert driving.calls == []


PYCUDA = SimpleNamespace(__name__="pycuda.driver")


def test_only_the_driver_that_pycuda_has_is_asked(monkeypatch):
    loaded = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: loaded.append(name) or Driver())
    assert tensorrt_worker._driver(cuda) is None
    assert loaded == []
    assert isinstance(tensorrt_worker._driver(PYCUDA), Driver)
    assert loaded == ["libcuda.so.1"]


@pytest.mark.parametrize("there", [OSError("no such library"), None])
def test_a_driver_without_graphs_is_none(there, monkeypatch):
    def load(_):
        if there is not None:
            raise there
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert tensorrt_worker._driver(PYCUDA) is None
