"""Memory that the line and the TensorRT worker both map: the network's image in it, and the answers.

    page 0 ...  frame (1, H, W, C), uint8 or, for TensorRT 8.2, float32
    next page   score_map (1, 1, h, w) float32
    next page   image_score (1,) float32

It has no name in any folder (`memfd_create`), so nothing of it is left when the last process that maps it is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import Placement, UInt8Image
from edge_inspect.model_folder import Manifest
from edge_inspect.runtimes.graph import FRAME, IMAGE_SCORE, SCORE_MAP, Buffers


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


def lay_out(manifest: Manifest, *, float_input: bool) -> tuple[SharedTensor, ...]:
    """Where each tensor of a model lies."""
    image, cells = manifest.input, manifest.score_map
    listed: list[tuple[str, str, tuple[int, ...]]] = [
        (FRAME, "float32" if float_input else "uint8", (1, image.height, image.width, image.channels)),
        (SCORE_MAP, "float32", (1, 1, cells.height, cells.width)),
        (IMAGE_SCORE, "float32", (1,)),
    ]
    tensors: list[SharedTensor] = []
    offset = 0
    for name, kind, shape in listed:
        tensors.append(SharedTensor(name=name, type=kind, shape=shape, input=name == FRAME, offset=offset))
        offset += _whole_pages(tensors[-1].size)
    return tuple(tensors)


class SharedBuffers(Buffers):
    """`graph.Buffers` in memory that another process can map.

    Attributes:
        tensors: what lies where.
        size: length of the memory, whole pages [bytes].
        descriptor: of the memory, for a process that is to map it.
        memory: mapped here.
    """

    def __init__(self, manifest: Manifest, *, float_input: bool) -> None:
        self.tensors = lay_out(manifest, float_input=float_input)
        self.size = self.tensors[-1].offset + _whole_pages(self.tensors[-1].size)
        self.descriptor = os.memfd_create("edge-inspect engine")
        os.ftruncate(self.descriptor, self.size)
        self.memory = mmap.mmap(self.descriptor, self.size)
        frame, score_map, image_score = (_view(self.memory, tensor) for tensor in self.tensors)
        self.score_map, self.image_score = score_map, image_score
        self._input: npt.NDArray[Any] = frame
        self.frame = np.zeros(frame.shape, np.uint8) if float_input else frame

    def place(self, pixels: UInt8Image, placement: Placement) -> None:
        """Warp the frame's pixels into the engine's input.

        Raises:
            EngineError: the placement is for another network's image.
        """
        super().place(pixels, placement)
        if self._input is not self.frame:
            np.copyto(self._input, self.frame)

    def close(self) -> None:
        """Give memory and descriptor back; scores that were given out are copies."""
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
