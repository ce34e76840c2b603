"""The folder camera: names in order, bad files told, an end."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_inspect.cameras import folder, pacing
from edge_inspect.cameras.folder import FolderCamera, open_folder
from edge_inspect.datatypes import Frame
from edge_inspect.errors import CameraError, FrameLost
from edge_inspect.protocols import Camera

from .test_pacing import Time


def write(path: Path, grey: int, *, size: tuple[int, int] = (6, 8), channels: int = 3) -> None:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, channels), grey, np.uint8))


@pytest.fixture
def opened() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda path, **options: stack.enter_context(open_folder(name="top", path=path, **{"pace": "trigger"} | options))


def grabbed(camera: FolderCamera, count: int) -> list[Frame | FrameLost | None]:
    return [outcome(camera) for _ in range(count)]


def outcome(camera: FolderCamera) -> Frame | FrameLost | None:
    try:
        return camera.grab(0.001)
    except FrameLost as error:
        return error


def test_pictures_come_in_natural_order_and_then_nothing_for_ever(tmp_path: Path, opened: Any) -> None:
    for number in (10, 9, 1):
        write(tmp_path / f"part {number}.png", number)
    camera = opened(tmp_path)
    assert isinstance(camera, Camera)
    frames = grabbed(camera, 3)
    assert [(frame.part_id, frame.sequence, frame.pixels[0, 0, 0], frame.camera) for frame in frames] == [
        ("part 1.png", 0, 1, "top"),
        ("part 9.png", 1, 9, "top"),
        ("part 10.png", 2, 10, "top"),
    ]
    assert frames[0].exposed_ns <= frames[1].exposed_ns <= time.monotonic_ns()
    assert frames[0].taken_at.tzinfo is not None
    assert camera.ended
    assert grabbed(camera, 2) == [None, None]


def test_a_loop_begins_again_and_goes_on_counting(tmp_path: Path, opened: Any) -> None:
    write(tmp_path / "a.png", 1)
    write(tmp_path / "b.png", 2)
    camera = opened(tmp_path, loop=True)
    assert [(frame.part_id, frame.sequence) for frame in grabbed(camera, 3)] == [("a.png", 0), ("b.png", 1), ("a.png", 2)]
    assert not camera.ended


def test_a_part_is_named_by_its_path_in_the_folder(tmp_path: Path, opened: Any) -> None:
    write(tmp_path / "crack" / "7.png", 1)
    assert opened(tmp_path, recursive=True).grab(0).part_id == "crack/7.png"


def test_a_bad_file_faults_its_part_and_the_line_goes_on(tmp_path: Path, opened: Any) -> None:
    for name in "abcde":
        write(tmp_path / f"{name}.png", 5)
    whole = (tmp_path / "e.png").stat().st_size
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes((tmp_path / "e.png").read_bytes()[:-9])
    write(tmp_path / "c.png", 5, size=(6, 9))
    camera = opened(tmp_path, width=8, height=6)
    (tmp_path / "d.png").unlink()
    *lost, frame = grabbed(camera, 5)
    assert [(error.sequence, error.part_id) for error in lost] == [(0, "a.png"), (1, "b.png"), (2, "c.png"), (3, "d.png")]
    assert [str(error).split(" is ")[-1].split("cannot ")[-1].split(";")[0] for error in lost] == [
        "empty (0 bytes)",
        f"damaged, cut short or no picture ({whole - 9} bytes)",
        "9 x 6 px, wanted 8 x 6",
        "be read: No such file or directory",
    ]
    assert str(lost[2]).startswith(f"camera top, exposure 2: {tmp_path}/c.png: ")
    assert (frame.sequence, frame.part_id) == (4, "e.png")


def test_only_the_sizes_given_are_checked(tmp_path: Path, opened: Any) -> None:
    write(tmp_path / "a.png", 5, size=(6, 8))
    write(tmp_path / "b.png", 5, size=(7, 8))
    frame, error = grabbed(opened(tmp_path, height=6), 2)
    assert frame.pixels.shape == (6, 8, 3)
    assert "is 8 x 7 px, wanted any x 6" in str(error)


def test_a_stream_has_one_kind_of_pixels(tmp_path: Path, opened: Any) -> None:
    write(tmp_path / "a.png", 5)
    write(tmp_path / "b.png", 5, channels=1)
    write(tmp_path / "c.png", 5)
    first, error, last = grabbed(opened(tmp_path), 3)
    assert "b.png: is grey, but this stream began coloured; set the camera's channels to 1 or 3" in str(error)
    assert (first.sequence, last.sequence) == (0, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_given_convert_every_picture(tmp_path: Path, opened: Any, channels: int) -> None:
    write(tmp_path / "a.png", 5)
    write(tmp_path / "b.png", 5, channels=1)
    frames = grabbed(opened(tmp_path, channels=channels), 2)
    assert [frame.pixels.shape for frame in frames] == [(6, 8, channels)] * 2
    assert not frames[0].pixels.flags.writeable


def test_a_rate_paces_the_exposures_and_an_idle_grab_loses_no_picture(tmp_path: Path, opened: Any) -> None:
    write(tmp_path / "a.png", 1)
    write(tmp_path / "b.png", 2)
    camera = opened(tmp_path, pace="fps", fps=20)
    started_ns = time.monotonic_ns()
    first = camera.grab(1)
    assert camera.grab(0) is None
    write(tmp_path / "b.png", 77)  # it has been read already, ahead of its exposure
    second = camera.grab(5)
    assert (first.sequence, second.sequence, second.pixels[0, 0, 0]) == (0, 1, 2)
    assert second.exposed_ns - started_ns >= 50_000_000


def test_a_clock_goes_on_while_nobody_grabs_and_what_is_lost_is_a_gap_in_the_count(tmp_path: Path, opened: Any, monkeypatch: Any) -> None:
    for number in range(12):
        write(tmp_path / f"{number:02}.png", number)
    now = Time()
    monkeypatch.setattr(pacing, "time", now)
    monkeypatch.setattr(folder, "time", now)
    camera = opened(tmp_path, pace="clock", fps=50)
    first = camera.grab(1)
    now.sleep(0.21)
    second, third = camera.grab(1), camera.grab(1)
    assert [(one.sequence, one.part_id) for one in (first, second, third)] == [(0, "00.png"), (9, "09.png"), (10, "10.png")]
    assert (second.exposed_ns - first.exposed_ns) / 1e6 == pytest.approx(180, abs=0.01)
    assert (datetime.now(timezone.utc) - second.taken_at).total_seconds() >= 0.03


def test_a_folder_without_pictures_is_refused_when_it_is_opened(tmp_path: Path, opened: Any) -> None:
    with pytest.raises(CameraError, match="has no picture"):
        opened(tmp_path)
