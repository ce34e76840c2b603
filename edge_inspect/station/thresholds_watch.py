"""New thresholds while the station runs: looked for between two parts, taken over whole or not at all."""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime, timezone
from pathlib import Path
from threading import Event

from edge_inspect.acceptance import ACCEPTANCE_FILE, demand_acceptance
from edge_inspect.errors import EdgeInspectError
from edge_inspect.inspector import Inspector
from edge_inspect.thresholds import Thresholds, load_thresholds

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
TAKEN_OVER_FILE = "thresholds-taken-over.jsonl"

_State = tuple[Path, int, int, int]
"""A file and which version of it stands there: inode, time of its last change [ns], size."""


class ThresholdsWatch:
    """Takes over what is put in force, at most twice a second, or at once when it is asked to."""

    def __init__(self, record: Path, *, required: bool, asked: Event | None = None) -> None:
        """Watch.

        Args:
            record: file that every change is written to, a line each.
            required: thresholds must have been accepted with this engine on this device, as the station file asks.
            asked: set to have it looked at once, whether the file has changed or not.
        """
        self.asked = asked or Event()
        self._record = record
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
        )
        return self._recorded(inspector.recipe.part, old, found)

    def _recorded(self, part: str, old: Thresholds, new: Thresholds) -> str:
        """Write the change down; not synced, since the line waits and every inspection names its calibration durably."""
        said = {"at": datetime.now(timezone.utc).isoformat(), "recipe": part, "before": _told(old), "now": _told(new)}
        try:
            with self._record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(said) + "\n")
        except OSError as error:
            return f"{self._record}: the new thresholds are in force, but that could not be written: {error.strerror}; check space"
        return ""


def _told(thresholds: Thresholds) -> dict[str, object]:
    image, pixel = thresholds.image_threshold, thresholds.pixel_threshold
    return {"calibration_id": thresholds.calibration_id, "image_threshold": image, "pixel_threshold": pixel}
