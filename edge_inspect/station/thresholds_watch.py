"""New thresholds while the station runs: looked for between two parts, taken over whole or not at all."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from edge_inspect.acceptance import ACCEPTANCE_FILE, demand_acceptance
from edge_inspect.errors import EdgeInspectError
from edge_inspect.events import Event as Kind
from edge_inspect.events import fields
from edge_inspect.inspector import Inspector
from edge_inspect.thresholds import Thresholds, load_thresholds

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5

_State = tuple[Path, int, int, int]
"""A file and which version of it stands there: inode, time of its last change [ns], size."""


@dataclass(slots=True, kw_only=True)
class Refused:
    """What stands in the files and does not serve.

    Attributes:
        thresholds: why what stands in `thresholds.json` is not in force, or "".
        recipe: whether a recipe that was read again was refused.
    """

    thresholds: str = ""
    recipe: bool = False
    looked_s: float = 0.0

    def is_due(self) -> bool:
        """Whether a recipe was refused, and it is time to look whether its file was mended: that is not a matter of every part."""
        if not self.recipe or time.monotonic() - self.looked_s < LOOK_EVERY_S:
            return False
        self.looked_s = time.monotonic()
        return True


class ThresholdsWatch:
    """Takes over what is put in force, at most twice a second, or at once when it is asked to."""

    def __init__(self, *, required: bool, asked: Event | None = None) -> None:
        """Watch.

        Args:
            required: thresholds must have been accepted with this engine on this device, as the station file asks.
            asked: set to have it looked at once, whether the file has changed or not.
        """
        self.asked = asked or Event()
        self._required = required
        self._looked_s = 0.0
        self._seen: _State | None = None

    def look(self, inspector: Inspector) -> str | None:
        """Look, and let the inspector take over what is new.

        Returns:
            None where there was nothing to look at; "" where what stands there is in force; else why it is not.
        """
        path = inspector.recipe.thresholds
        if not self._is_due() or not self._has_changed(path):
            return None
        try:
            found = load_thresholds(path, engine_sha256=inspector.model.engine_sha256, recipe_sha256=inspector.thresholds.recipe_sha256)
            self._demand(inspector, found)
        except EdgeInspectError as error:
            return f"{error}; the old thresholds ({inspector.calibration_id}) stay in force"
        return self._taken_over(inspector, found)

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        if not self.asked.is_set() and now_s - self._looked_s < LOOK_EVERY_S:
            return False
        self._looked_s = now_s
        return True

    def _has_changed(self, path: Path) -> bool:
        """Whether another version stands there than at the last look; a file that is gone is one, too."""
        try:
            found = path.stat()
            state = (path, found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            state = (path, 0, 0, 0)
        asked = self.asked.is_set()
        self.asked.clear()
        changed = asked or state != self._seen
        self._seen = state
        return changed

    def _demand(self, inspector: Inspector, found: Thresholds) -> None:
        if self._required and found.calibration_id != inspector.calibration_id:
            binding = inspector.binding.model_copy(update={"calibration_id": found.calibration_id})
            demand_acceptance(inspector.recipe.thresholds.with_name(ACCEPTANCE_FILE), binding)

    def _taken_over(self, inspector: Inspector, found: Thresholds) -> str:
        old = inspector.thresholds
        if found.calibration_id == inspector.calibration_id:
            return ""
        inspector.take_over(found)
        log.warning(
            "thresholds of %s: %s (image %.6g, pixel %.6g) from now on, before %s (image %.6g, pixel %.6g)",
            *(inspector.recipe.part, found.calibration_id, found.image_threshold, found.pixel_threshold),
            *(old.calibration_id, old.image_threshold, old.pixel_threshold),
            extra=fields(Kind.THRESHOLDS, recipe=inspector.recipe.part, calibration_id=found.calibration_id),
        )
        return ""
