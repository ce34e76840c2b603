"""The picture archive: raw frames as lossless PNG and annotated pictures as JPEG, within a quota in bytes and age.

A picture is written beside its place, brought to the disk and renamed: there are no half pictures. The oldest go before
the quota or the disk is full (`retention.py`). Put it behind `background`: packing a frame takes longer than a part may.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from edge_inspect.datatypes import Inspection, UInt8Image
from edge_inspect.durable import FOLDER_MODE, make_folder, sync_folder
from edge_inspect.errors import OutputError
from edge_inspect.outputs.disk import FILE_MODE, NO_ROOM, lock, output_error, write_whole
from edge_inspect.outputs.drawing import annotate
from edge_inspect.outputs.retention import UNFINISHED_SUFFIX, Retention, thousand_of

VerdictName = Literal["OK", "NG", "FAULT"]

_PNG_FAST = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
)  # a camera's noise: 1.2 to 1.6 times as fast
_JPEG_SHARP = (cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


@contextmanager
def open_images(
    *,
    station: str,  # noqa: ARG001 - every output is given it; a picture's folder names the station already
    path: Path,
    keep: Sequence[VerdictName] = ("NG", "FAULT"),
    raw: bool = True,
    annotated: bool = True,
    quota_mb: Annotated[float, Field(gt=0)] = 1000,
    keep_days: Annotated[float, Field(gt=0)] | None = None,
    reserve_mb: Annotated[float, Field(ge=0)] = 64,
) -> Iterator[ImageArchive]:
    """Open the archive.

    Args:
        station: name of the station, given by it.
        path: folder of the archive; made where it is missing.
        keep: verdicts of which pictures are kept.
        raw: keep the frame as it came, for `replay`.
        annotated: keep the picture with heat map and regions, for people.
        quota_mb: most that all pictures may take [MB]; the oldest go first.
        keep_days: age at which a picture goes [days]; None keeps all that the quota allows.
        reserve_mb: room on this disk that pictures leave to other records [MB]; a ballast of the same size is given up
            when the disk is full nonetheless.

    Raises:
        OutputError: the folder cannot be written, or another program keeps pictures there.
    """
    keep_s = None if keep_days is None else keep_days * 86_400
    retention = Retention(path, quota=int(quota_mb * 1e6), keep_s=keep_s, reserve=int(reserve_mb * 1e6))
    archive = ImageArchive(folder=path, keep=keep, raw=raw, annotated=annotated, retention=retention)
    try:
        archive.open()
        yield archive
    finally:
        archive.close()


class ImageArchive:
    """An `Output` into a folder of pictures. Used by one thread at a time."""

    def __init__(self, *, folder: Path, keep: Sequence[VerdictName], raw: bool, annotated: bool, retention: Retention) -> None:
        self._folder = folder
        self._keep = frozenset(keep)
        self._raw = raw
        self._annotated = annotated
        self._retention = retention
        self._lock: int | None = None

    def open(self) -> None:
        """Read the folder and take up the ballast.

        Raises:
            OutputError: the folder cannot be written, or another program keeps pictures there.
        """
        try:
            make_folder(self._folder)
            self._lock = lock(self._folder / ".images.lock")
            self._retention.scan()
            self._retention.make_room(0)
        except OSError as error:
            raise output_error(self._folder, "the picture archive cannot be opened", error) from error

    def close(self) -> None:
        """Let another program keep pictures here."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def emit(self, inspection: Inspection) -> None:
        """Keep the pictures of one inspection, if its verdict is to be kept and it has a frame.

        Raises:
            OutputError: none of its pictures is kept. The next call starts from scratch.
        """
        try:
            make_folder(self._folder)
            if inspection.evidence is None or inspection.verdict.value not in self._keep:
                self._retention.make_room(0)
            else:
                self._store(self._encode(inspection, inspection.evidence.frame.pixels))
        except OSError as error:
            raise output_error(self._folder, f"the pictures of inspection {inspection.sequence} were not kept", error) from error
        except cv2.error as error:
            raise OutputError(
                f"{self._folder}: the pictures of inspection {inspection.sequence} were not kept: {' '.join(str(error).split())}; "
                "is the frame too large?"
            ) from error

    def _encode(self, inspection: Inspection, pixels: UInt8Image) -> dict[Path, bytes]:
        stem = self._folder / _stem(inspection.sequence, inspection.verdict.value)
        pictures = {}
        if self._raw:
            pictures[stem.with_name(f"{stem.name}_raw.png")] = _encoded(".png", pixels, _PNG_FAST)
        if self._annotated:
            pictures[stem.with_name(f"{stem.name}_annotated.jpg")] = _encoded(".jpg", annotate(inspection), _JPEG_SHARP)
        return pictures

    def _store(self, pictures: Mapping[Path, bytes]) -> None:
        wanted = sum(map(len, pictures.values()))
        self._retention.make_room(wanted)
        try:
            _write(pictures)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._retention.make_room_now(wanted)
            _write(pictures)
        for path, content in pictures.items():
            self._retention.add(path, len(content))


def find_raw(path: Path, sequence: int) -> Path | None:
    """The raw frame of an inspection, or None where it was not kept or has been pruned.

    Args:
        path: folder of the archive.
        sequence: of the inspection.
    """
    stem = path / _stem(sequence, "*_raw.png")
    return next(iter(sorted(stem.parent.glob(stem.name))), None)


def _stem(sequence: int, rest: str) -> Path:
    return Path(thousand_of(sequence)) / f"{sequence:010d}_{rest}"


def _encoded(extension: str, pixels: UInt8Image, options: Sequence[int]) -> bytes:
    picture = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.shape[2] == 3 else np.ascontiguousarray(pixels)
    packed, content = cv2.imencode(extension, picture, options)
    if not packed:  # OpenCV 4 raises this by itself
        raise cv2.error(f"{extension[1:]} does not hold {picture.shape[1]} x {picture.shape[0]} pixels")
    return content.tobytes()


def _write(pictures: Mapping[Path, bytes]) -> None:
    """All of them, or none; what stands there already is never replaced."""
    for path in pictures:
        if path.exists():
            raise OutputError(
                f"{path}: a picture of this sequence stands there already; move the old pictures away, or keep the old database"
            )
    try:
        for path, content in pictures.items():
            _write_beside(path, content)
        for path in pictures:
            _beside(path).rename(path)
        for folder in {path.parent for path in pictures}:
            sync_folder(folder)
    except OSError:
        for path in pictures:
            _beside(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        raise


def _write_beside(path: Path, content: bytes) -> None:
    _make_folder(path.parent)
    descriptor = os.open(_beside(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        write_whole(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(mode=FOLDER_MODE)
        sync_folder(folder.parent)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + UNFINISHED_SUFFIX)
