"""The frames that thresholds were made from, as the network saw them, with the scores they had: `calibration-frames-<id>.npz`.

Each calibration has its own, under its id, so that a rollback finds those of what it brings back. Any engine of the same size can be given
them again, on any device, and what it says be held against what was said then.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image
from edge_inspect.durable import replace_file
from edge_inspect.errors import ConfigError
from edge_inspect.thresholds.record import Thresholds, read_thresholds

MOST = 100
"""Frames kept: the highest scores, which set the threshold, and as many spread evenly over the others."""

CALIBRATIONS = 5
"""So many calibrations keep their frames: those that were in force last."""

_NAMED = "calibration-frames-{}.npz"
_UNNAMED = "calibration-frames.npz"
"""As an older version wrote them: whose they are is told by their sample."""

_HASH_BYTES = 32
_PIECE_BYTES = 1 << 18

_WHERE_THERE = ("zones", "zone_peaks", "views", "patches", "patch_at")

Numbers = npt.NDArray[np.float64]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationFrames:
    """Frames of good parts.

    Attributes:
        images: (n, H, W, C) uint8, placed and warped; with tiles the tile of each part that has its highest cell.
        searched: (n, h, w) bool, cells that counted.
        scores: image scores (n,) that they had, engine units.
        peaks: largest searched cells (n,) likewise, outside of zones.
        names: of the parts.
        sample: scores (m,) of all parts that the thresholds were made from, kept here or not.
        engine_sha256: of the engine that said so.
        zones: (n, h, w) uint8, the number of each cell's zone; None where the recipe had none.
        zone_peaks: (n, zones) largest searched cell of each zone; None likewise.
        views: (n, side, side) uint8 grey, the whole of what was seen, small; None where nobody has made them.
        patches: (n, side, side) uint8 grey, the reference patch of each frame; None where the recipe had none.
        patch_at: (4,) where it lay in the frame, left, top, width and height [px]; None likewise.
    """

    images: UInt8Image
    searched: npt.NDArray[np.bool_]
    scores: Numbers
    peaks: Numbers
    names: tuple[str, ...]
    sample: Numbers
    engine_sha256: str
    zones: npt.NDArray[np.uint8] | None = None
    zone_peaks: Numbers | None = None
    views: npt.NDArray[np.uint8] | None = None
    patches: npt.NDArray[np.uint8] | None = None
    patch_at: Numbers | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looks:
    """What a guard needs of calibration frames.

    Attributes:
        pictures: (n, H, W, C) uint8, the views, or the frames where there are none.
        are_views: which of both.
        sample: scores (m,) of all parts that the thresholds were made from.
        patches: as of `CalibrationFrames`.
        patch_at: likewise.
    """

    pictures: UInt8Image
    are_views: bool
    sample: Numbers
    patches: npt.NDArray[np.uint8] | None
    patch_at: Numbers | None


def frames_path(path: Path, thresholds: Thresholds | None = None) -> Path:
    """Where the frames lie that these thresholds were made from; None means what stands in the `thresholds.json` at `path`.

    Raises:
        ConfigError: what stands there is none.
    """
    return path.with_name(_NAMED.format((thresholds or read_thresholds(path)).calibration_id))


def are_stored(path: Path) -> bool:
    """Whether frames of any calibration lie beside the `thresholds.json` at `path`."""
    return any(_stored(path))


def forget_frames(path: Path, *, keep: Collection[str]) -> None:
    """Delete the frames of all calibrations but these, and what a power cut left of others; what cannot be deleted stays."""
    kept_names = {_NAMED.format(calibration_id) for calibration_id in keep}
    for file in path.parent.glob(_NAMED.format("*") + "*"):
        if file.name not in kept_names:
            with suppress(OSError):
                file.unlink()


def kept(scores: Sequence[float]) -> tuple[int, ...]:
    """Which frames are kept of a sample with these scores."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    if len(order) <= MOST:
        return tuple(map(int, order))
    spread = np.linspace(MOST // 2, len(order) - 1, MOST - MOST // 2).round().astype(int)
    return tuple(map(int, [*order[: MOST // 2], *order[spread]]))


def save_frames(path: Path, frames: CalibrationFrames) -> None:
    """Write the frames of what stands in the `thresholds.json` at `path`, in one step.

    Raises:
        ConfigError: the file cannot be written.
    """
    file = frames_path(path)
    try:
        replace_file(file, packed(frames))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}; check space and permissions") from error


def packed(frames: CalibrationFrames) -> bytes:
    """The frames as they are written, with their hash at the end."""
    content = io.BytesIO()
    there = {name: getattr(frames, name) for name in _WHERE_THERE if getattr(frames, name) is not None}
    np.savez_compressed(
        content,
        images=frames.images,
        searched=np.packbits(frames.searched, axis=2),
        cells=np.array(frames.searched.shape[1:]),
        scores=frames.scores,
        peaks=frames.peaks,
        names=np.array(frames.names),
        sample=frames.sample,
        engine=np.array(frames.engine_sha256),
        **there,
    )
    return content.getvalue() + hashlib.sha256(content.getvalue()).digest()


def load_frames(path: Path, thresholds: Thresholds | None = None) -> CalibrationFrames:
    """Read the frames that these thresholds were made from; None means what stands in the `thresholds.json` at `path`.

    Raises:
        ConfigError: there are none, they are of another calibration, or the file is damaged.
    """
    thresholds = thresholds or read_thresholds(path)
    file, unnamed = frames_path(path, thresholds), path.with_name(_UNNAMED)
    if file.exists():
        return _read(file, _unpacked)
    if unnamed.exists() and _is_of(found := _read(unnamed, _unpacked), thresholds):
        return found
    if are_stored(path):
        raise ConfigError(
            f"{file}: is not there, only frames of another calibration are; calibrate with --apply once more, or roll back to one that "
            f"has its frames (the newest {CALIBRATIONS} do)"
        )
    raise ConfigError(f"{file}: is not there; calibrate with --apply once, which stores the frames")


def load_looks(path: Path, thresholds: Thresholds | None = None) -> Looks:
    """As `load_frames`, what a guard needs; the frames themselves stay packed where they have views.

    A guard is opened beside a running line, and unpacking ten megabytes would slow its parts down.

    Raises:
        ConfigError: there are none, they are of another calibration, or the file is damaged.
    """
    thresholds = thresholds or read_thresholds(path)
    file = frames_path(path, thresholds)
    return _read(file, _looks) if file.exists() else _looks_of(load_frames(path, thresholds))


def _stored(path: Path) -> list[Path]:
    return [*path.parent.glob(_NAMED.format("*")), *path.parent.glob(_UNNAMED)]


def _is_of(frames: CalibrationFrames, thresholds: Thresholds) -> bool:
    sample, told = frames.sample, thresholds.sample
    if frames.engine_sha256 != thresholds.engine_sha256 or len(sample) != told.images:
        return False
    return (float(sample.min()), float(np.median(sample)), float(sample.max())) == (told.minimum, told.median, told.maximum)


def _read(file: Path, unpacked: Callable[[BinaryIO], Found]) -> Found:
    try:
        with file.open("rb") as content:
            if not _is_whole(content):
                raise ConfigError(f"{file}: is damaged: its hash is not that of its content; calibrate with --apply once more")
            return unpacked(content)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; check the permissions and the disk") from error
    except (KeyError, ValueError, BadZipFile) as error:
        raise ConfigError(f"{file}: not calibration frames of this version: {error}; calibrate with --apply once more") from error


def _is_whole(content: BinaryIO) -> bool:
    """Whether the hash at the end of a file is that of what stands before it; it is read in pieces, and from its beginning again next."""
    left, digest = os.fstat(content.fileno()).st_size - _HASH_BYTES, hashlib.sha256()
    while left > 0 and (piece := content.read(min(left, _PIECE_BYTES))):
        digest.update(piece)
        left -= len(piece)
    told = content.read(_HASH_BYTES)
    content.seek(0)
    return told == digest.digest()


def _unpacked(content: BinaryIO) -> CalibrationFrames:
    with np.load(content, allow_pickle=False) as arrays:
        return CalibrationFrames(
            images=arrays["images"],
            searched=np.unpackbits(arrays["searched"], axis=2, count=int(arrays["cells"][1])).astype(np.bool_),
            scores=arrays["scores"],
            peaks=arrays["peaks"],
            names=tuple(map(str, arrays["names"])),
            sample=arrays["sample"],
            engine_sha256=str(arrays["engine"]),
            **{name: arrays[name] for name in _WHERE_THERE if name in arrays},
        )


def _looks(content: BinaryIO) -> Looks:
    with np.load(content, allow_pickle=False) as arrays:
        if "views" not in arrays:
            content.seek(0)
            return _looks_of(_unpacked(content))
        there = {name: arrays.get(name) for name in ("patches", "patch_at")}
        return Looks(pictures=arrays["views"][..., np.newaxis], are_views=True, sample=arrays["sample"], **there)


def _looks_of(frames: CalibrationFrames) -> Looks:
    return Looks(
        pictures=frames.images if frames.views is None else frames.views[..., np.newaxis],
        are_views=frames.views is not None,
        sample=frames.sample,
        patches=frames.patches,
        patch_at=frames.patch_at,
    )
