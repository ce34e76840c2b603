"""Frames warped on the GPU: the real warp.cu on the fake device, in this process and in a worker, to the network's image."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
from contextlib import AbstractContextManager
from functools import partial

import cv2
import fake_tensorrt.cuda as cuda
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tensorrt_runtime import descriptors, next_served, nothing_left, pid_of, wait_until

from edge_inspect.acceptance import accept
from edge_inspect.errors import EngineError
from edge_inspect.geometry import lay, place, warp
from edge_inspect.protocols import Runtime
from edge_inspect.runtimes.gpu_warp import FrameFormat, PixelLayout, warp_parameters
from edge_inspect.runtimes.tensorrt_plan import kernel_file, sidecar_file
from edge_inspect.runtimes.tensorrt_runtime import open_tensorrt
from edge_inspect.testing import check_runtime

WHOLE = place(64, 48, None, width=64, height=48, channels=3)
GREY = np.full((48, 64, 3), 138, np.uint8)


def opened(model_and_plan, **options) -> AbstractContextManager[Runtime]:
    model, plan = model_and_plan
    modules = {"library": "fake_tensorrt.tensorrt", "cuda": "fake_tensorrt.cuda"}
    return open_tensorrt(model=model, plan=plan, **{**modules, "timeout_ms": 2000, **options})


local = partial(opened, in_process=True)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def turned(frame, degrees, share=0.6):
    height, width = frame.shape[:2]
    direction = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return lay((width / 2, height / 2), direction, (share * width, share * height), width=64, height=48, channels=3)


def image_of(engine, pixels, placement):
    """The engine's input that the device makes of a frame."""
    engine._buffers.place(pixels, placement)
    engine._engine.warp()
    return engine._buffers.image[0].astype(float)


@pytest.mark.parametrize("version", ["8.2.1", "8.6.1", "10.3.0", "11.4.0.106"])
@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
def test_golden_frames_are_accepted_with_the_warp_on(version, in_process, plan_of):
    model, plan = plan_of(version, warp=True)
    with nothing_left(), opened((model, plan), in_process=in_process) as engine:
        assert accept(engine, model, image_threshold=None).complaints == ()
        assert engine.made_of["warp_sha256"] == hashlib.sha256(kernel_file(plan).read_bytes()).hexdigest()


def test_the_worker_with_the_warp_keeps_the_promises_of_a_runtime(plan_of):
    model, plan = plan_of("10.3.0", warp=True)
    with nothing_left():
        check_runtime(partial(opened, (model, plan)), model)


@pytest.mark.parametrize("version", ["8.2.1", "10.3.0"])
def test_whatever_the_placement_and_the_layout_the_engine_gets_the_cpus_image(version, plan_of):
    with local(plan_of(version, warp=True)) as engine:

        @given(
            st.integers(3, 300),
            st.integers(3, 300),
            st.floats(-180, 180),
            st.floats(0.1, 2),
            st.sampled_from(["mono", "rgb", "bgr"]),
            st.integers(0, 99),
        )
        @settings(max_examples=60, deadline=None)
        def agrees(height, width, degrees, share, layout, padding):
            wide = noise(height, width + padding, 1 if layout == "mono" else 3, seed=height)
            pixels = wide[:, :width, ::-1] if layout == "bgr" else wide[:, :width]
            placement = turned(pixels, degrees, share)
            assert np.abs(image_of(engine, pixels, placement) - warp(pixels.copy(), placement)).max() <= 1

        agrees()


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
def test_scores_follow_the_placement_of_each_part(in_process, plan_of):
    model_and_plan = plan_of("10.3.0", warp=True)
    frames = [noise(200, 300, seed=1), noise(31, 500, 1, seed=2), np.full((480, 640, 3), 200, np.uint8)]
    with opened(model_and_plan, in_process=in_process) as on_gpu, opened(model_and_plan, in_process=in_process, gpu_warp=False) as on_cpu:
        for degrees in (0, 33, -120):
            for frame in frames:
                placement = turned(frame, degrees)
                got, wanted = (engine.infer(frame, placement) for engine in (on_gpu, on_cpu))
                assert np.abs(got.map - wanted.map).max() <= 1.01
                assert got.image == pytest.approx(wanted.image, abs=1.01)


def test_rows_that_the_warp_does_not_read_are_not_copied(plan_of):
    first, second = noise(400, 300, seed=1), noise(400, 300, seed=2)
    part = lay((150, 310), (1, 0), (90, 60), width=64, height=48, channels=3)
    with local(plan_of("10.3.0", warp=True)) as engine:
        image_of(engine, first, turned(first, 0, 1))
        assert np.abs(image_of(engine, second, part) - warp(second, part)).max() <= 1
        memory = engine._buffers.raw._memory[: first.nbytes].reshape(first.shape)
        np.testing.assert_array_equal(memory[:280], first[:280])
        np.testing.assert_array_equal(memory[280:340], second[280:340])


@given(st.integers(3, 40), st.floats(-20, 60), st.floats(0.5, 30), st.sampled_from(["BayerRG8", "BayerGB8"]))
def test_bayer_rows_reach_one_neighbour_further_and_stay_in_the_frame(height, middle, size, mosaic):
    frame = FrameFormat(width=9, height=height, pitch=9, layout=PixelLayout(mosaic))
    plan = warp_parameters(lay((4, middle), (1, 0), (5, size), width=8, height=8, channels=3), frame)
    first, end = plan.rows
    inner = [min(max(row, 1), height - 2) for row in range(plan.top, plan.bottom)]
    assert (first, end) == (min(inner) - 1, max(inner) + 2)
    assert 0 <= first < end <= height


@pytest.mark.parametrize("mosaic", ["BayerRG8", "BayerBG8", "BayerGR8", "BayerGB8"])
def test_a_raw_mosaic_gets_opencvs_colours_and_a_coloured_golden_frame_keeps_its_own(mosaic, plan_of):
    model, plan = plan_of("10.3.0", warp=True)
    pattern = {"RG": "RGGB", "BG": "BGGR", "GR": "GRBG", "GB": "GBRG"}[mosaic[5:7]]
    frame = noise(150, 211, 1)
    with local((model, plan), bayer=mosaic) as engine:
        assert accept(engine, model, image_threshold=None).complaints == ()
        for placement in (turned(frame, 20), lay((10, 149), (1, 0), (90, 60), width=64, height=48, channels=3)):
            colours = cv2.cvtColor(frame, getattr(cv2, f"COLOR_Bayer{pattern}2RGB"))
            assert np.abs(image_of(engine, frame, placement) - warp(colours, placement)).max() <= 1


def test_a_mosaic_is_refused_where_nothing_can_read_it(plan_of):
    with (
        pytest.raises(EngineError, match="bayer BayerRG8: only the GPU's warp reads raw mosaics"),
        local(plan_of("10.3.0"), bayer="BayerRG8"),
    ):
        pass
    mono = plan_of("10.3.0", "tiny_mono", warp=True)
    with (
        pytest.raises(EngineError, match=r"bayer BayerRG8: .*tiny_mono takes grey images; let the camera deliver grey"),
        local(mono, bayer="BayerRG8"),
    ):
        pass


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
def test_a_frame_larger_than_any_before_makes_the_memory_grow_once(in_process, plan_of):
    large = np.full((1100, 1400, 3), 138, np.uint8)
    with nothing_left(), opened(plan_of("10.3.0", warp=True), in_process=in_process, frame_mb=1) as engine:
        buffers = engine._buffers if in_process else engine._engine._buffers
        assert buffers.raw.size == 1 << 20
        for frame, size in ((GREY, 1 << 20), (large, 4620288), (large, 4620288), (GREY, 4620288)):
            whole = place(frame.shape[1], frame.shape[0], None, width=64, height=48, channels=3)
            assert engine.infer(frame, whole).image == 10
            assert buffers.raw.size == size


def test_every_buffer_of_the_warp_is_allocated_once_and_given_back(plan_of, monkeypatch):
    allocated = []
    real = cuda.mem_alloc
    monkeypatch.setattr(cuda, "mem_alloc", lambda size: allocated.append(size) or real(size))
    before = len(descriptors())
    with local(plan_of("10.3.0", warp=True), frame_mb=2) as engine:
        for _ in range(5):
            engine.infer(noise(500, 600), turned(noise(500, 600), 3))
        assert sorted(allocated) == [4, 12 * 16 * 4, 48 * 64 * 3, 2 << 20]
        assert len(cuda.DEVICE.streams) == 1
        assert len(cuda.DEVICE.locked) == 2
    assert cuda.DEVICE.memory == {}
    assert cuda.DEVICE.locked == []
    assert len(descriptors()) == before


def test_a_device_that_cannot_lock_the_lines_memory_copies_frames_through_its_own(plan_of, fault):
    fault(no_registration=True)
    frame = noise(300, 400)
    with local(plan_of("8.2.1", warp=True)) as engine:
        placement = turned(frame, 70)
        assert np.abs(image_of(engine, frame, placement) - warp(frame, placement)).max() <= 1
        assert engine.infer(GREY, WHOLE).image == 10


def test_a_plan_with_a_kernel_serves_without_it_where_that_is_asked_for(plan_of, monkeypatch):
    monkeypatch.setattr(cuda, "module_from_buffer", None)
    with local(plan_of("10.3.0", warp=True), gpu_warp=False) as engine:
        assert engine._buffers.raw is None
        assert engine.infer(GREY, WHOLE).image == 10


def test_a_placement_for_another_network_is_refused_before_anything_is_copied(plan_of):
    with local(plan_of("10.3.0", warp=True)) as engine:
        with pytest.raises(EngineError, match=r"the placement is for an image of \(20, 40, 3\), the engine wants \(48, 64, 3\)"):
            engine.infer(GREY, place(64, 48, None, width=40, height=20, channels=3))
        with pytest.raises(EngineError, match="more than 2\\^30"):
            engine.infer(GREY, lay((1e12, 0), (1, 0), (64, 48), width=64, height=48, channels=3))
        assert engine.infer(GREY, WHOLE).image == 10


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("swapped channels", r"the GPU's warp is \d+ grey levels from the CPU's \(RGB8 frame, whole\), 1 is allowed"),
        ("two levels more", r"the GPU's warp is [23] grey levels from the CPU's"),
    ],
)
def test_a_gpu_that_warps_to_another_image_does_not_serve(kind, sentence, in_process, plan_of, fault):
    fault(warp=kind)
    with nothing_left(), pytest.raises(EngineError, match=sentence) as refusal, opened(plan_of("10.3.0", warp=True), in_process=in_process):
        pass
    assert "write gpu_warp: false" in str(refusal.value)


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ({"warp": "hang"}, r"did not answer within 2 s and was killed"),
        ({"warp": "cuda error"}, "the GPU failed: cuStreamSynchronize failed: an illegal memory access .*the worker is started again"),
        ({"warp launch": True}, "the GPU failed: cuLaunchKernel failed: invalid argument"),
    ],
)
def test_a_warp_that_takes_the_gpu_down_is_a_fault_and_the_next_worker_serves(faults, sentence, plan_of, fault):
    with nothing_left(), opened(plan_of("10.3.0", warp=True)) as engine:
        first = pid_of(engine)
        fault(**faults, once=True)
        with pytest.raises(EngineError, match=r"tiny\.plan: .*" + sentence):
            engine.infer(GREY, WHOLE)
        assert next_served(engine)[0].image == 10
        assert pid_of(engine) != first


def test_a_worker_whose_warp_went_wrong_while_it_was_away_does_not_serve(plan_of, fault):
    with nothing_left(), opened(plan_of("10.3.0", warp=True)) as engine:
        faults = fault(warp="two levels more")
        os.kill(pid_of(engine), signal.SIGKILL)

        def refused() -> bool:
            with pytest.raises(EngineError) as refusal:
                engine.infer(GREY, WHOLE)
            return "grey levels from the CPU's" in str(refusal.value)

        wait_until(refused)
        faults.unlink()
        assert next_served(engine)[0].image == 10


def test_after_a_warp_that_took_the_gpu_down_every_frame_is_a_fault_in_this_process(plan_of, fault):
    with local(plan_of("10.3.0", warp=True)) as engine:
        fault(warp="cuda error", once=True)
        with pytest.raises(EngineError, match="the GPU failed"):
            engine.infer(GREY, WHOLE)
        with pytest.raises(EngineError, match="start the station again"):
            engine.infer(GREY, WHOLE)


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
def test_a_kernel_for_another_gpu_is_refused(in_process, plan_of, monkeypatch):
    monkeypatch.setattr("fake_tensorrt.parts.SM", "sm_89")
    sentence = "the GPU does not take the compiled warp: cuModuleLoadDataEx failed: no kernel image is available"
    with pytest.raises(EngineError, match=sentence), opened(plan_of("10.3.0", warp=True), in_process=in_process):
        pass


def test_a_kernel_that_is_not_the_plans_is_refused(plan_of):
    model, plan = plan_of("10.3.0", warp=True)
    whole = kernel_file(plan).read_bytes()
    kernel_file(plan).write_bytes(whole + b" ")
    with pytest.raises(EngineError, match=r"tiny\.plan\.warp: is not the kernel that was compiled with this plan"), local((model, plan)):
        pass
    kernel_file(plan).unlink()
    with pytest.raises(EngineError, match=r"tiny\.plan\.warp: cannot be read: No such file"), local((model, plan)):
        pass
    kernel_file(plan).write_bytes(whole)
    sidecar = json.loads(sidecar_file(plan).read_text())
    sidecar["warp"]["source_sha256"] = "0" * 64
    sidecar_file(plan).write_text(json.dumps(sidecar))
    with pytest.raises(EngineError, match=r"was compiled from another version's warp\.cu; build it again"), local((model, plan)):
        pass


def test_a_plan_without_a_kernel_is_warped_on_the_cpu_unless_the_gpu_is_asked_for(plan_of):
    model, plan = plan_of("10.3.0")
    with local((model, plan)) as engine:
        assert engine._buffers.raw is None
    with (
        pytest.raises(EngineError, match="was built without the GPU's warp, no CUDA compiler was at hand"),
        local((model, plan), gpu_warp=True),
    ):
        pass
