"""The fake GPU: memory by address, streams that do nothing before they are synchronised, page-locked ranges."""

import itertools

import numpy as np

from fake_tensorrt.faults import fault

CANARY = 0xAA
# From one allocation to the next [bytes]: an address tells which one it lies in.
APART = 1 << 32


class Device:
    """One per process."""

    def __init__(self):
        self.memory = {}
        self.streams = {}
        self.locked = []
        self.contexts = 0
        self.failed = None
        self._addresses = itertools.count(0x7F0000000000, APART)
        self._handles = itertools.count(0x1000, 16)

    def allocate(self, size):
        """Address of new memory full of canaries."""
        address = next(self._addresses)
        self.memory[address] = np.full(max(1, size), CANARY, np.uint8)
        return address

    def at(self, address):
        """What is left of the allocation from an address on; None where there is none."""
        memory = self.memory.get(address // APART * APART)
        return None if memory is None else memory[address % APART :]

    def new_stream(self):
        """Handle of a new stream."""
        handle = next(self._handles)
        self.streams[handle] = []
        return handle

    def enqueue(self, handle, work):
        """Do something when the stream is synchronised."""
        self.streams[handle].append(work)

    def synchronise(self, handle):
        """Do everything that waits in the stream, in its order."""
        waiting = self.streams[handle]
        while waiting:
            waiting.pop(0)()

    def is_locked(self, array):
        """Whether all of an array lies in one page-locked range."""
        first = array.ctypes.data
        return any(start <= first and first + array.nbytes <= end for start, end in self.locked)


DEVICE = Device()


def capability():
    """(major, minor) of the GPU."""
    return tuple(fault("capability"))
