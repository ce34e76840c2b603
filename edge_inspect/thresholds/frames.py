"""The frames that thresholds were made from, as the network saw them, with the scores they had: `calibration-frames.npz`.

Any engine of the same size can be given them again, on any device, and what it says be held against what was said then.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from edge_inspect.datatypes import UInt8Image
from edge_inspect.durable import replace_file
from edge_inspect.errors import ConfigError

MOST = 100
"""Frames kept: the highest scores, which set the threshold, and as many spread evenly over the others."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationFrames:
    """Frames of good parts.

    Attributes:
        images: (n, H, W, C) uint8, placed and warped.
        searched: (n, h, w) bool, cells that counted.
        scores: image scores (n,) that they had, engine units.
        peaks: largest searched cells (n,) likewise.
        names: of the parts.
        sample: scores (m,) of all parts that the thresholds were made from, kept here or not.
        engine_sha256: of the engine that said so.
    """

    images: UInt8Image
    searched: npt.NDArray[np.bool_]
    scores: Numbers
    peaks: Numbers
    names: tuple[str, ...]
    sample: Numbers
    engine_sha256: str


def frames_path(thresholds: Path) -> Path:
    """Where the frames of a `thresholds.json` lie."""
    return thresholds.with_name("calibration-frames.npz")


def kept(scores: Sequence[float]) -> tuple[int, ...]:
    """Which frames are kept of a sample with these scores."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    if len(order) <= MOST:
        return tuple(map(int, order))
    spread = np.linspace(MOST // 2, len(order) - 1, MOST - MOST // 2).round().astype(int)
    return tuple(map(int, [*order[: MOST // 2], *order[spread]]))


def save_frames(thresholds: Path, frames: CalibrationFrames) -> None:
    """Write the frames in one step.

    Raises:
        ConfigError: the file cannot be written.
    """
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        images=frames.images,
        searched=np.packbits(frames.searched, axis=2),
        cells=np.array(frames.searched.shape[1:]),
        scores=frames.scores,
        peaks=frames.peaks,
        names=np.array(frames.names),
        sample=frames.sample,
        engine=np.array(frames.engine_sha256),
    )
    path = frames_path(thresholds)
    try:
        replace_file(path, packed.getvalue() + hashlib.sha256(packed.getvalue()).digest())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; check space and permissions") from error


def load_frames(thresholds: Path) -> CalibrationFrames:
    """Read the frames.

    Raises:
        ConfigError: there are none, or the file is damaged.
    """
    path = frames_path(thresholds)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; calibrate with --apply once, which stores the frames") from error
    if hashlib.sha256(content[:-32]).digest() != content[-32:]:
        raise ConfigError(f"{path}: is damaged: its hash is not that of its content; calibrate with --apply once more")
    try:
        return _unpacked(content[:-32])
    except (KeyError, ValueError, BadZipFile) as error:
        raise ConfigError(f"{path}: not calibration frames of this version: {error}; calibrate with --apply once more") from error


def _unpacked(content: bytes) -> CalibrationFrames:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return CalibrationFrames(
            images=arrays["images"],
            searched=np.unpackbits(arrays["searched"], axis=2, count=int(arrays["cells"][1])).astype(np.bool_),
            scores=arrays["scores"],
            peaks=arrays["peaks"],
            names=tuple(map(str, arrays["names"])),
            sample=arrays["sample"],
            engine_sha256=str(arrays["engine"]),
        )
