"""A fixed piece of work, timed beside what is measured: when it takes longer, it is the machine that has become slower."""

from __future__ import annotations

import time

import cv2
import numpy as np

_SIDE_PX = 512
_REPEATS = 3


class Yardstick:
    """Arithmetic and memory traffic that no version of this package changes: blur an image, multiply matrices, copy a frame."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._image = random.integers(0, 256, (_SIDE_PX, _SIDE_PX), np.uint8)
        self._matrix = random.random((_SIDE_PX // 2, _SIDE_PX // 2), np.float32)
        self._frame = random.integers(0, 256, (2048, 2048), np.uint8)
        self._blurred, self._product, self._copy = np.empty_like(self._image), np.empty_like(self._matrix), np.empty_like(self._frame)
        self._work()

    def measure_ms(self) -> float:
        """How long it takes now: the median of three [ms]."""
        return float(np.median([self._timed_ms() for _ in range(_REPEATS)]))

    def _timed_ms(self) -> float:
        started = time.perf_counter_ns()
        self._work()
        return (time.perf_counter_ns() - started) / 1e6

    def _work(self) -> None:
        cv2.GaussianBlur(self._image, (9, 9), 2.0, dst=self._blurred)
        np.matmul(self._matrix, self._matrix, out=self._product)
        np.copyto(self._copy, self._frame)
