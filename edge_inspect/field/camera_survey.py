"""What cameras are connected: each is asked for its settings and for one frame.

A kind takes part when its factory's module has `SELECTS` (the option that names one camera), `connected()` (a list of dictionaries with
`id` and what else there is to say) and `settings_of(id)` (the options that it has now); ours and those of third parties alike.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.camera_opening import prepare_camera
from edge_inspect.config import CameraBlock
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, EdgeInspectError
from edge_inspect.outputs.raw_picture import write_raw_picture
from edge_inspect.plugins import installed

GRAB_S = 5.0
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCamera:
    """One connected camera.

    Attributes:
        kind: of camera, for the station file.
        facts: id, maker, model and so on, as the kind tells them.
        settings: its options now; empty where it could not be asked.
        picture: the frame that was grabbed; None where there was none.
        size: width, height, channels of the frame.
        error: why there is no frame, "" where there is one.
    """

    kind: str
    facts: dict[str, str]
    settings: dict[str, Any]
    picture: Path | None
    size: tuple[int, ...]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found, and the kinds that could not be asked, with the reason."""

    cameras: tuple[FoundCamera, ...]
    unasked: dict[str, str]


def survey(kinds: Sequence[str], folder: Path | None, *, progress: Progress) -> Survey:
    """Ask every kind what is connected, and every camera for its settings and a frame.

    Args:
        kinds: which kinds; empty asks all that are installed.
        folder: where the pictures go; None grabs none.
        progress: called with what is done, how many cameras are done, and how many there are.

    Raises:
        OutputError: a picture cannot be written.
    """
    listed: list[tuple[str, Any, dict[str, str]]] = []
    unasked: dict[str, str] = {}
    for kind, module in _discovering(kinds):
        try:
            listed += [(kind, module, facts) for facts in module.connected()]
        except EdgeInspectError as error:
            unasked[kind] = str(error)
    cameras = []
    for done, (kind, module, facts) in enumerate(listed):
        progress("cameras", done, len(listed))
        cameras.append(_asked(kind, module, facts, folder))
    progress("cameras", len(listed), len(listed))
    return Survey(cameras=tuple(cameras), unasked=unasked)


def _discovering(kinds: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The kinds that can tell what is connected, each with its module."""
    for kind, point in sorted(installed("cameras").items()):
        if kinds and kind not in kinds:
            continue
        module = importlib.import_module(point.module)
        if getattr(module, "DISCOVERS", kind) == kind and hasattr(module, "connected"):
            yield kind, module


def _asked(kind: str, module: Any, facts: dict[str, str], folder: Path | None) -> FoundCamera:
    try:
        settings = module.settings_of(facts["id"])
        frame = None if folder is None else _one_frame(kind, {module.SELECTS: facts["id"]})
    except EdgeInspectError as error:
        return FoundCamera(kind=kind, facts=facts, settings={module.SELECTS: facts["id"]}, picture=None, size=(), error=str(error))
    picture = None
    if folder is not None and frame is not None:
        picture = folder / f"{kind}-{re.sub(r'[^A-Za-z0-9._-]+', '_', facts['id']).strip('_')}.png"
        write_raw_picture(picture, frame.pixels)
    size = () if frame is None else (frame.pixels.shape[1], frame.pixels.shape[0], frame.pixels.shape[2])
    return FoundCamera(kind=kind, facts=facts, settings=settings, picture=picture, size=size, error="")


def _one_frame(kind: str, options: dict[str, Any]) -> Frame:
    """In a child process: what hangs or crashes here must not take the survey along."""
    block = CameraBlock.model_validate({"kind": kind, "isolated": True, **options})
    error: CameraError | None = None
    with prepare_camera(block, base=Path())() as camera:
        until_s = time.monotonic() + GRAB_S
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                frame = camera.grab(min(left_s, 1.0))
            except CameraError as lost:
                error = lost
                continue
            if frame is not None:
                return frame
    raise error or CameraError(f"gave no frame within {GRAB_S:g} s; look at its exposure, and whether it waits for a trigger")
