"""What runs in the child process of an isolated camera: opens it, and grabs when it is told to.

Orders come one JSON object a line: `grab` (timeout_s, and the slot for the frame), `put` (a larger slot for the frame that did not
fit), `ping`. Each gets one JSON object in answer. The end of the orders ends the process, in good order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from edge_inspect.cameras.destination import offered
from edge_inspect.cameras.shared_frames import ChildMemory
from edge_inspect.child_process import Descriptors
from edge_inspect.datatypes import Frame, UInt8Image
from edge_inspect.errors import CameraError, EdgeInspectError, FrameLost
from edge_inspect.protocols import Camera, MayBeAway

Answer = dict[str, Any]


def serve_frames(open_camera: Callable[[], AbstractContextManager[Camera]], there: Descriptors) -> None:
    """Open the camera and answer until there are no more orders."""
    with os.fdopen(there["commands"], "rb") as orders:
        try:
            with open_camera() as camera:
                grabbing = Grabbing(camera, ChildMemory(there["memory"]))
                _say(there, {"opened": True, "away": grabbing.away})
                for order in orders:
                    _say(there, grabbing.answer(json.loads(order)))
        except EdgeInspectError as error:
            _say(there, {"refused": str(error), "error": type(error).__name__})


class Grabbing:
    """Answers one order after the other."""

    def __init__(self, camera: Camera, memory: ChildMemory) -> None:
        self._camera, self._memory = camera, memory
        self._too_large: Frame | None = None

    @property
    def away(self) -> str:
        """Why the camera says that it is not there; "" while it is, or does not say."""
        return self._camera.away if isinstance(self._camera, MayBeAway) else ""

    def answer(self, order: Mapping[str, Any]) -> Answer:
        """Do what is ordered.

        Returns:
            `frame` with everything but its pixels, `too_large` [bytes], `lost`, `away`, or nothing where there was nothing.
        """
        if order["do"] == "ping":
            return {"alive": True, "away": self.away}
        slot = self._memory.slot(order["offset"], order["size"])
        if order["do"] == "put":
            frame, self._too_large = self._too_large, None
            return {} if frame is None else self._laid_down(frame, slot)
        return self._grab(order["timeout_s"], slot)

    def _grab(self, timeout_s: float, slot: UInt8Image) -> Answer:
        try:
            with offered(slot):
                frame = self._camera.grab(timeout_s)
            return {} if frame is None else self._laid_down(frame, slot)
        except FrameLost as lost:
            return {"lost": str(lost), "sequence": lost.sequence, "part_id": lost.part_id}
        except CameraError as error:
            return {"away": str(error)}
        except MemoryError:
            return {"away": "the camera's process is out of memory for a frame; see what else runs on this machine"}

    def _laid_down(self, frame: Frame, slot: UInt8Image) -> Answer:
        pixels = frame.pixels
        if pixels.size > slot.size:
            self._too_large = frame
            return {"too_large": pixels.size}
        if not _begins(pixels, slot):
            np.copyto(slot[: pixels.size].reshape(pixels.shape), pixels)
        return {"frame": _described(frame)}


def _described(frame: Frame) -> Answer:
    return {
        "shape": frame.pixels.shape,
        "sequence": frame.sequence,
        "exposed_ns": frame.exposed_ns,
        "taken_at": frame.taken_at.isoformat(),
        "camera": frame.camera,
        "part_id": frame.part_id,
    }


def _begins(pixels: UInt8Image, slot: UInt8Image) -> bool:
    """Whether the driver's copy went straight into the slot."""
    return bool(pixels.flags.c_contiguous and pixels.__array_interface__["data"][0] == slot.__array_interface__["data"][0])


def _say(there: Descriptors, what: Answer) -> None:
    os.write(there["answers"], json.dumps(what).encode() + b"\n")
