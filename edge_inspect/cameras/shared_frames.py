"""Memory in which a camera's child process lays frames down and the station reads them: no copy on the station's side.

It has no name in any folder (`memfd_create`), so nothing of it is left when the last process that maps it is gone. It is cut into
slots. A slot is the station's again when nobody looks at its frame any more, which may be much later: pictures wait in a queue.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections import deque

import numpy as np

from edge_inspect.datatypes import UInt8Image

KEPT_WARM = 4
"""Free slots that keep their memory: one is written while one is inspected, and a few wait for their pictures."""


class Slot:
    """Room for one frame.

    Attributes:
        offset: in the memory, whole pages [bytes].
        size: whole pages [bytes].
        memory: mapped here.
    """

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self.offset, self.size = offset, size
        self.memory = mmap.mmap(descriptor, size, offset=offset)

    def cool(self) -> None:
        """Give the pages back to the system; the slot can be written again."""
        self.memory.madvise(mmap.MADV_REMOVE)


class FrameMemory:
    """The station's side: hands out slots, makes frames of them, and takes them back.

    Attributes:
        descriptor: of the memory, for the child that is to map it; -1 when it is closed.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("edge-inspect frames")
        self._length = 0
        self._largest = mmap.PAGESIZE
        self._warm: deque[Slot] = deque()
        self._cold: deque[Slot] = deque()

    def take(self, size: int = 0) -> Slot:
        """A free slot as large as the largest frame so far, and of `size` [bytes] at least."""
        self._largest = max(self._largest, _whole_pages(size))
        self._settle()
        for free in (self._warm, self._cold):
            if free:
                return free.pop()
        return self._grown()

    def give_back(self, slot: Slot) -> None:
        """A slot that holds no frame is free again; also called from the thread that lets go of a frame last."""
        if self.descriptor >= 0:
            self._warm.append(slot)

    def frame(self, slot: Slot, shape: tuple[int, int, int]) -> UInt8Image:
        """The pixels in a slot (H, W, C) uint8, read-only; the slot is free when the last view of them is gone."""
        root = np.frombuffer(slot.memory, np.uint8, shape[0] * shape[1] * shape[2])
        root.setflags(write=False)
        weakref.finalize(root, self.give_back, slot).atexit = False
        return root.reshape(shape)

    def close(self) -> None:
        """Give memory and descriptor back; a frame that somebody still looks at stays until it is let go."""
        descriptor, self.descriptor = self.descriptor, -1
        self._warm.clear()
        self._cold.clear()
        os.close(descriptor)

    def _settle(self) -> None:
        """Slots too small for today's frames are given up; free ones beyond a few give their pages back."""
        for free in (self._warm, self._cold):
            for _ in range(len(free)):
                slot = free.popleft()
                if slot.size < self._largest:
                    slot.cool()
                else:
                    free.append(slot)
        while len(self._warm) > KEPT_WARM:
            slot = self._warm.popleft()
            slot.cool()
            self._cold.append(slot)

    def _grown(self) -> Slot:
        offset, self._length = self._length, self._length + self._largest
        os.ftruncate(self.descriptor, self._length)
        return Slot(self.descriptor, offset, self._largest)


class ChildMemory:
    """The child's side: the slots it is told, each mapped once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mapped: dict[tuple[int, int], UInt8Image] = {}

    def slot(self, offset: int, size: int) -> UInt8Image:
        """One slot (size,) uint8, writable."""
        if (offset, size) not in self._mapped:
            self._mapped[offset, size] = np.frombuffer(mmap.mmap(self._descriptor, size, offset=offset), np.uint8)
        return self._mapped[offset, size]


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
