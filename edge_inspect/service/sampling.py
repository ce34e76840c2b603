"""Frames of the running line for whoever calibrates beside it: copies, written by a thread of their own; no part is taken from the line.

The verb asks in `sample-asked.json`, the station puts frames into `sample/` as PNG files, the verb takes them out.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from pathlib import Path
from queue import Empty, Full, Queue

from edge_inspect.datatypes import Inspection, UInt8Image, Verdict
from edge_inspect.errors import OutputError
from edge_inspect.outputs.raw_picture import write_raw_picture
from edge_inspect.service.asked import Asked

log = logging.getLogger(__name__)

ASKED_FILE = "sample-asked.json"
SAMPLE_FOLDER = "sample"

LOOK_EVERY_S = 0.5

SPACING_S = 0.1
"""Least time between two frames that are given [s]: encoding them must not take a core from a fast line."""

UNTAKEN = 16
"""Frames that may lie there untaken: nobody fills a disk by asking and going away."""

QUEUE = 2
"""Frames that may wait for the thread; a part that finds it full is not given."""


class Sampler:
    """The station's side. Everything but the thread is called by the line's."""

    def __init__(self, data: Path) -> None:
        self._folder = data / SAMPLE_FOLDER
        self._asked = Asked(data / ASKED_FILE)
        self._recipe = ""
        self._looked_s = 0.0
        self._given_s = 0.0
        self._frames: Queue[tuple[int, UInt8Image]] = Queue(QUEUE)
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Between two parts: does anybody ask, and for frames of which recipe?"""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        self._recipe = self._asked.now().get("recipe", "")
        if self._recipe and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._write, name="sample", daemon=True)
            self._thread.start()

    def note(self, inspection: Inspection) -> None:
        """Give a copy of a part whose verdict has been delivered, if somebody asks for it; takes no time."""
        if inspection.recipe != self._recipe or inspection.verdict is Verdict.FAULT or inspection.evidence is None:
            return
        now_s = time.monotonic()
        if now_s - self._given_s >= SPACING_S:
            with contextlib.suppress(Full):
                self._frames.put_nowait((inspection.sequence, inspection.evidence.frame.pixels))
                self._given_s = now_s

    def _write(self) -> None:
        """In the thread: frames to files until nobody asks any more."""
        self._clear()
        while self._recipe:
            try:
                sequence, pixels = self._frames.get(timeout=LOOK_EVERY_S)
            except Empty:
                continue
            try:
                if len(list(self._folder.glob("*.png"))) < UNTAKEN:
                    write_raw_picture(self._folder / f"{sequence:010}.png", pixels)
            except OutputError as error:
                log.warning("a frame for the calibration is not given: %s", error)
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
