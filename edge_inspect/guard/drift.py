"""Have the scores of accepted parts moved away from those of the calibration?

Two looks at the same question: a running sum that adds up small shifts (CUSUM), and the population stability index of the last parts, which
sees a change of shape. Scores are first turned into their place among the calibration's scores, so no distribution is assumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

SLACK = 0.5
"""Shift that is let pass [standard deviations]: half of the one that shall be found (Page 1954)."""

LIMIT = 12.0
"""Of the running sum [standard deviations]. A shift by one is told after some 24 parts; a false alarm comes once in e^12 parts or so."""

WINDOW = 200
BINS = 5
INDEX = 0.25
"""From here on a population is customarily called changed (Siddiqi 2006)."""

CHANCE = 45.0
"""The index also exceeds what so few parts give by chance: this many times its scale (chi-square of 4, beyond one in a million)."""

MOVED = "scores of accepted parts are {} than at the calibration: look at light and lens, then recalibrate"


class Drift:
    """Watches the scores of accepted parts."""

    def __init__(self, reference: Sequence[float]) -> None:
        """Watch against the scores of the calibration's good parts, engine units."""
        self._reference = np.sort(np.asarray(reference, np.float64))
        self._edges = np.quantile(self._reference, np.linspace(0, 1, BINS + 1)[1:-1])
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._high = self._low = 0.0

    def note(self, score: float) -> str:
        """Take one more accepted part; what is wrong, or ""."""
        place = self._place(score)
        self._high = min(max(0.0, self._high + place - SLACK), 2 * LIMIT)  # bounded, so that the alarm ends when the line is well again
        self._low = min(max(0.0, self._low - place - SLACK), 2 * LIMIT)
        self._last.append(score)
        if self._high > LIMIT or self._low > LIMIT:
            return f"{MOVED.format('higher' if self._high > LIMIT else 'lower')} (running sum {max(self._high, self._low):.1f})"
        return self._changed_shape()

    def _place(self, score: float) -> float:
        """The score as a standard normal one, by its rank among the calibration's."""
        rank = (np.searchsorted(self._reference, score, "left") + np.searchsorted(self._reference, score, "right")) / 2
        return NormalDist().inv_cdf((rank + 0.5) / (len(self._reference) + 1))

    def _changed_shape(self) -> str:
        if len(self._last) < WINDOW:
            return ""
        index = stability_index(self._shares(self._reference), self._shares(np.array(self._last)))
        if index < INDEX or index < CHANCE * (1 / WINDOW + 1 / len(self._reference)):
            return ""
        return f"{MOVED.format('spread otherwise')} (population stability index {index:.2f})"

    def _shares(self, scores: Numbers) -> Numbers:
        return np.bincount(np.searchsorted(self._edges, scores, "right"), minlength=BINS) / len(scores)


def stability_index(before: Numbers, now: Numbers) -> float:
    """Population stability index of shares (b,): sum of (now - before) ln(now / before); an empty bin counts as half a thousandth.

    Source: Siddiqi 2006, Credit Risk Scorecards, chapter 6; it is Jeffreys' divergence.
    """
    first, second = np.maximum(before, 5e-4), np.maximum(now, 5e-4)
    return float(((second - first) * np.log(second / first)).sum())
