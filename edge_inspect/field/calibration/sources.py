"""Where the parts of a calibration come from: folders, the station's camera, the station's archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from edge_inspect.cameras.pictures import hash_pixels, list_pictures, read_picture
from edge_inspect.config import Station
from edge_inspect.datatypes import Frame, UInt8Image
from edge_inspect.errors import CameraError, EdgeInspectError, EngineError, FrameLost, PartNotLocated
from edge_inspect.field.archive import find_output, output_path
from edge_inspect.field.calibration.parts import Part, Parts, sample_of
from edge_inspect.geometry import warp
from edge_inspect.outputs.database import inspections_since, recent
from edge_inspect.outputs.images import find_raw
from edge_inspect.plugins import prepare
from edge_inspect.protocols import Camera
from edge_inspect.scoring import Scorer
from edge_inspect.service.alone import hold_alone
from edge_inspect.thresholds.history import read_history
from edge_inspect.thresholds.record import read_thresholds

ONLY_PASSED = (
    "only parts that the station passed: good ones that it rejected are not among them, so the promise holds for parts like those it "
    "passed; take --only OK NG and --leave-out the defective ones to have all"
)

PATIENCE_S = 30.0
"""Longest wait for the next part in front of the camera [s]."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def parts_from_folders(scorer: Scorer, good: Path, defective: Path | None, progress: Progress) -> Parts:
    """Score every picture of a folder of good parts, and of one of defective parts.

    Raises:
        CameraError: a folder cannot be read, or holds no picture.
        EngineError: the engine failed.
    """
    pictures = [(path, True) for path in list_pictures(good)]
    if defective is not None:
        pictures += [(path, False) for path in list_pictures(defective, recursive=True)]
    left_out: list[str] = []
    parts = []
    for done, (path, is_good) in enumerate(pictures, start=1):
        try:
            parts.append(_scored(scorer, read_picture(path), name=_name(path, good, defective), good=is_good))
        except (CameraError, PartNotLocated) as error:
            left_out.append(f"{path.name}: {error}")
        progress("scoring", done, len(pictures))
    return sample_of(parts, left_out=left_out)


def parts_from_camera(scorer: Scorer, settings: Station, base: Path, count: int, progress: Progress) -> Parts:
    """Score parts in front of the station's camera. The station must not be running: a camera serves one program.

    Raises:
        OutputError: the station is running.
        CameraError: the camera delivers nothing.
        EngineError: the engine failed.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    left_out: list[str] = []
    given = {"name": settings.camera.kind}
    with hold_alone(settings.data), prepare("cameras", settings.camera, base=base, given=given)() as camera:
        for frame in _exposures(camera, settings.name):
            try:
                name = frame.part_id or f"exposure {frame.sequence}"
                parts.append(_scored(scorer, frame.pixels, name=name, good=True))
            except PartNotLocated as error:
                left_out.append(f"exposure {frame.sequence}: {error}")
            progress("capturing", len(parts), count)
            if len(parts) >= count:
                break
    return sample_of(parts, left_out=left_out)


def parts_from_archive(
    scorer: Scorer, settings: Station, base: Path, *, since: timedelta, verdicts: Sequence[str], progress: Progress
) -> Parts:
    """Score what the running station has stored: its raw frames where they were kept, else its own recorded scores.

    All of them count as good parts: whoever calibrates looks at the highest and leaves out what is not. A recorded score counts only
    where it was made by this engine and recipe. The station's files are only read.

    Raises:
        EdgeInspectError: the station has no database.
        OutputError: the database cannot be read.
        EngineError: the engine failed.
    """
    moment = datetime.now(timezone.utc) - since
    records = inspections_since(output_path(settings, base, "database"), moment, verdicts=verdicts)
    found = _stored(scorer, settings, base, records, progress)
    return found if "NG" in verdicts else Parts(parts=found.parts, left_out=found.left_out, told=(*found.told, ONLY_PASSED))


def last_stored(scorer: Scorer, settings: Station, base: Path, count: int, progress: Progress) -> Parts:
    """The station's newest inspections, to try new thresholds on; none where it has no database. Errors as above."""
    database = find_output(settings, base, "database")
    if database is None or not database.exists():
        return Parts(parts=())
    return _stored(scorer, settings, base, [record for record in recent(database, count) if record["score"] is not None], progress)


def _stored(scorer: Scorer, settings: Station, base: Path, records: Sequence[dict[str, Any]], progress: Progress) -> Parts:
    images, known = find_output(settings, base, "images"), _ids_of_this_engine(scorer)
    parts: list[Part] = []
    left_out: list[str] = []
    for done, record in enumerate(records, start=1):
        if record["recipe"] == scorer.recipe.part:
            part = _stored_part(scorer, record, None if images is None else find_raw(images, record["sequence"]), known)
            if isinstance(part, Part):
                parts.append(part)
            else:
                left_out.append(part)
        progress("scoring", done, len(records))
    by_record = sum(part.scored is None for part in parts)
    told = [f"of {by_record} stored parts only the recorded score is left: the raw frame was not kept (`keep`, `raw`)"] if by_record else []
    return sample_of(parts, left_out=left_out, told=told)


def _stored_part(scorer: Scorer, record: dict[str, Any], raw: Path | None, known: set[str]) -> Part | str:
    name = str(record["sequence"])
    try:
        if raw is not None:
            return _scored(scorer, read_picture(raw), name=name, good=True, record=record)
    except (CameraError, PartNotLocated) as error:
        return f"{name}: {error}"
    if scorer.own_score:
        return f"{name}: its raw frame was not kept, and this engine's regions cannot be calibrated without"
    if record["score"] is None or record["calibration_id"] not in known:
        return f"{name}: its raw frame was not kept, and its score is not of this engine and recipe"
    return Part(name=name, sha256="", good=True, score=record["score"], record=record)


def _ids_of_this_engine(scorer: Scorer) -> set[str]:
    """Calibrations under which a recorded score is one of this engine and recipe."""
    path = scorer.recipe.thresholds
    known = [entry.thresholds for entry in read_history(path)] + ([read_thresholds(path)] if path.exists() else [])
    here = (scorer.model.engine_sha256, scorer.recipe.sha256)
    return {one.calibration_id for one in known if (one.engine_sha256, one.recipe_sha256) == here}


def _scored(scorer: Scorer, pixels: UInt8Image, *, name: str, good: bool, record: dict[str, Any] | None = None) -> Part:
    now = datetime.now(timezone.utc)
    frame = Frame(pixels=pixels, sequence=0, exposed_ns=time.monotonic_ns(), taken_at=now, camera="calibrate", part_id=name)
    try:
        scored = scorer.score(frame)
    except EngineError as error:
        raise EngineError(f"{name}: {error}") from error
    image = warp(pixels, scored.placement)
    return Part(name=name, sha256=hash_pixels(pixels), good=good, score=scored.score, scored=scored, image=image, record=record)


def _exposures(camera: Camera, name: str) -> Iterator[Frame]:
    while True:
        try:
            frame = camera.grab(PATIENCE_S)
        except FrameLost:
            continue
        if frame is None:
            raise CameraError(f"camera of {name}: no part came for {PATIENCE_S:.0f} s; run the line, or give --good DIR")
        yield frame


def _name(path: Path, good: Path, defective: Path | None) -> str:
    folder = good if defective is None or path.is_relative_to(good) else defective
    return path.relative_to(folder).as_posix()


def duration(text: str) -> timedelta:
    """A length of time as people write it: `90s`, `45m`, `2h`, `3d`.

    Raises:
        EdgeInspectError: it is none.
    """
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.replace(".", "", 1).isdigit() or not float(number):
        raise EdgeInspectError(f"{text!r} is no length of time; write 90s, 45m, 2h or 3d")
    return timedelta(**{units[unit]: float(number)})
