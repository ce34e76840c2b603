"""A folder of pictures as a camera: in natural name order, at a fixed rate or one for every trigger.

A file that is cut short, empty, unreadable or of another size is a part whose frame was lost; the line goes on with the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge_inspect.cameras.pacing import Clock, Pace
from edge_inspect.cameras.pictures import Channels, list_pictures, read_picture, with_channels
from edge_inspect.datatypes import Frame, UInt8Image
from edge_inspect.errors import CameraError, FrameLost

KEPT = 2
"""Exposures that wait for whoever comes late with `pace: clock`; the older ones are lost."""

_KIND = {1: "grey", 3: "coloured"}


class PictureForm:
    """What the pictures of one stream must look like; see the options of `open_folder`."""

    def __init__(self, *, width: int | None, height: int | None, channels: Channels | None) -> None:
        self._width, self._height, self._channels = width, height, channels
        self._first_kind = 0

    def checked(self, pixels: UInt8Image, *, where: str) -> UInt8Image:
        """The pixels in the stream's channels.

        Raises:
            CameraError: another size, or another kind of pixels than the stream's first picture.
        """
        height, width, _ = pixels.shape
        if (self._width or width, self._height or height) != (width, height):
            wanted = f"{self._width or 'any'} x {self._height or 'any'}"
            raise CameraError(f"{where}: is {width} x {height} px, wanted {wanted}; give the folder pictures of one size")
        return self._of_one_kind(with_channels(pixels, self._channels), where)

    def _of_one_kind(self, pixels: UInt8Image, where: str) -> UInt8Image:
        self._first_kind = self._first_kind or pixels.shape[2]
        if pixels.shape[2] != self._first_kind:
            got, wanted = (_KIND[channels] for channels in (pixels.shape[2], self._first_kind))
            raise CameraError(f"{where}: is {got}, but this stream began {wanted}; set the camera's channels to 1 or 3")
        return pixels


class FolderCamera:
    """Pictures of a folder, one part each; see `open_folder`."""

    def __init__(self, *, name: str, folder: Path, pictures: tuple[Path, ...], pace: Pace, loop: bool, form: PictureForm) -> None:
        self._name, self._folder, self._pictures = name, folder, pictures
        self._pace, self._loop, self._form = pace, loop, form
        self._sequence = 0
        self._read_ahead: UInt8Image | CameraError | None = None

    @property
    def ended(self) -> bool:
        """Whether the last picture has been exposed; from then on `grab` gives None."""
        return not self._loop and self._sequence >= len(self._pictures)

    def grab(self, timeout_s: float) -> Frame | None:
        """Expose the next picture.

        The file is read before the exposure is due, and the exposure is the moment its pixels are there: reading a file is nothing a
        real camera does, so it counts in no latency.

        Args:
            timeout_s: longest wait for the next exposure [s].

        Returns:
            The frame; None when none was due within the time, and for ever after the last picture.

        Raises:
            FrameLost: the file is cut short, damaged, empty, unreadable or of another size or kind than the stream.
        """
        self._lose(self._pace.missed())
        if self.ended:
            time.sleep(timeout_s)
            return None
        if self._read_ahead is None:
            self._read_ahead = self._read()
        return self._expose(self._read_ahead) if self._pace.wait(timeout_s) else None

    def _lose(self, exposures: int) -> None:
        if exposures:
            self._read_ahead, self._sequence = None, self._sequence + exposures

    def _read(self) -> UInt8Image | CameraError:
        try:
            return self._form.checked(read_picture(self._path), where=str(self._path))
        except CameraError as error:
            return error

    def _expose(self, pixels: UInt8Image | CameraError) -> Frame:
        sequence, part_id = self._sequence, self._path.relative_to(self._folder).as_posix()
        self._read_ahead, self._sequence = None, sequence + 1
        if isinstance(pixels, CameraError):
            raise FrameLost(f"camera {self._name}, exposure {sequence}: {pixels}", sequence=sequence, part_id=part_id)
        exposed_ns = self._pace.exposed_ns
        return Frame(
            pixels=pixels,
            sequence=sequence,
            exposed_ns=exposed_ns,
            taken_at=datetime.now(timezone.utc) - timedelta(microseconds=max(0, time.monotonic_ns() - exposed_ns) // 1000),
            camera=self._name,
            part_id=part_id,
        )

    @property
    def _path(self) -> Path:
        return self._pictures[self._sequence % len(self._pictures)]


@contextmanager
def open_folder(
    *,
    name: str,
    path: Path,
    pace: Literal["fps", "clock", "trigger"] = "fps",
    fps: Annotated[float, Field(gt=0, le=1000)] = 10.0,
    loop: bool = False,
    recursive: bool = False,
    width: Annotated[int, Field(gt=0)] | None = None,
    height: Annotated[int, Field(gt=0)] | None = None,
    channels: Channels | None = None,
) -> Iterator[FolderCamera]:
    """Open a folder of png, jpg, jpeg, bmp, tif and tiff files as a camera. The folder is listed once, here.

    Args:
        name: the camera's name, given by the station.
        path: the folder.
        pace: `fps` exposes at a fixed rate and waits for whoever comes late; `clock` waits for nobody, as a camera that runs freely: of the
            exposures not taken the newest two are kept, the others are lost; `trigger` exposes the next picture at every grab.
        fps: exposures per second, for `pace: fps` and `clock`.
        loop: begin again after the last picture.
        recursive: also take the pictures of sub-folders (links to folders are not followed).
        width: the only width [px] that is a good frame; another one is a lost frame. None takes any.
        height: likewise.
        channels: 1 or 3 converts every picture to grey or RGB. None delivers what the files hold, and as a stream has one kind of
            pixels, a grey picture among coloured ones (or the other way) is a lost frame.

    Raises:
        CameraError: the folder is missing, cannot be read, or holds no picture.
    """
    yield FolderCamera(
        name=name,
        folder=path,
        pictures=list_pictures(path, recursive=recursive),
        pace=Clock(fps, kept=KEPT) if pace == "clock" else Pace(fps if pace == "fps" else None),
        loop=loop,
        form=PictureForm(width=width, height=height, channels=channels),
    )
