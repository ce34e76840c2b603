"""What training works on: the prepared rows of all frames, in memory, handed out in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from edge_inspect.datatypes import UInt8Image
from edge_inspect.errors import EngineError
from edge_inspect.workshop.models.system import Prepared, System

CHUNK = 8
"""Frames that are prepared at a time: a backbone at 512 x 512 then takes under half a gigabyte."""


class Rows:
    """Prepared rows; they stay in main memory and go to the device batch by batch."""

    def __init__(self, prepared: Prepared, *, batch: int, device: torch.device) -> None:
        self._prepared = prepared
        self._batch = batch
        self._device = device

    def __len__(self) -> int:
        return len(self._prepared[0])

    def in_order(self) -> Iterator[Prepared]:
        """All rows once, unshuffled; this fits `models.system.Batches`."""
        return self._batches(torch.arange(len(self)))

    def shuffled(self) -> Iterator[Prepared]:
        """All rows once, in an order drawn from torch's global generator."""
        return self._batches(torch.randperm(len(self)))

    def _batches(self, order: Tensor) -> Iterator[Prepared]:
        for chosen in torch.split(order, sizes(len(self), self._batch)):
            yield tuple(values[chosen].to(self._device) for values in self._prepared)


def sizes(rows: int, batch: int) -> list[int]:
    """Sizes of the batches; a single row that is left over joins the last one, since batch norm learns nothing from one row."""
    whole, rest = divmod(rows, batch)
    if rest == 1 and whole and batch > 1:
        return [*[batch] * (whole - 1), batch + 1]
    return [*[batch] * whole, *([rest] if rest else [])]


def prepare_rows(
    system: System, pixels: UInt8Image, chosen: Sequence[int], *, seed: int, device: torch.device, told: Callable[[int], None]
) -> Prepared:
    """Prepare the chosen frames in chunks.

    Args:
        system: in eval mode, on the device.
        pixels: (n, H, W, C) uint8 of all frames.
        chosen: which of them.
        seed: of what is drawn once.
        device: where it is computed.
        told: called with how many frames are done.

    Raises:
        EngineError: the system gave tensors of different length, or what is not a finite number.
    """
    random = np.random.default_rng(seed)
    chunks: list[Prepared] = []
    for start in range(0, len(chosen), CHUNK):
        frames = torch.from_numpy(pixels[list(chosen[start : start + CHUNK])]).to(device)
        chunks.append(tuple(values.cpu() for values in system.prepare(frames, random)))
        told(min(start + CHUNK, len(chosen)))
    prepared = tuple(torch.cat(values) for values in zip(*chunks, strict=True))
    _refuse_unsound(system, prepared)
    return prepared


def _refuse_unsound(system: System, prepared: Prepared) -> None:
    lengths = [len(values) for values in prepared]
    if len(set(lengths)) != 1:
        raise EngineError(f"{type(system).__name__}.prepare gave tensors of {lengths} rows; row i of each must belong together")
    if not all(bool(torch.isfinite(values).all()) for values in prepared):
        raise EngineError(f"{type(system).__name__}.prepare gave values that are not finite numbers; its weights are damaged")
