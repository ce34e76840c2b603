"""Memory that the line and the TensorRT worker both map: the network's image in it, and the answers.

    page 0 ...  frame (1, H, W, C), uint8 or, for TensorRT 8.2, float32
    next page   score_map (1, 1, h, w) float32
    next page   image_score (1,) float32
    last page   order to the GPU's warp, where it makes `frame`; camera frames have a memory of their own (tensorrt_frames.py)

It has no name in any folder (nameless_memory.py), so nothing of it is left when the last process that maps it is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import Placement, UInt8Image
from edge_inspect.model_folder import Manifest
from edge_inspect.runtimes.graph import FRAME, IMAGE_SCORE, SCORE_MAP, Buffers
from edge_inspect.runtimes.nameless_memory import open_nameless_memory
from edge_inspect.runtimes.tensorrt_frames import Mosaic, RawFrames
from edge_inspect.runtimes.tensorrt_worker import ORDER_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTensor:
    """Where an input or output of the engine lies in the memory; `offset` in bytes, on a page's start."""

    name: str
    type: str
    shape: tuple[int, ...]
    input: bool
    offset: int

    @property
    def size(self) -> int:
        """Length [bytes]."""
        return int(np.prod(self.shape)) * np.dtype(self.type).itemsize


def lay_out(manifest: Manifest, *, float_input: bool, names: Mapping[str, str] | None = None) -> tuple[SharedTensor, ...]:
    """Where each tensor of a model lies; `names` are the plan's own, where they are not the graph's."""
    image, cells = manifest.input, manifest.score_map
    listed: list[tuple[str, str, tuple[int, ...]]] = [
        (FRAME, "float32" if float_input else "uint8", (1, image.height, image.width, image.channels)),
        (SCORE_MAP, "float32", (1, 1, cells.height, cells.width)),
        (IMAGE_SCORE, "float32", (1,)),
    ]
    tensors: list[SharedTensor] = []
    offset = 0
    for name, kind, shape in listed:
        tensors.append(SharedTensor(name=(names or {}).get(name, name), type=kind, shape=shape, input=name == FRAME, offset=offset))
        offset += _whole_pages(tensors[-1].size)
    return tuple(tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFrameOptions:
    """How camera frames go to the GPU as they are: size of their memory to begin with [bytes], and what one channel is."""

    size: int
    mosaic: Mosaic | None = None


class SharedBuffers(Buffers):
    """`graph.Buffers` in memory that another process can map.

    Args:
        manifest: of the model.
        float_input: the engine takes float32.
        raw: frames are warped on the GPU; None warps them here.
        names: as in `lay_out`.

    Attributes:
        tensors: what lies where.
        order: where the order to the warp lies [bytes].
        raw: camera frames as they are; None where they are warped here.
        size: length of the memory, whole pages [bytes].
        descriptor: of the memory, for a process that is to map it.
        memory: mapped here.
    """

    def __init__(
        self, manifest: Manifest, *, float_input: bool, raw: RawFrameOptions | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        self.tensors = lay_out(manifest, float_input=float_input, names=names)
        self.order = self.tensors[-1].offset + _whole_pages(self.tensors[-1].size)
        self.size = self.order + _whole_pages(ORDER_BYTES)
        self.descriptor = open_nameless_memory("edge-inspect engine")
        os.ftruncate(self.descriptor, self.size)
        self.memory = mmap.mmap(self.descriptor, self.size)
        frame, score_map, image_score = (_view(self.memory, tensor) for tensor in self.tensors)
        self.score_map, self.image_score = score_map, image_score
        self._input: npt.NDArray[Any] = frame
        self.frame = np.zeros(frame.shape, np.uint8) if float_input else frame
        order = np.frombuffer(self.memory, np.uint8, ORDER_BYTES, self.order)
        self.raw = RawFrames(order, size=raw.size, mosaic=raw.mosaic) if raw else None

    @property
    def image(self) -> npt.NDArray[Any]:
        """The engine's input (1, H, W, C) in its own type; with the warp on the GPU what came back from there."""
        return self._input

    def place(self, pixels: UInt8Image, placement: Placement) -> None:
        """Warp the frame's pixels into the engine's input, or hand them to the GPU's warp.

        Raises:
            EngineError: the placement is for another network's image, or the GPU's warp cannot make it.
        """
        if self.raw is not None:
            self.refuse_another_image(placement)
            self.raw.put(pixels, placement)
            return
        super().place(pixels, placement)
        if self._input is not self.frame:
            np.copyto(self._input, self.frame)

    def close(self) -> None:
        """Give memory and descriptors back; scores that were given out are copies."""
        if self.raw is not None:
            self.raw.close()
        self.frame = self._input = np.zeros(0, np.uint8)
        self.score_map = self.image_score = np.zeros(0, np.float32)
        with contextlib.suppress(BufferError):  # an engine that lost its GPU still has a view: then the last of them
            self.memory.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _view(memory: mmap.mmap, tensor: SharedTensor) -> npt.NDArray[Any]:
    count = int(np.prod(tensor.shape))
    return np.frombuffer(memory, tensor.type, count, tensor.offset).reshape(tensor.shape)


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
