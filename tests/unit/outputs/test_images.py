from __future__ import annotations

import dataclasses
import errno
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError, OutputError
from edge_inspect.outputs.images import find_raw, open_images
from edge_inspect.outputs.retention import BALLAST_FILE, UNFINISHED_SUFFIX
from edge_inspect.plugins import prepare
from edge_inspect.testing import check_output

from .conftest import blocks_kept

SMALL = {"station": "a", "reserve_mb": 0, "annotated": False}
"""Raw frames only, no ballast."""


@pytest.fixture
def noisy(inspection):
    """An inspection whose raw frame packs to about 20 kB."""
    pixels = np.random.default_rng(1).integers(0, 256, (80, 80, 3), np.uint8)
    evidence = inspection().evidence
    frame = dataclasses.replace(evidence.frame, pixels=pixels)
    return lambda sequence: inspection(sequence, evidence=dataclasses.replace(evidence, frame=frame))


def pictures(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.suffix in {".png", ".jpg"})


def raw_sequences(folder: Path) -> list[int]:
    return [int(name.split("_")[0]) for name in pictures(folder) if name.endswith("_raw.png")]


def test_the_archive_keeps_the_promise_of_an_output(tmp_path):
    check_output(lambda: open_images(station="a", path=tmp_path, keep=("OK", "NG", "FAULT")))
    assert raw_sequences(tmp_path) == [1, 2, 4]


def test_the_archive_opens_from_a_station_file(tmp_path):
    options = {"keep": ["NG", "OK"], "raw": False, "quota_mb": 5, "keep_days": 1.5, "reserve_mb": 0}
    with prepare("outputs", PluginBlock(kind="images", path="new/pictures", **options), base=tmp_path, given={"station": "a"})():
        assert (tmp_path / "new" / "pictures").is_dir()


@pytest.mark.parametrize("option", [{"keep": ["BAD"]}, {"quota_mb": 0}, {"reserve_mb": -1}, {"keep_days": 0}])
def test_a_wrong_option_is_a_configuration_error(tmp_path, option):
    with pytest.raises(ConfigError):
        prepare("outputs", PluginBlock(kind="images", path="p", **option), base=tmp_path, given={"station": "a"})


def test_only_the_verdicts_named_are_kept(tmp_path, inspection):
    with open_images(station="a", path=tmp_path, keep=("FAULT",)) as archive:
        for sequence, verdict in enumerate(Verdict, start=1):
            archive.emit(inspection(sequence, verdict=verdict))
    assert pictures(tmp_path) == ["0000000003_FAULT_annotated.jpg", "0000000003_FAULT_raw.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_raw_frame_comes_back_to_the_last_bit(tmp_path, noisy, channels):
    sample = noisy(12345)
    pixels = np.ascontiguousarray(sample.evidence.frame.pixels[:, :, :channels])
    pixels.setflags(write=False)
    frame = dataclasses.replace(sample.evidence.frame, pixels=pixels)
    with open_images(path=tmp_path, **SMALL) as archive:
        archive.emit(dataclasses.replace(sample, evidence=dataclasses.replace(sample.evidence, frame=frame)))
    picture = cv2.imread(str(find_raw(tmp_path, 12345)), cv2.IMREAD_UNCHANGED)
    got = picture[..., None] if channels == 1 else picture[..., ::-1]
    np.testing.assert_array_equal(got, pixels)


def test_a_frame_is_found_by_its_sequence(tmp_path, inspection):
    with open_images(path=tmp_path, **SMALL) as archive:
        for sequence in (999, 1000, 10_000_000_001):
            archive.emit(inspection(sequence))
    assert find_raw(tmp_path, 999) == tmp_path / "0000000" / "0000000999_NG_raw.png"
    assert find_raw(tmp_path, 1000) == tmp_path / "0000001" / "0000001000_NG_raw.png"
    assert find_raw(tmp_path, 10_000_000_001) is not None
    assert find_raw(tmp_path, 1) is None
    assert find_raw(tmp_path / "nowhere", 999) is None


def test_the_annotated_picture_is_larger_than_the_frame_by_its_strip(tmp_path, inspection):
    with open_images(station="a", path=tmp_path, raw=False) as archive:
        archive.emit(inspection(1))
    picture = cv2.imread(str(tmp_path / "0000000" / "0000000001_NG_annotated.jpg"))
    assert picture.shape[0] > 48 * picture.shape[1] // 64


def test_the_oldest_pictures_go_before_the_quota_is_exceeded(tmp_path, noisy):
    with open_images(path=tmp_path, quota_mb=0.1, **SMALL) as archive:
        for sequence in range(998, 1008):
            archive.emit(noisy(sequence))
            assert sum(file.stat().st_size for file in tmp_path.rglob("*.png")) <= 100_000
    assert raw_sequences(tmp_path) == [1003, 1004, 1005, 1006, 1007][-len(raw_sequences(tmp_path)) :]
    assert not (tmp_path / "0000000").exists()


def test_a_smaller_quota_holds_from_the_restart_on(tmp_path, noisy):
    with open_images(path=tmp_path, **SMALL) as archive:
        for sequence in range(1, 7):
            archive.emit(noisy(sequence))
    with open_images(path=tmp_path, quota_mb=0.05, **SMALL):
        assert raw_sequences(tmp_path) == [5, 6]


def test_pictures_larger_than_the_quota_are_refused_and_the_others_stay(tmp_path, noisy, inspection):
    with open_images(path=tmp_path, quota_mb=0.01, **SMALL) as archive:
        archive.emit(inspection(1))
        with pytest.raises(OutputError, match=r"larger than the quota of 0.0 MB; raise quota_mb"):
            archive.emit(noisy(2))
    assert raw_sequences(tmp_path) == [1]


def test_pictures_go_by_age(tmp_path, inspection):
    with open_images(path=tmp_path, **SMALL) as archive:
        for sequence in (1, 2):
            archive.emit(inspection(sequence))
    two_days_ago = time.time() - 2 * 86_400
    os.utime(find_raw(tmp_path, 1), (two_days_ago, two_days_ago))
    with open_images(path=tmp_path, keep_days=1, **SMALL):
        assert raw_sequences(tmp_path) == [2]


def test_files_of_other_names_are_left_alone_and_half_pictures_removed(tmp_path, noisy):
    folder = tmp_path / "0000000"
    folder.mkdir()
    (tmp_path / "notes").mkdir()
    (folder / "notes.txt").write_bytes(b"x" * 200_000)
    (folder / f"0000000001_NG_raw.png{UNFINISHED_SUFFIX}").write_bytes(b"half")
    with open_images(path=tmp_path, quota_mb=0.03, **SMALL) as archive:
        for sequence in (2, 3):
            archive.emit(noisy(sequence))
    assert sorted(file.name for file in folder.iterdir()) == ["0000000003_NG_raw.png", "notes.txt"]


def test_memory_does_not_grow_with_the_pictures_that_stay(tmp_path, inspection):
    with open_images(path=tmp_path, keep_days=1, **SMALL) as archive:
        archive.emit(inspection(1))
        kept = blocks_kept(lambda: [archive.emit(inspection(sequence)) for sequence in range(1000, 1400)])
    assert len(raw_sequences(tmp_path)) == 401
    assert kept < 400


def test_a_thousand_that_somebody_else_deleted_leaves_its_room_to_others(tmp_path, noisy):
    with open_images(path=tmp_path, quota_mb=0.1, **SMALL) as archive:
        for sequence in (1, 2, 1001, 1002):
            archive.emit(noisy(sequence))
        shutil.rmtree(tmp_path / "0000000")
        for sequence in (1003, 1004, 1005):
            archive.emit(noisy(sequence))
        assert raw_sequences(tmp_path) == [1001, 1002, 1003, 1004, 1005][-len(raw_sequences(tmp_path)) :]
        assert len(raw_sequences(tmp_path)) >= 4


def test_a_picture_deleted_by_somebody_else_does_not_disturb(tmp_path, noisy):
    with open_images(path=tmp_path, quota_mb=0.05, **SMALL) as archive:
        archive.emit(noisy(1))
        find_raw(tmp_path, 1).unlink()
        for sequence in (2, 3, 4):
            archive.emit(noisy(sequence))
    assert raw_sequences(tmp_path) == [3, 4]


def test_a_picture_is_never_replaced(tmp_path, inspection, noisy):
    with open_images(station="a", path=tmp_path) as archive:
        archive.emit(inspection(1))
        before = find_raw(tmp_path, 1).read_bytes()
        with pytest.raises(OutputError, match="a picture of this sequence stands there already"):
            archive.emit(noisy(1))
    assert find_raw(tmp_path, 1).read_bytes() == before


def test_the_archive_goes_on_after_its_folder_was_deleted(tmp_path, inspection):
    folder = tmp_path / "pictures"
    with open_images(path=folder, **SMALL) as archive:
        archive.emit(inspection(1))
        shutil.rmtree(folder)
        archive.emit(inspection(2))
    assert raw_sequences(folder) == [2]


def test_a_second_writer_is_refused(tmp_path):
    with (
        open_images(path=tmp_path, **SMALL),
        pytest.raises(OutputError, match="another output or program records here"),
        open_images(path=tmp_path, **SMALL),
    ):
        pytest.fail("opened")


def test_a_file_where_the_folder_should_be_is_told(tmp_path):
    (tmp_path / "pictures").touch()
    with (
        pytest.raises(OutputError, match=r"the picture archive cannot be opened: File exists; a file stands where a folder is wanted"),
        open_images(path=tmp_path / "pictures", **SMALL),
    ):
        pytest.fail("opened")


def test_a_frame_that_the_format_cannot_hold_is_told(tmp_path, inspection):
    evidence = inspection().evidence
    frame = dataclasses.replace(evidence.frame, pixels=np.zeros((70_000, 1, 1), np.uint8))
    with (
        open_images(station="a", path=tmp_path, raw=False) as archive,
        pytest.raises(OutputError, match=r"the pictures of inspection 1 were not kept: .*is the frame too large"),
    ):
        archive.emit(inspection(1, evidence=dataclasses.replace(evidence, frame=frame)))


# what happens about a full disk, on a disk whose free room the test sets; tests/integration/test_full_disk.py fills a real one


class Disk:
    """Says how much is free; `gain` per file deleted."""

    def __init__(self) -> None:
        self.free = 100_000_000
        self.gain = 0

    def usage(self, folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=self.free + self.gain * (10 - len(raw_sequences(folder))))


@pytest.fixture
def disk(monkeypatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr("edge_inspect.outputs.retention.shutil.disk_usage", disk.usage)
    return disk


RESERVED = {"station": "a", "reserve_mb": 1, "annotated": False}


def test_the_ballast_takes_up_real_room(tmp_path, disk):
    with open_images(path=tmp_path, **RESERVED):
        assert (tmp_path / BALLAST_FILE).stat().st_blocks * 512 >= 1_000_000


def test_no_ballast_is_taken_where_it_would_eat_the_reserve(tmp_path, disk):
    disk.free = 1_900_000
    with open_images(path=tmp_path, **RESERVED):
        assert not (tmp_path / BALLAST_FILE).exists()


def test_pictures_go_before_the_disk_is_full(tmp_path, disk, inspection):
    with open_images(path=tmp_path, **RESERVED) as archive:
        for sequence in range(1, 9):
            archive.emit(inspection(sequence))
        disk.free, disk.gain = 500_000, 100_000
        archive.emit(inspection(9, verdict=Verdict.OK))
    assert raw_sequences(tmp_path) == [4, 5, 6, 7, 8]


def test_pictures_leave_the_reserve_to_the_other_records(tmp_path, disk, inspection):
    with open_images(path=tmp_path, **RESERVED) as archive:
        archive.emit(inspection(1))
        disk.free = 600_000
        with pytest.raises(OutputError, match=r"no picture is kept: 0.6 MB are free on this disk, 1.0 MB are reserved"):
            archive.emit(inspection(2))
        assert raw_sequences(tmp_path) == []
        assert (tmp_path / BALLAST_FILE).exists()
        disk.free = 100_000_000
        archive.emit(inspection(3))
    assert raw_sequences(tmp_path) == [3]


def test_the_ballast_is_given_up_on_a_full_disk_and_taken_again_later(tmp_path, disk, inspection, caplog):
    ballast = tmp_path / BALLAST_FILE
    with open_images(path=tmp_path, **RESERVED) as archive, caplog.at_level(logging.WARNING):
        disk.free = 100_000
        archive.emit(inspection(1, verdict=Verdict.OK))
        assert not ballast.exists()
        archive.emit(inspection(2, verdict=Verdict.OK))
        disk.free = 2_100_000
        archive.emit(inspection(3))
        assert ballast.stat().st_size == 1_000_000
    assert caplog.text.count("dropped 1000000 bytes of ballast") == 1


def fail_once(real: Callable[..., object], error: int) -> Callable[..., object]:
    left = [1]

    def call(*arguments: object, **keywords: object) -> object:
        if left:
            left.pop()
            raise OSError(error, os.strerror(error))
        return real(*arguments, **keywords)

    return call


def test_a_disk_that_is_full_nonetheless_gets_room_and_the_picture_is_kept(tmp_path, disk, noisy, monkeypatch):
    with open_images(path=tmp_path, **RESERVED) as archive:
        for sequence in (1, 2, 3):
            archive.emit(noisy(sequence))
        monkeypatch.setattr(os, "write", fail_once(os.write, errno.ENOSPC))
        archive.emit(noisy(4))
    assert raw_sequences(tmp_path) == [2, 3, 4]
    assert not (tmp_path / BALLAST_FILE).exists()


def test_both_pictures_are_kept_or_none(tmp_path, inspection, monkeypatch):
    syncs = fail_once(os.fsync, errno.EIO)
    with open_images(station="a", path=tmp_path, reserve_mb=0) as archive:
        archive.emit(inspection(1))
        monkeypatch.setattr("edge_inspect.outputs.images.sync_folder", lambda folder: syncs(os.open(folder, os.O_RDONLY)))
        with pytest.raises(OutputError, match=r"the pictures of inspection 2 were not kept: Input/output error; the disk is failing"):
            archive.emit(inspection(2))
    assert [name[:10] for name in pictures(tmp_path)] == ["0000000001", "0000000001"]
    assert list(tmp_path.rglob(f"*{UNFINISHED_SUFFIX}")) == []


def test_a_file_system_that_needs_room_to_delete_gets_the_ballast(tmp_path, disk, noisy, monkeypatch):
    with open_images(path=tmp_path, quota_mb=0.05, **RESERVED) as archive:
        for sequence in (1, 2):
            archive.emit(noisy(sequence))
        monkeypatch.setattr(Path, "unlink", fail_once(Path.unlink, errno.ENOSPC))
        archive.emit(noisy(3))
        assert raw_sequences(tmp_path) == [2, 3]


def test_a_picture_that_may_not_be_deleted_is_told_and_stays_counted(tmp_path, noisy, monkeypatch):
    with open_images(path=tmp_path, quota_mb=0.05, **SMALL) as archive:
        for sequence in (1, 2):
            archive.emit(noisy(sequence))
        monkeypatch.setattr(Path, "unlink", fail_once(Path.unlink, errno.EACCES))
        with pytest.raises(OutputError, match="Permission denied; give the station's user the right"):
            archive.emit(noisy(3))
        archive.emit(noisy(4))
    assert raw_sequences(tmp_path) == [2, 4]


def test_a_file_system_that_gives_no_ballast_is_told_once(tmp_path, disk, inspection, monkeypatch, caplog):
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with open_images(path=tmp_path, **RESERVED) as archive:
        for sequence in (1, 2):
            archive.emit(inspection(sequence))
    assert raw_sequences(tmp_path) == [1, 2]
    assert caplog.text.count("no ballast of 1000000 bytes: Operation not supported") == 1
