"""What is seen of the station's process once a second: memory, descriptors, threads."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from edge_inspect.field.soak.process import StationProcess
from edge_inspect.field.soak.slopes import Series

WARM_UP = 0.2
"""Share of the run before memory is looked at."""
MOST_WARM_UP_S = 300.0
SAMPLE_EVERY_S = 1.0
POINTS = 10
"""So many points of the whole run are told, each the median of its tenth."""


class Samples:
    """Looks at the process, and at how many parts there were, once a second, in a thread of its own."""

    def __init__(self, station: StationProcess, parts: Callable[[], int]) -> None:
        self._station = station
        self._parts = parts
        self._stop = threading.Event()
        self.taken: list[tuple[float, float, float, float, float, float]] = []

    @contextmanager
    def going(self) -> Iterator[Samples]:
        """Sample until the end of the block."""
        thread = threading.Thread(target=self._work, name="samples", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _work(self) -> None:
        started = time.monotonic()
        while not self._stop.wait(SAMPLE_EVERY_S):
            station = self._station
            looked = station.resident_mb(), station.descriptors(), station.threads()
            self.taken.append((time.monotonic() - started, *looked, station.life, self._parts()))

    def after_warm_up(self) -> Series:
        """(n, 4) when [s], memory [MB], descriptors and threads of the process that ran last, without its beginning."""
        table: Series = np.array(self.taken, dtype=np.float64).reshape(-1, 6)
        table = table[table[:, 4] == self._station.life, :4]
        if not len(table):
            return table
        begun, ended = table[0, 0], table[-1, 0]
        late: Series = table[table[:, 0] > begun + min(WARM_UP * (ended - begun), MOST_WARM_UP_S)]
        return late


def points(samples: Sequence[Sequence[float]]) -> list[dict[str, float | None]]:
    """Parts, memory and descriptors over the whole run, also where more than one process lived in it.

    Args:
        samples: seconds, MB, descriptors, threads, number of the process and parts so far, once a second.
    """
    table: Series = np.array(samples, dtype=np.float64).reshape(-1, 6)
    tenths = np.array_split(table, POINTS)
    return [
        {
            "s": rounded(float(tenth[-1, 0])),
            "parts": rounded(float(tenth[-1, 5])),
            "rss_mb": rounded(_median(tenth[:, 1])),
            "descriptors": rounded(_median(tenth[:, 2])),
        }
        for tenth in tenths
        if len(tenth)
    ]


def usual_rate(samples: Sequence[Sequence[float]]) -> float:
    """Parts of the median second [1/s]: what breaks, or a PLC that is away, holds up fewer than half of the seconds.

    Args:
        samples: as those of `points`.
    """
    table: Series = np.array(samples, dtype=np.float64).reshape(-1, 6)
    return _median(np.diff(table[:, 5]) / np.diff(table[:, 0]))


def last(column: Series) -> float:
    """Median of the last ten."""
    return _median(column[-10:])


def grown(column: Series) -> float:
    """Median of the last fifth less that of the first."""
    fifth = len(column) // 5
    return _median(column[-fifth:]) - _median(column[:fifth]) if fifth else math.nan


def _median(column: Series) -> float:
    there = column[np.isfinite(column)]
    return float(np.median(there)) if len(there) else math.nan


def rounded(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if math.isnan(value) else round(value, 3)
