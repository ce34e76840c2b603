"""The GPU's warp: numbers by the kernel's source on the CPU, compilation by NVIDIA's NVRTC."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import re
import shutil
import sys
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.datatypes import Placement
from edge_inspect.errors import EngineError
from edge_inspect.geometry import place, walk, warp
from edge_inspect.geometry.placing import lay
from edge_inspect.runtimes.gpu_warp import KERNEL_FILE, FrameFormat, PixelLayout, warp_parameters
from edge_inspect.runtimes.tensorrt_worker import WARP_THREADS

sys.path.append(str(Path(__file__).parents[2]))

from fake_tensorrt.kernel import shared_object

mono = partial(FrameFormat, width=64, height=48, pitch=64, layout=PixelLayout.MONO)
BAYER_LAYOUTS = [layout for layout in PixelLayout if layout.name.startswith("BAYER")]


class Kernel:
    """warp.cu on the CPU."""

    def __init__(self, library):
        self.library = ctypes.CDLL(str(library))

    def run(self, name, grid, block, plan, frame, image):
        sizes = [(ctypes.c_uint * 2)(*size[:2]) for size in (grid, block)]
        getattr(self.library, f"run_{name}")(*sizes, plan, ctypes.c_void_p(frame), ctypes.c_void_p(image))

    def warp(self, pixels, placement, layout, padding=0, dtype=np.uint8):
        """What the kernel makes of pixels (H, W, C) with `padding` bytes of noise between rows; C is 1 for Bayer."""
        memory = np.hstack([pixels.reshape(len(pixels), -1), noise(len(pixels), padding, 1)[..., 0]])
        frame = FrameFormat(width=pixels.shape[1], height=len(pixels), pitch=memory.shape[1], layout=layout)
        parameters = warp_parameters(placement, frame)
        assert len(parameters.packed()) == self.library.plan_bytes()
        grid = [-(-length // threads) for length, threads in zip((placement.width, placement.height), WARP_THREADS, strict=True)]
        image = np.full((placement.height + 9, placement.width, placement.channels), 77, dtype)
        self.run(f"warp_to_{image.dtype}", grid, WARP_THREADS, parameters.packed(), memory.ctypes.data, image.ctypes.data)
        assert (image[placement.height :] == 77).all()
        return image[: placement.height]


@pytest.fixture(scope="module")
def kernel():
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler, c++, to run the kernel's source on the CPU")
    return Kernel(shared_object(KERNEL_FILE.read_bytes()))


def noise(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def off(got, wanted):
    """How many grey levels lie between two images, pixel by pixel."""
    assert got.shape == wanted.shape
    return np.abs(got.astype(float) - wanted)


def laid(middle, degrees, width, height, steps, channels):
    direction = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return lay(middle, direction, (width * steps[0], height * steps[1]), width=width, height=height, channels=channels)


@st.composite
def placements(draw):
    """A placement of any size, step and angle, about a middle on the frame or beyond its edge, and the frame's size."""
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 24))
    steps = [draw(st.one_of(st.integers(1, 9).map(float), st.floats(0.3, 9))) for _ in "xy"]
    middle = [draw(st.one_of(st.integers(-20, 110).map(float), st.floats(-20, 110))) for _ in "xy"]
    placement = laid(middle, draw(st.one_of(st.just(0), st.floats(-180, 180))), width, height, steps, draw(st.sampled_from([1, 3])))
    return placement, draw(st.integers(3, 90)), draw(st.integers(3, 90))


def frame_of(layout, width, height, seed):
    """A frame of noise as the camera lays it out, and as this program has it: (H, W, 1), or RGB (H, W, 3)."""
    pixels = noise(height, width, layout.bytes_per_pixel, seed)
    if layout in BAYER_LAYOUTS:
        return pixels, cv2.cvtColor(pixels, getattr(cv2, f"COLOR_Bayer{layout.name[-4:]}2RGB"))
    return pixels, pixels[..., ::-1] if layout is PixelLayout.BGR else pixels


@given(placements(), st.sampled_from(PixelLayout), st.integers(0, 9), st.sampled_from([np.uint8, np.float32]), st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_no_pixel_is_more_than_one_level_from_the_cpus_warp(kernel, placed, layout, padding, dtype, seed):
    placement, width, height = placed
    frame, pixels = frame_of(layout, width, height, seed)
    assert off(kernel.warp(frame, placement, layout, padding, dtype), warp(pixels, placement)).max() <= 1


@pytest.mark.parametrize("layout", [PixelLayout.MONO, PixelLayout.BGR, PixelLayout.BAYER_GRBG])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("turn", [0, 180], ids=["upright", "turned"])
def test_random_placements_are_within_a_tenth_of_a_level_of_the_cpus_warp_in_the_mean(kernel, layout, channels, turn):
    random, means = np.random.default_rng(7), []
    for seed in range(30):
        width, height = random.integers(30, 250, 2)
        steps = random.uniform(0.3, 8, 2) if seed % 2 else [random.uniform(0.3, 8)] * 2
        placement = laid((random.uniform(0, width), random.uniform(0, height)), random.uniform(-turn, turn), 48, 40, steps, channels)
        frame, pixels = frame_of(layout, width, height, seed)
        difference = off(kernel.warp(frame, placement, layout), warp(pixels, placement))
        assert difference.max() <= 1
        means.append(difference.mean())
    assert max(means) <= 0.1
    assert np.mean(means) <= 0.01


def test_where_the_cpu_resizes_whole_blocks_it_is_opencv_that_rounds_down(kernel):
    """cv2.resize drops bits on its way: 0.12 of a level too dark in the mean, while the kernel rounds to nearest, half to even."""
    pixels, placement = noise(480, 640, 1), place(640, 480, None, width=256, height=256, channels=1)
    plan = walk(placement, 640, 480)
    blocks = cv2.resize(pixels, (640 // plan.block_width, 480 // plan.block_height), interpolation=cv2.INTER_AREA)
    exact = cv2.resize(blocks.astype(np.float32), (256, 256), interpolation=cv2.INTER_LINEAR)[..., None]
    got, cpu = kernel.warp(pixels, placement, PixelLayout.MONO), warp(pixels, placement)
    np.testing.assert_array_equal(got, np.rint(exact))
    assert off(got, cpu).max() <= 1
    assert off(got, cpu).mean() < 0.14


@pytest.mark.parametrize("layout", [PixelLayout.MONO, PixelLayout.RGB])
def test_block_means_round_exactly_as_the_cpus(kernel, layout):
    """Whole-numbered steps, where nothing is interpolated; the last block of each row and column is cut by the frame's edge."""
    for step_x, step_y in product(range(1, 15), repeat=2):
        affine = np.array([[step_x, 0, step_x / 2 - 0.5], [0, step_y, step_y / 2 - 0.5]])
        placement = Placement(affine=affine, width=16, height=12, channels=layout.bytes_per_pixel)
        pixels = noise(12 * step_y - step_y // 3, 16 * step_x - step_x // 2, placement.channels, seed=step_x * step_y)
        np.testing.assert_array_equal(kernel.warp(pixels, placement, layout), warp(pixels, placement), f"{step_x} x {step_y}")


def slow_colours(mosaic, layout):
    """The nearest pixels of each colour, averaged one pixel at a time; the outermost pixels copy their inner neighbours."""
    height, width, _ = mosaic.shape
    colours = np.zeros((height - 2, width - 2, 3), np.uint8)
    for y, x, colour in product(range(1, height - 1), range(1, width - 1), range(3)):
        levels = {}
        for j, i in product((-1, 0, 1), repeat=2):
            if layout.name[-4:][(y + j) % 2 * 2 + (x + i) % 2] == "RGB"[colour]:
                levels.setdefault(abs(i) + abs(j), []).append(int(mosaic[y + j, x + i, 0]))
        nearest = levels[min(levels)]
        colours[y - 1, x - 1, colour] = math.floor(sum(nearest) / len(nearest) + 0.5)
    return np.pad(colours, ((1, 1), (1, 1), (0, 0)), mode="edge")


@pytest.mark.parametrize("layout", BAYER_LAYOUTS)
@pytest.mark.parametrize(("width", "height"), [(3, 3), (4, 3), (20, 17), (21, 24)])
def test_bayer_colours_are_the_means_of_their_nearest_pixels_and_exactly_opencvs(kernel, layout, width, height):
    mosaic, opencvs = frame_of(layout, width, height, seed=0)
    got = kernel.warp(mosaic, place(width, height, None, width=width, height=height, channels=3), layout, padding=3)
    np.testing.assert_array_equal(got, slow_colours(mosaic, layout))
    np.testing.assert_array_equal(got, opencvs)


def parameters_of(step, start, channels=1):
    affine = np.array([[step, 0, start], [0, step, 0]], np.float64)
    return warp_parameters(Placement(affine=affine, width=8, height=8, channels=channels), mono())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: mono(layout=PixelLayout.RGB), "pitch 64 bytes, but a row of 64 px of RGB8 has 192"),
        (lambda: mono(width=2, layout=PixelLayout.BAYER_BGGR), "2 x 48 px of BayerBG8, wanted 3 x 3 or more"),
        (lambda: parameters_of(1, 3e9), "3e[+]09 network pixels away from the frame"),
        (lambda: parameters_of(5000, 0), "covers 25000000 frame pixels"),
        (lambda: parameters_of(1, 0, channels=2), "2 channels, wanted 1 or 3"),
    ],
)
def test_what_the_kernel_cannot_read_is_refused(asked, said):
    with pytest.raises(EngineError, match=said):
        asked()


def nvrtc(architecture):
    """CUDA 13's compiler where it knows the architecture and is installed, else CUDA 12's."""
    folders = getattr(importlib.util.find_spec("nvidia"), "submodule_search_locations", [])
    majors = (13, 12) if architecture >= 75 else (12,)
    libraries = [path for major in majors for folder in folders for path in Path(folder).glob(f"*/lib/libnvrtc.so.{major}")]
    if not libraries:
        pytest.skip("no NVRTC for this architecture: pip install nvidia-cuda-nvrtc-cu12, or for sm_75 and later nvidia-cuda-nvrtc")
    return ctypes.CDLL(str(libraries[0]))


def compiled(library, what, program):
    size = ctypes.c_size_t()
    assert getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    content = ctypes.create_string_buffer(size.value)
    assert getattr(library, f"nvrtcGet{what}")(program, content) == 0
    return content.raw


@pytest.mark.parametrize("architecture", [53, 75, 80, 86, 87, 89, 90, 120])
def test_the_kernel_compiles_and_has_no_instruction_whose_numbers_depend_on_the_device(architecture):
    library, program = nvrtc(architecture), ctypes.c_void_p()
    options = (ctypes.c_char_p * 2)(b"--std=c++14", f"--gpu-architecture=sm_{architecture}".encode())
    assert library.nvrtcCreateProgram(ctypes.byref(program), KERNEL_FILE.read_bytes(), b"warp.cu", 0, None, None) == 0
    assert library.nvrtcCompileProgram(program, 2, options) == 0, compiled(library, "ProgramLog", program)
    assert compiled(library, "CUBIN", program).startswith(b"\x7fELF")
    instructions = compiled(library, "PTX", program).decode()
    assert sorted(re.findall(r"\.entry (\w+)", instructions)) == ["warp_to_float32", "warp_to_uint8"]
    assert {"mul.rn.f32", "rcp.rn.f32"} == set(re.findall(r"(?:mul|rcp|add|sub|div|fma|mad)\.\S*f\d+", instructions))
    assert not re.search(r"\b(bar|barrier|atom|red|shfl)\.|\.(shared|local)\b", instructions)
