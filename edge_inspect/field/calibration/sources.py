"""Where the parts of a calibration come from: folders, the station's camera, the station's archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_inspect.cameras.pictures import hash_pixels, list_pictures, read_picture
from edge_inspect.config import Station
from edge_inspect.datatypes import Frame, UInt8Image
from edge_inspect.errors import CameraError, EdgeInspectError, EngineError, FrameLost, PartNotLocated
from edge_inspect.field.archive import find_output, output_path
from edge_inspect.field.calibration.parts import NetworkImage, Part, Parts, sample_of
from edge_inspect.geometry import Tiling, warp
from edge_inspect.guard import patch_view, small_view
from edge_inspect.outputs.database import inspections_since, recent
from edge_inspect.outputs.images import find_raw
from edge_inspect.plugins import prepare
from edge_inspect.protocols import Camera
from edge_inspect.scoring import Scored, Scorer
from edge_inspect.service.alone import FolderHeld, hold_alone
from edge_inspect.service.asked import Request
from edge_inspect.service.giving_way import give_way
from edge_inspect.service.sampling import ASKED_FILE, SAMPLE_FOLDER
from edge_inspect.thresholds.history import read_history
from edge_inspect.thresholds.record import read_thresholds

ONLY_PASSED = (
    "only parts that the station passed: good ones that it rejected are not among them, so the promise holds for parts like those it "
    "passed; take --only OK NG and --leave-out the defective ones to have all"
)

BESIDE = "the station was running: these are copies of parts that it inspected meanwhile, OK and NG; look at the highest"

LOOK_EVERY_S = 0.05

PICTURE_PX = 512
"""Longest side of what is kept of a tiled part for the report."""

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
    parts, left_out = _of_pictures(scorer, pictures, lambda path: _name(path, good, defective), progress)
    return sample_of(parts, left_out=left_out)


def with_defective(scorer: Scorer, found: Parts, folder: Path, progress: Progress) -> Parts:
    """The sample with every picture of a folder of defective parts; a frame among them is not taken for a good one. Errors as above."""
    pictures = [(path, False) for path in list_pictures(folder, recursive=True)]
    parts, left_out = _of_pictures(scorer, pictures, lambda path: path.relative_to(folder).as_posix(), progress)
    return sample_of((*parts, *found.parts), left_out=(*found.left_out, *left_out), told=found.told)


def _of_pictures(
    scorer: Scorer, pictures: Sequence[tuple[Path, bool]], named: Callable[[Path], str], progress: Progress
) -> tuple[list[Part], list[str]]:
    """Every picture that can be scored, good or not, and why others were left out."""
    left_out: list[str] = []
    parts: list[Part] = []
    for done, (path, is_good) in enumerate(pictures, start=1):
        try:
            parts.append(_scored(scorer, read_picture(path), name=named(path), good=is_good))
        except (CameraError, PartNotLocated) as error:
            left_out.append(f"{path.name}: {error}")
        progress("scoring", done, len(pictures))
    return parts, left_out


def parts_from_camera(scorer: Scorer, settings: Station, base: Path, count: int, progress: Progress) -> Parts:
    """Score parts in front of the station's camera; beside a running station, copies of the next parts that it inspects.

    Raises:
        OutputError: the station's data folder cannot be written.
        CameraError: the camera delivers nothing, or the running station inspects no part of this recipe.
        EngineError: the engine failed.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    given = {"name": settings.camera.kind}
    try:
        with hold_alone(settings.data), prepare("cameras", settings.camera, base=base, given=given)() as camera:
            return _of_exposures(scorer, _exposures(camera, settings.name), count, progress)
    except FolderHeld:
        give_way()
        found = _of_exposures(scorer, _beside(settings, scorer.recipe.part), count, progress)
        return Parts(parts=found.parts, left_out=found.left_out, told=(*found.told, BESIDE))


def _of_exposures(scorer: Scorer, exposures: Generator[tuple[str, UInt8Image], None, None], count: int, progress: Progress) -> Parts:
    parts: list[Part] = []
    left_out: list[str] = []
    with closing(exposures):
        for name, pixels in exposures:
            try:
                parts.append(_scored(scorer, pixels, name=name, good=True))
            except PartNotLocated as error:
                left_out.append(f"{name}: {error}")
            progress("capturing", len(parts), count)
            if len(parts) >= count:
                break
    return sample_of(parts, left_out=left_out)


def _beside(settings: Station, recipe: str) -> Generator[tuple[str, UInt8Image], None, None]:
    """Frames that the running station gives, each taken out of its folder."""
    request = Request(settings.data / ASKED_FILE, {"recipe": recipe})
    came_s = time.monotonic()
    try:
        while time.monotonic() - came_s < PATIENCE_S:
            request.keep_up()
            for path in sorted((settings.data / SAMPLE_FOLDER).glob("*.png")):
                pixels = read_picture(path)
                path.unlink()
                came_s = time.monotonic()
                yield str(int(path.stem)), pixels
                request.keep_up()
            time.sleep(LOOK_EVERY_S)
    finally:
        request.withdraw()
    raise CameraError(f"station {settings.name}: gave no part of {recipe} for {PATIENCE_S:.0f} s; run the line, or give --good DIR")


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
    if scorer.own_score or scorer.recipe.zones:
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
    cleaned = scorer.cleaned(frame).pixels
    seen = warp(cleaned, scored.placement)
    where = scorer.recipe.reference_patch
    patch = None if where is None else patch_view(pixels, where)
    return Part(
        name=name,
        sha256=hash_pixels(pixels),
        good=good,
        score=scored.score,
        scored=scored,
        image=seen if scorer.tiling is None else _small(seen),
        network=_network_image(scorer.tiling, cleaned, seen, scored, patch),
        record=record,
    )


def _network_image(tiling: Tiling | None, pixels: UInt8Image, seen: UInt8Image, scored: Scored, patch: UInt8Image | None) -> NetworkImage:
    """What is kept for another engine: with tiles the one that holds the part's highest cell, and the whole small, for the guard."""
    if tiling is None:
        return NetworkImage(pixels=seen, searched=scored.searched, zones=scored.zones, view=None, patch=patch)
    placement, rows, columns = tiling.tile_at(*_highest_cell(scored))
    return NetworkImage(
        pixels=warp(pixels, placement),
        searched=scored.searched[rows, columns],
        zones=None if scored.zones is None else scored.zones[rows, columns],
        view=small_view(seen),
        patch=patch,
    )


def _highest_cell(scored: Scored) -> tuple[int, int]:
    """Row and column of the cell with the highest score of those that count for the image score."""
    counts = scored.searched if scored.zones is None else scored.searched & (scored.zones == 0)
    row, column = np.unravel_index(np.where(counts, scored.scores.map, -np.inf).argmax(), counts.shape)
    return int(row), int(column)


def _small(seen: UInt8Image) -> UInt8Image:
    """The picture of a report: a hundred mosaics as they are would not fit into memory."""
    height, width = seen.shape[:2]
    factor = min(1.0, PICTURE_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(size[1], size[0], -1)


def _exposures(camera: Camera, name: str) -> Generator[tuple[str, UInt8Image], None, None]:
    while True:
        try:
            frame = camera.grab(PATIENCE_S)
        except FrameLost:
            continue
        if frame is None:
            raise CameraError(f"camera of {name}: no part came for {PATIENCE_S:.0f} s; run the line, or give --good DIR")
        yield frame.part_id or f"exposure {frame.sequence}", frame.pixels


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
