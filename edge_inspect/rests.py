"""Work in a thread of the station itself, in small pieces with rests: the line finds the processor and Python's lock free."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Rests:
    """Rests between pieces of work. A lower priority would not do: a thread that waits for the processor may hold Python's lock."""

    def __init__(self, share: float) -> None:
        """Rest so long that the work has at most this share of one core, 0 < share <= 1."""
        self._rests_for_each_s = 1 / share - 1
        self._hurried = threading.Event()

    def between(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; after what is done with each the calling thread rests."""
        for item in items:
            used_s = time.thread_time()
            yield item
            self._hurried.wait((time.thread_time() - used_s) * self._rests_for_each_s)

    def hurry(self) -> None:
        """No more rests: somebody waits for the work. Called by another thread."""
        self._hurried.set()
