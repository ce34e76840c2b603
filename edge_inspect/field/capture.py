"""Record frames of good parts from a station's camera, for teaching and calibration: as the station itself would see them.

    000000.png ...      the frames, without loss
    frames.jsonl        number, the camera's count, time and part of each
    capture.json        the camera's settings and the recipe they were taken for

A capture that was broken off goes on where it stopped; into a folder of another camera or recipe it does not.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_inspect import __version__
from edge_inspect.camera_opening import prepare_camera
from edge_inspect.config import Station, load_station
from edge_inspect.datatypes import Frame
from edge_inspect.durable import replace_file
from edge_inspect.errors import CameraError, ConfigError, FrameLost, OutputError
from edge_inspect.outputs.disk import output_error
from edge_inspect.outputs.raw_picture import write_raw_picture
from edge_inspect.protocols import Camera
from edge_inspect.service.alone import hold_alone

AWAY_S = 30.0
"""A camera that is away for longer ends the capture [s]; an idle line does not."""

_GRAB_S = 0.5
_SECRETS = ("password", "secret", "token", "source")

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What was done: frames now in the folder, how many of them were there before, frames lost on the way, bytes written now."""

    folder: Path
    frames: int
    resumed: int
    lost: int
    bytes: int


def capture(station_file: Path, folder: Path, frames: int, *, interval_s: float, progress: Progress) -> Captured:
    """Record until there are `frames` frames in the folder.

    Args:
        station_file: whose camera, which must not be running.
        folder: where to.
        frames: how many there shall be in the end.
        interval_s: least time between two of them [s].
        progress: called with what is done, how many frames are there, how many there shall be, and how it goes.

    Raises:
        ConfigError: the folder holds a capture of another camera or recipe; the station file is wrong.
        OutputError: the disk is full or has too little room for all of it; what was written is whole.
        CameraError: the camera was away for too long.
    """
    settings = load_station(station_file)
    base = station_file.resolve().parent
    opener = prepare_camera(settings.camera, base=base, follows=True)
    there = _begun(folder, settings)
    lost = written = 0
    with hold_alone(settings.data), opener() as camera:
        number = there
        for found in _frames(camera, interval_s) if there < frames else ():
            if isinstance(found, FrameLost):
                lost += 1
                continue
            written += _kept(folder, number, found)
            number += 1
            progress("capture", number, frames, f"{lost} lost" if lost else "")
            if number >= frames:
                break
            _refuse_little_room(folder, written / (number - there) * (frames - number))
    return Captured(folder=folder, frames=max(there, frames), resumed=there, lost=lost, bytes=written)


def _begun(folder: Path, settings: Station) -> int:
    """How many frames are there already; the folder is made and described where it is new."""
    now = _described(settings)
    described = folder / "capture.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not described.exists():
            replace_file(described, json.dumps({**now, "software": f"edge-inspect {__version__}"}, indent=2).encode())
        before = json.loads(described.read_bytes())
    except OSError as error:
        raise output_error(folder, "nothing can be captured there", error) from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{described}: is damaged: {error}; capture into another folder") from error
    for key in ("recipe", "camera"):
        if before.get(key) != now[key]:
            raise ConfigError(f"{folder}: holds a capture of another {key}: got {before.get(key)}, wanted {now[key]}; give another folder")
    return len(list(folder.glob("[0-9]*.png")))


def _described(settings: Station) -> dict[str, Any]:
    """Recipe and camera, as JSON has them, and without passwords."""
    shown = {name: "***" if any(word in name.lower() for word in _SECRETS) else value for name, value in settings.camera.options.items()}
    isolated = None if settings.camera.isolated is None else settings.camera.isolated.model_dump()
    camera = {"kind": settings.camera.kind, "isolated": isolated, **shown}
    described: dict[str, Any] = json.loads(json.dumps({"recipe": str(settings.recipe), "camera": camera}, default=str))
    return described


def _frames(camera: Camera, interval_s: float) -> Iterator[Frame | FrameLost]:
    """What the camera gives, for ever; an idle line is waited for."""
    away_since_s, due_s = 0.0, 0.0
    while True:
        time.sleep(max(0.0, due_s - time.monotonic()))
        try:
            frame = camera.grab(_GRAB_S)
        except FrameLost as error:
            yield error
        except CameraError as error:
            away_since_s = away_since_s or time.monotonic()
            if time.monotonic() - away_since_s > AWAY_S:
                raise CameraError(
                    f"{error} (away for {AWAY_S:g} s; the capture goes on where it stopped when it is started again)"
                ) from error
            time.sleep(0.1)
        else:
            away_since_s = 0.0
            if frame is not None:
                due_s = time.monotonic() + interval_s
                yield frame


def _kept(folder: Path, number: int, frame: Frame) -> int:
    """The line first, then the picture: a picture is there only when all of it is."""
    facts = {"number": number, "sequence": frame.sequence, "taken_at": frame.taken_at.isoformat(), "part_id": frame.part_id}
    try:
        with (folder / "frames.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
    except OSError as error:
        raise output_error(folder / "frames.jsonl", "the frame's line cannot be written", error) from error
    return write_raw_picture(folder / f"{number:06d}.png", frame.pixels)


def _refuse_little_room(folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"{folder}: the rest of the capture needs about {needed / 1e6:.0f} MB, and this disk has {free / 1e6:.0f} MB free; "
            "make room or capture fewer frames, and start it again: it goes on where it stopped"
        )


def as_json(captured: Captured) -> dict[str, Any]:
    """For a program."""
    return {**asdict(captured), "folder": str(captured.folder)}
