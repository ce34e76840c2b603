"""Reading picture files: what is read, and what is refused in one sentence."""

import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.cameras.pictures import (
    decode_picture,
    is_jpeg_cut_short,
    list_pictures,
    natural_order,
    read_picture,
    rgb_from_bgr,
    with_channels,
)
from edge_inspect.errors import CameraError

PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
RESTARTS = [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]


def scene(height: int = 120, width: int = 160, channels: int = 3) -> np.ndarray:
    chance = np.random.default_rng(1)
    return cv2.GaussianBlur(chance.integers(0, 256, (height, width, channels), dtype=np.uint8), (0, 0), 2).reshape(height, width, channels)


def encoded(suffix: str, pixels: np.ndarray, options: list[int] | None = None) -> bytes:
    return cv2.imencode(suffix, pixels, options or [])[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_colour_comes_as_rgb_and_read_only(tmp_path: Path, suffix: str) -> None:
    bgr = scene()
    path = tmp_path / f"part{suffix}"
    path.write_bytes(encoded(suffix, bgr))
    pixels = read_picture(path)
    np.testing.assert_array_equal(pixels, bgr[:, :, ::-1])
    assert (pixels.flags.writeable, pixels.flags.c_contiguous) == (False, True)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
def test_grey_stays_one_channel(suffix: str) -> None:
    assert decode_picture(encoded(suffix, scene(channels=1)), where="part").shape == (120, 160, 1)


def test_transparency_is_dropped() -> None:
    bgra = np.dstack((scene(), np.full((120, 160), 7, np.uint8)))
    np.testing.assert_array_equal(decode_picture(encoded(".png", bgra), where="part"), bgra[:, :, 2::-1])


def test_grey_with_transparency_stays_one_channel() -> None:
    grey = scene(8, 8, 1)[:, :, 0]
    rows = b"".join(b"\0" + np.dstack((row, np.full_like(row, 9))).tobytes() for row in grey)
    png = png_of(struct.pack(">IIBBBBB", 8, 8, 8, 4, 0, 0, 0), zlib.compress(rows))
    np.testing.assert_array_equal(decode_picture(png, where="part")[:, :, 0], grey)


def png_of(header: bytes, data: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    framed = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_an_exif_orientation_is_ignored() -> None:
    jpeg = encoded(".jpg", scene())
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert decode_picture(turned, where="part").shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", None), (".jpg", None), (".jpg", PROGRESSIVE), (".jpg", RESTARTS), (".bmp", None), (".tif", None), (".tif", [259, 1])],
)
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95, 1.0])
def test_a_file_cut_short_is_refused(suffix: str, options: list[int] | None, part: float) -> None:
    whole = encoded(suffix, scene(), options)
    with pytest.raises(CameraError, match=r"part 7: is .*save the picture again"):
        decode_picture(whole[: min(int(len(whole) * part), len(whole) - 1)], where="part 7")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    path.touch()
    with pytest.raises(CameraError, match=r"part\.png: is empty"):
        read_picture(path)


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="cannot be read: No such file"):
        read_picture(tmp_path / "part.png")


@pytest.mark.parametrize("nonsense", [b"no picture at all", b"\xff\xd8\xff\xd9", b"BM" + bytes(60)])
def test_no_picture_is_refused(nonsense: bytes) -> None:
    with pytest.raises(CameraError, match="damaged, cut short or no picture"):
        decode_picture(nonsense, where="part")


def test_a_damaged_png_is_refused() -> None:
    whole = bytearray(encoded(".png", scene()))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(CameraError, match="damaged"):
        decode_picture(bytes(whole), where="part")


def test_sixteen_bits_are_refused_because_which_eight_to_keep_would_be_a_guess() -> None:
    with pytest.raises(CameraError, match="has uint16 pixels, wanted uint8"):
        decode_picture(encoded(".png", np.full((4, 4), 4000, np.uint16)), where="part")


def test_a_picture_that_opencv_refuses_to_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)  # more than OpenCV's limit of 2**30 pixels: it raises
    with pytest.raises(CameraError, match="damaged, cut short or no picture"):
        decode_picture(png_of(header, zlib.compress(bytes(10))), where="part")


@pytest.mark.parametrize("options", [None, PROGRESSIVE, RESTARTS])
@settings(deadline=None, max_examples=40)
@given(cut=st.integers(min_value=1, max_value=3000))
def test_a_jpeg_is_whole_only_with_its_end_marker(options: list[int] | None, cut: int) -> None:
    whole = encoded(".jpg", scene(), options)
    assert not is_jpeg_cut_short(whole)
    assert not is_jpeg_cut_short(whole + bytes(cut))
    assert is_jpeg_cut_short(whole[: max(2, len(whole) - cut)])


def test_the_end_marker_of_an_embedded_preview_does_not_count() -> None:
    whole, preview = encoded(".jpg", scene()), encoded(".jpg", scene(16, 16))
    with_preview = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview + whole[2:]
    assert not is_jpeg_cut_short(with_preview)
    assert is_jpeg_cut_short(with_preview[:-2])


def test_only_a_jpeg_is_judged_by_its_markers() -> None:
    assert not is_jpeg_cut_short(encoded(".png", scene())[:-20])


def test_channels_are_converted_as_asked() -> None:
    rgb, grey = rgb_from_bgr(scene()), rgb_from_bgr(scene(channels=1))
    assert with_channels(rgb, None) is rgb
    assert with_channels(rgb, 3) is rgb
    np.testing.assert_array_equal(with_channels(grey, 3), np.repeat(grey, 3, axis=2))
    luminance = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(with_channels(rgb, 1)[:, :, 0] - luminance).max() <= 1
    assert not with_channels(rgb, 1).flags.writeable


def test_pictures_are_listed_in_natural_name_order(tmp_path: Path) -> None:
    for name in ("part 10.png", "part 9.PNG", "Part 1.jpg", "notes.txt", ".hidden.png", "sub/part 2.tiff", ".trash/part 3.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [path.name for path in list_pictures(tmp_path)] == ["Part 1.jpg", "part 9.PNG", "part 10.png"]
    assert [path.name for path in list_pictures(tmp_path, recursive=True)] == ["Part 1.jpg", "part 9.PNG", "part 10.png", "part 2.tiff"]


@settings(deadline=None, max_examples=40)
@given(names=st.lists(st.text(alphabet="aB019._- ²", max_size=8), max_size=8, unique=True), chance=st.randoms(use_true_random=False))
def test_natural_order_is_an_order_of_any_names(names: list[str], chance: random.Random) -> None:
    shuffled = chance.sample(names, len(names))
    assert sorted(names, key=natural_order) == sorted(shuffled, key=natural_order)


def test_a_missing_folder_an_empty_one_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="gone: cannot be listed: No such file or directory; give an existing"):
        list_pictures(tmp_path / "gone")
    with pytest.raises(CameraError, match=r"has no picture; wanted at least one file of \.bmp .* or set recursive"):
        list_pictures(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CameraError, match="Not a directory"):
        list_pictures(tmp_path / "file", recursive=True)
