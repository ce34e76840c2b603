"""Camera frames as they are, in memory that a TensorRT worker maps, and for each what the GPU's warp is to do with it.

The memory holds one frame, its rows without gaps. Only the rows that the warp reads are copied, to their place in the frame.
It grows when a frame is larger than any before; the worker sees that by the order, and maps it anew.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import Placement, UInt8Image
from edge_inspect.runtimes.gpu_warp import FrameFormat, PixelLayout, WarpParameters, warp_parameters
from edge_inspect.runtimes.nameless_memory import open_nameless_memory
from edge_inspect.runtimes.tensorrt_worker import ROWS_TO_COPY

Mosaic = Literal["BayerRG8", "BayerBG8", "BayerGR8", "BayerGB8"]


class RawFrames:
    """The frame's memory, and the order beside it.

    Args:
        order: where the worker reads what to do (`tensorrt_worker.ORDER_BYTES`), uint8.
        size: of the memory to begin with, above 0 [bytes].
        mosaic: what a frame of one channel is; None is grey.

    Attributes:
        descriptor: of the memory, for a process that is to map it.
        size: of the memory [bytes].
        mosaic: what a frame of one channel is.
    """

    def __init__(self, order: npt.NDArray[np.uint8], *, size: int, mosaic: Mosaic | None) -> None:
        self._order, self.mosaic = order, mosaic
        self._of_one_channel = PixelLayout(mosaic) if mosaic else PixelLayout.MONO
        self._asked: tuple[object, ...] = ()
        self._answer = b"", (0, 0)
        self.descriptor = open_nameless_memory("edge-inspect frame")
        self._map(size)

    def put(self, pixels: UInt8Image, placement: Placement) -> None:
        """Copy the rows that the warp reads, and write the order.

        Args:
            pixels: the frame (H, W, C) uint8, C is 1 or 3 (RGB), with any distance from row to row; BGR that is shown as RGB
                by a negative stride is copied as it lies.
            placement: where the network's image lies in it.

        Raises:
            EngineError: the frame is too small for its layout, or the placement lies too far from it.
        """
        stored, layout = _as_it_lies(pixels, self._of_one_channel)
        height, width, samples = stored.shape
        plan, (first, end) = self._ordered(placement, FrameFormat(width=width, height=height, pitch=width * samples, layout=layout))
        if stored.nbytes > self.size:
            self._map(stored.nbytes)
        np.copyto(self._memory[: stored.nbytes].reshape(stored.shape)[first:end], stored[first:end])
        self._order[:] = np.frombuffer(plan, np.uint8)

    def close(self) -> None:
        """Give memory and descriptor back."""
        self._memory = self._order = np.zeros(0, np.uint8)
        with contextlib.suppress(BufferError):  # an engine that lost its GPU still has a view: then the last of them
            self._mapped.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _ordered(self, placement: Placement, frame: FrameFormat) -> tuple[bytes, tuple[int, int]]:
        """The order's bytes and the rows to copy; planning takes longer than the rest, and most parts lie where the last one lay."""
        asked = placement.affine.tobytes(), placement.width, placement.height, placement.channels, frame
        if asked != self._asked:
            parameters = warp_parameters(placement, frame)
            self._asked, self._answer = asked, (_order_of(parameters), parameters.rows)
        return self._answer

    def _map(self, size: int) -> None:
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages: what a GPU can lock
        os.ftruncate(self.descriptor, self.size)
        self._mapped = mmap.mmap(self.descriptor, self.size)
        self._memory = np.frombuffer(self._mapped, np.uint8)


def _as_it_lies(pixels: UInt8Image, of_one_channel: PixelLayout) -> tuple[UInt8Image, PixelLayout]:
    if pixels.shape[2] == 1:
        return pixels, of_one_channel
    return (pixels[..., ::-1], PixelLayout.BGR) if pixels.strides[2] < 0 else (pixels, PixelLayout.RGB)


def _order_of(parameters: WarpParameters) -> bytes:
    first, end = parameters.rows
    return parameters.packed() + ROWS_TO_COPY.pack(first * parameters.pitch, (end - first) * parameters.pitch)
