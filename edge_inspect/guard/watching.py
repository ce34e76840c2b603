"""Drift and light of one recipe, for a station."""

from __future__ import annotations

import time

from edge_inspect.config import Recipe
from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.geometry import warp
from edge_inspect.guard.drift import Drift
from edge_inspect.guard.light import Light
from edge_inspect.thresholds.frames import load_frames

FEWEST = 20
"""Fewer calibration frames than this say too little about how good parts differ."""

LOOK_EVERY_S = 0.5
"""A picture is looked at twice a second at most: it is warped once more for it."""


class Guard:
    """What stands against one recipe's line, if anything."""

    def __init__(self, drift: Drift, light: Light, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._drift = drift
        self._light = light
        self._look_every_s = look_every_s
        self._looked_s = -look_every_s
        self._said = ["", ""]

    def note(self, inspection: Inspection) -> str:
        """Take an inspection whose verdict has been delivered; what is wrong with the line, or ""."""
        if inspection.verdict is Verdict.OK and inspection.score is not None:
            self._said[0] = self._drift.note(inspection.score)
        evidence = inspection.evidence
        if evidence is not None and time.monotonic() - self._looked_s >= self._look_every_s:
            self._looked_s = time.monotonic()
            self._said[1] = self._light.note(warp(evidence.frame.pixels, evidence.placement))
        return "; ".join(said for said in reversed(self._said) if said)


def open_guard(recipe: Recipe, *, look_every_s: float = LOOK_EVERY_S) -> Guard:
    """A guard against the calibration frames that lie beside the recipe's thresholds.

    Raises:
        ConfigError: there are none, or too few.
    """
    frames = load_frames(recipe.thresholds)
    if len(frames.names) < FEWEST:
        raise ConfigError(f"{len(frames.names)} calibration frames are too few to guard by, {FEWEST} are needed; calibrate with more parts")
    return Guard(Drift(frames.sample.tolist()), Light(list(frames.images), still=recipe.locator is None), look_every_s=look_every_s)
