from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path

import pytest

from edge_inspect.config import PluginBlock
from edge_inspect.errors import ConfigError, OutputError
from edge_inspect.outputs.jsonl import CURRENT_FILE, open_jsonl
from edge_inspect.outputs.records import record_from_inspection
from edge_inspect.plugins import prepare
from edge_inspect.testing import check_output

from .conftest import blocks_kept


def sequences(*files: Path) -> list[int]:
    return [json.loads(line)["sequence"] for file in files for line in file.read_text("ascii").splitlines()]


def log_of(folder: Path) -> Path:
    return folder / CURRENT_FILE


def test_the_log_keeps_the_promise_of_an_output(tmp_path):
    check_output(lambda: open_jsonl(station="a", path=tmp_path), read_back=lambda: sequences(log_of(tmp_path)))


def test_the_log_opens_from_a_station_file(tmp_path):
    block = PluginBlock(kind="jsonl", path="log", rotate_mb=1, keep=2, fsync=True)
    with prepare("outputs", block, base=tmp_path, given={"station": "a"})():
        assert log_of(tmp_path / "log").exists()


@pytest.mark.parametrize("option", [{"rotate_mb": 0}, {"keep": -1}, {"station": "mine"}])
def test_a_wrong_option_is_a_configuration_error(tmp_path, option):
    with pytest.raises(ConfigError):
        prepare("outputs", PluginBlock(kind="jsonl", path="log", **option), base=tmp_path, given={"station": "a"})


def test_a_line_is_the_record_and_stands_in_the_file_when_emit_returns(tmp_path, inspection):
    with open_jsonl(station="a", path=tmp_path) as log:
        log.emit(inspection(5))
        assert json.loads(log_of(tmp_path).read_text()) == record_from_inspection(inspection(5), station="a")


def test_what_it_holds_it_knows_after_a_crash_and_forgets_when_the_line_has_gone_on(tmp_path, inspection):
    with open_jsonl(station="a", path=tmp_path) as log:
        log.emit(inspection(1))
        assert [log.holds(1), log.holds(2)] == [True, False]
        assert blocks_kept(lambda: [log.emit(inspection(sequence)) for sequence in range(1_000, 4_000)]) < 1_000
        assert [log.holds(1), log.holds(2), log.holds(3_999), log.holds(4_000)] == [True, False, True, False]


def test_the_log_can_be_read_by_the_group_and_not_by_others(tmp_path):
    with open_jsonl(station="a", path=tmp_path):
        assert stat.S_IMODE(log_of(tmp_path).stat().st_mode) & 0o037 == 0


@pytest.mark.parametrize("fsync", [False, True])
def test_a_full_file_is_put_aside_and_the_oldest_go(tmp_path, inspection, fsync):
    with open_jsonl(station="a", path=tmp_path, rotate_mb=0.001, keep=2, fsync=fsync) as log:
        for sequence in range(1, 6):
            log.emit(inspection(sequence))
    aside = sorted(tmp_path.glob("inspections-*.jsonl"))
    assert [file.name for file in aside] == ["inspections-000003.jsonl", "inspections-000004.jsonl"]
    assert sequences(*aside, log_of(tmp_path)) == [3, 4, 5]


def test_numbers_of_files_go_on_after_a_restart(tmp_path, inspection):
    for sequence in (1, 2, 3):
        with open_jsonl(station="a", path=tmp_path, rotate_mb=0.001) as log:
            log.emit(inspection(sequence))
    assert sequences(*sorted(tmp_path.glob("inspections-*.jsonl"))) == [1, 2]


def test_a_line_larger_than_the_limit_is_logged_all_the_same(tmp_path, inspection):
    with open_jsonl(station="a", path=tmp_path, rotate_mb=0.000001, keep=0) as log:
        log.emit(inspection(1))
        log.emit(inspection(2))
    assert sequences(log_of(tmp_path)) == [2]
    assert list(tmp_path.glob("inspections-*.jsonl")) == []


def test_files_of_other_names_are_left_alone(tmp_path, inspection):
    (tmp_path / "inspections-old.jsonl").write_text("mine\n")
    with open_jsonl(station="a", path=tmp_path, rotate_mb=0.001, keep=0) as log:
        log.emit(inspection(1))
        log.emit(inspection(2))
    assert (tmp_path / "inspections-old.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize("half", [b'{"sequence": 2', b"\0" * 200_000])
def test_a_half_line_left_by_a_power_cut_is_cut_off_and_told(tmp_path, inspection, caplog, half):
    with open_jsonl(station="a", path=tmp_path) as log:
        log.emit(inspection(1))
    with log_of(tmp_path).open("ab") as file:
        file.write(half)
    with caplog.at_level(logging.WARNING), open_jsonl(station="a", path=tmp_path) as log:
        log.emit(inspection(3))
    assert sequences(log_of(tmp_path)) == [1, 3]
    assert f"cut off {len(half)} bytes" in caplog.text


def test_a_file_of_nothing_but_a_half_line_begins_anew(tmp_path, inspection):
    log_of(tmp_path).write_bytes(b'{"seq')
    with open_jsonl(station="a", path=tmp_path) as log:
        log.emit(inspection(1))
    assert sequences(log_of(tmp_path)) == [1]


def test_a_whole_log_is_opened_without_a_warning(tmp_path, inspection, caplog):
    for sequence in (1, 2):
        with open_jsonl(station="a", path=tmp_path) as log:
            log.emit(inspection(sequence))
    assert caplog.text == ""
    assert sequences(log_of(tmp_path)) == [1, 2]


def test_logging_goes_on_after_the_folder_was_deleted(tmp_path, inspection):
    folder = tmp_path / "log"
    with open_jsonl(station="a", path=folder) as log:
        log.emit(inspection(1))
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        log.emit(inspection(2))
    assert sequences(log_of(folder)) == [2]


def test_logging_goes_on_in_a_new_file_after_another_program_moved_it(tmp_path, inspection):
    with open_jsonl(station="a", path=tmp_path) as log:
        log.emit(inspection(1))
        log_of(tmp_path).rename(tmp_path / "moved")
        log.emit(inspection(2))
    assert sequences(tmp_path / "moved") == [1]
    assert sequences(log_of(tmp_path)) == [2]


def test_a_folder_in_the_way_is_told_and_logging_goes_on_when_it_is_gone(tmp_path, inspection):
    with open_jsonl(station="a", path=tmp_path) as log:
        log_of(tmp_path).unlink()
        log_of(tmp_path).mkdir()
        with pytest.raises(OutputError, match=r"inspection 1 was not logged: Is a directory; a folder stands where a file is wanted"):
            log.emit(inspection(1))
        log_of(tmp_path).rmdir()
        log.emit(inspection(2))
    assert sequences(log_of(tmp_path)) == [2]


def test_a_file_where_the_folder_should_be_is_one_clear_sentence(tmp_path):
    (tmp_path / "log").write_text("")
    with (
        pytest.raises(OutputError, match=r"the log cannot be opened: File exists; a file stands where a folder is wanted"),
        open_jsonl(station="a", path=tmp_path / "log"),
    ):
        pytest.fail("opened")


def test_a_second_writer_is_refused(tmp_path):
    with (
        open_jsonl(station="a", path=tmp_path),
        pytest.raises(OutputError, match="another output or program records here"),
        open_jsonl(station="b", path=tmp_path),
    ):
        pytest.fail("opened")


def failing(error: int):
    def fail(*_arguments: object) -> None:
        raise OSError(error, os.strerror(error))

    return fail


def test_a_line_that_the_disk_did_not_confirm_is_taken_back(tmp_path, inspection, monkeypatch):
    with open_jsonl(station="a", path=tmp_path, fsync=True) as log:
        log.emit(inspection(1))
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", failing(5))
            with pytest.raises(OutputError, match="Input/output error; the disk is failing"):
                log.emit(inspection(2))
        assert sequences(log_of(tmp_path)) == [1]
        log.emit(inspection(3))
    assert sequences(log_of(tmp_path)) == [1, 3]


def test_a_failed_line_that_could_not_be_taken_back_at_once_is_taken_back_later(tmp_path, inspection, monkeypatch):
    with open_jsonl(station="a", path=tmp_path, fsync=True) as log:
        log.emit(inspection(1))
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", failing(5))
            broken.setattr(os, "ftruncate", failing(30))
            with pytest.raises(OutputError):
                log.emit(inspection(2))
            with pytest.raises(OutputError, match="mounted read-only"):
                log.emit(inspection(3))
        log.emit(inspection(4))
    assert sequences(log_of(tmp_path)) == [1, 4]


def test_an_unknown_error_still_says_what_to_do(tmp_path, inspection, monkeypatch):
    def fail(*_arguments: object) -> None:
        raise OSError("odd")

    with open_jsonl(station="a", path=tmp_path) as log:
        monkeypatch.setattr(os, "write", fail)
        with pytest.raises(OutputError, match="odd; check the path and the disk"):
            log.emit(inspection(1))
        monkeypatch.undo()


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", failing(37))
    with pytest.raises(OutputError, match="No locks available"), open_jsonl(station="a", path=tmp_path):
        pytest.fail("opened")
