"""Drift and light of one recipe, for a station."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from edge_inspect.config import Recipe
from edge_inspect.config.recipe import Rectangle
from edge_inspect.datatypes import Inspection, UInt8Image, Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.geometry import warp
from edge_inspect.guard.drift import Drift
from edge_inspect.guard.light import Light, patch_view
from edge_inspect.rests import Rests
from edge_inspect.thresholds import Thresholds
from edge_inspect.thresholds.frames import Looks, load_looks

FEWEST = 20
"""Fewer calibration frames than this say too little about how good parts differ."""

LOOK_EVERY_S = 0.5
"""A picture is looked at twice a second at most: it is warped once more for it."""


@dataclass(frozen=True, slots=True, eq=False)
class PatchLight:
    """Light and place by the reference patch, which lies still in the frame, also where a locator turns the part."""

    light: Light
    where: Rectangle

    def note(self, pixels: UInt8Image) -> str:
        """Take one more frame (H, W, C); what is wrong, or ""."""
        try:
            return self.light.note(patch_view(pixels, self.where)[..., np.newaxis])
        except ConfigError as error:
            return str(error)


class Guard:
    """What stands against one recipe's line, if anything.

    Attributes:
        drift: what is wrong with the scores of accepted parts, or "".
        light: what is wrong with the pictures, or "".
    """

    def __init__(self, drift: Drift, light: Light, patch: PatchLight | None = None, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._drift = drift
        self._light = light
        self._patch = patch
        self._look_every_s = look_every_s
        self._looked_s = -look_every_s
        self.drift = ""
        self.light = ""

    def note(self, inspection: Inspection) -> str:
        """Take an inspection whose verdict has been delivered; what is wrong with the line, or ""."""
        if inspection.verdict is Verdict.OK and inspection.score is not None:
            self.drift = self._drift.note(inspection.score)
        evidence = inspection.evidence
        if evidence is not None and time.monotonic() - self._looked_s >= self._look_every_s:
            self._looked_s = time.monotonic()
            seen = self._light.note(warp(evidence.frame.pixels, evidence.placement))
            patch = "" if self._patch is None else self._patch.note(evidence.frame.pixels)
            self.light = patch or seen  # what must not change says it more surely than parts do
        return "; ".join(said for said in (self.light, self.drift) if said)


def open_guard(
    recipe: Recipe, thresholds: Thresholds | None = None, *, look_every_s: float = LOOK_EVERY_S, rests: Rests | None = None
) -> Guard:
    """A guard against the calibration frames of these thresholds, beside the recipe's; None means what stands there.

    Args:
        recipe: of the parts that are guarded.
        thresholds: see above.
        look_every_s: a picture is looked at so often at most [s].
        rests: taken between frame and frame; None: none.

    Raises:
        ConfigError: there are none, they are of another calibration, or too few.
    """
    frames = load_looks(recipe.thresholds, thresholds)
    if len(frames.pictures) < FEWEST:
        raise ConfigError(
            f"{len(frames.pictures)} calibration frames are too few to guard by, {FEWEST} are needed; calibrate with more parts"
        )
    if recipe.tiles is not None and not frames.are_views:
        raise ConfigError(
            "the calibration frames are of single tiles, as `teach` keeps them; calibrate with --apply once to guard by the whole"
        )
    patch = None if recipe.reference_patch is None else _patch_light(recipe.reference_patch, frames, rests)
    light = Light(list(frames.pictures), still=recipe.locator is None, rests=rests)
    return Guard(Drift(frames.sample.tolist()), light, patch, look_every_s=look_every_s)


def _patch_light(where: Rectangle, frames: Looks, rests: Rests | None) -> PatchLight:
    if frames.patches is None or frames.patch_at is None or frames.patch_at.tolist() != list(where.as_tuple):
        raise ConfigError(
            "the calibration frames hold no reference_patch of this place; calibrate with --apply once to guard by it, or remove it from "
            "recipe.yaml"
        )
    light = Light(list(frames.patches[..., np.newaxis]), still=True, what="reference patch", rests=rests)
    return PatchLight(light, where)
