"""The history: nothing in force without an entry, nothing edited without being noticed, everything can be taken back."""

from __future__ import annotations

import errno
import json
import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.errors import ConfigError
from edge_inspect.login import who
from edge_inspect.thresholds import load_thresholds, save_thresholds
from edge_inspect.thresholds.frames import CALIBRATIONS, frames_path
from edge_inspect.thresholds.history import (
    Change,
    complaint,
    differences,
    find_entry,
    history_path,
    put_in_force,
    read_history,
    roll_back,
)

from .test_record import ENGINE, MADE, RECIPE

CALIBRATED = Change(action="calibrated", by="anna", reason="new light", good_frames=("a" * 64,))


def made(threshold):
    return MADE.model_copy(update={"image_threshold": threshold})


class PowerCut(BaseException):
    """Nothing in the program runs on after it, as after kill -9."""


@contextmanager
def cut_after(monkeypatch, files):
    """Power fails once so many files have been replaced."""
    replace, done = Path.replace, iter(range(files))

    def replaced(self, target):
        if next(done, None) is None:
            raise PowerCut
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replaced)
        yield


@pytest.fixture
def path(tmp_path):
    """`thresholds.json` with three entries behind it."""
    path = tmp_path / "cell" / "thresholds.json"
    for threshold in (5.0, 6.0, 7.0):
        put_in_force(path, made(threshold), CALIBRATED)
    return path


def in_force(path):
    return load_thresholds(path, engine_sha256=ENGINE, recipe_sha256=RECIPE)


def test_every_change_is_an_entry_with_who_when_why_and_from_what(path):
    entries = read_history(path)
    assert [(entry.number, entry.thresholds.image_threshold) for entry in entries] == [(1, 5.0), (2, 6.0), (3, 7.0)]
    assert entries[2].change == CALIBRATED
    assert entries[0].at <= entries[1].at <= entries[2].at
    assert in_force(path) == made(7.0)
    assert complaint(path, entries) == ""
    assert sorted(file.name for file in path.parent.iterdir()) == ["thresholds-history.jsonl", "thresholds.json"]


def test_every_line_is_json_that_another_program_reads(path):
    lines = [json.loads(line) for line in history_path(path).read_text().splitlines()]
    assert [line["entry"]["previous"] for line in lines[1:]] == [line["sha256"] for line in lines[:-1]]
    assert lines[0]["entry"]["previous"] == ""


def test_a_rollback_gives_the_old_thresholds_their_old_id_and_is_an_entry_itself(path):
    first = read_history(path)[0]
    roll_back(path, first, by="ben", reason="too many rejects")
    entries = read_history(path)
    assert in_force(path) == made(5.0)
    assert in_force(path).calibration_id == first.thresholds.calibration_id
    assert (entries[3].change.action, entries[3].change.by, entries[3].change.reason) == ("rolled back", "ben", "to #1: too many rejects")
    assert find_entry(entries, first.thresholds.calibration_id).number == 4


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_byte_of_the_history_can_be_changed_unnoticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("part") / "thresholds.json"
    for threshold in (5.0, 6.0):
        put_in_force(path, made(threshold), CALIBRATED)
    content = bytearray(history_path(path).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    history_path(path).write_bytes(bytes(content))
    with pytest.raises(ConfigError, match="not as it was written"):
        read_history(path)
    with pytest.raises(ConfigError, match="not as it was written"):
        put_in_force(path, made(8.0), CALIBRATED)
    assert in_force(path) == made(6.0)


@pytest.mark.parametrize(("kept", "line"), [((1, 2), 1), ((0, 2), 2), ((1, 0, 2), 1), ((0, 1, 1, 2), 3)])
def test_an_entry_taken_out_moved_or_doubled_is_noticed_by_its_line(path, kept, line):
    lines = history_path(path).read_bytes().splitlines(keepends=True)
    history_path(path).write_bytes(b"".join(lines[index] for index in kept))
    with pytest.raises(ConfigError, match=rf"thresholds-history\.jsonl:{line}: .* does not follow the line before it; find out who"):
        read_history(path)


def test_a_tail_that_was_cut_off_is_noticed_by_what_stands_in_force(path):
    lines = history_path(path).read_bytes().splitlines(keepends=True)
    history_path(path).write_bytes(b"".join(lines[:2]))
    entries = read_history(path)
    assert "is not the last entry of its history (#2" in complaint(path, entries)


def test_thresholds_edited_by_hand_are_told_and_kept_as_an_entry_when_the_next_ones_come(path):
    save_thresholds(path, made(99.0))
    assert "edited by hand" in complaint(path, read_history(path))
    put_in_force(path, made(8.0), CALIBRATED)
    entries = read_history(path)
    assert [(entry.change.action, entry.thresholds.image_threshold) for entry in entries[3:]] == [("found", 99.0), ("calibrated", 8.0)]
    assert complaint(path, entries) == ""


def test_thresholds_of_before_there_was_a_history_can_be_taken_back(tmp_path):
    path = tmp_path / "thresholds.json"
    save_thresholds(path, made(4.0))
    put_in_force(path, made(5.0), CALIBRATED)
    entries = read_history(path)
    assert [(entry.change.action, entry.change.reason) for entry in entries] == [
        ("found", "stood there without an entry"),
        ("calibrated", "new light"),
    ]
    roll_back(path, entries[0], by="ben", reason="was better")
    assert in_force(path) == made(4.0)


def test_a_disk_that_is_full_leaves_what_was_in_force_with_its_entry(path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"history\.jsonl: cannot be written: No space left on device"):
        put_in_force(path, made(8.0), CALIBRATED)
    monkeypatch.undo()
    assert in_force(path) == made(7.0)
    assert len(read_history(path)) == 3


def test_a_power_cut_between_history_and_thresholds_is_told_and_loses_nothing(path, monkeypatch):
    with cut_after(monkeypatch, 1), pytest.raises(PowerCut):
        put_in_force(path, made(8.0), CALIBRATED)
    assert in_force(path) == made(7.0)
    assert "power failed between the two" in complaint(path, read_history(path))
    put_in_force(path, made(8.0), CALIBRATED)
    assert [entry.thresholds.image_threshold for entry in read_history(path)][3:] == [8.0, 7.0, 8.0]


@pytest.mark.parametrize("failing", range(1, 7))
def test_a_disk_that_fails_at_any_step_leaves_every_file_as_it_was(path, monkeypatch, failing):
    beside, new = path.with_name("acceptance.json"), path.with_name("calibration-frames-new.npz")
    beside.write_text("old")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    steps = iter(range(1, 100))

    def full(descriptor):
        if next(steps) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # four files, then their names in the folder, one after the other
    with pytest.raises(ConfigError, match="No space left on device"):
        put_in_force(path, made(8.0), CALIBRATED, beside=lambda _: {new: b"frames", beside: b"new"})
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_what_is_written_beside_is_written_first_and_is_told_what_stood_there(path, monkeypatch):
    told = []

    def beside(stands):
        told.append(stands)
        return {path.with_name("acceptance.json"): b"for both"}

    with cut_after(monkeypatch, 1), pytest.raises(PowerCut):
        put_in_force(path, made(8.0), CALIBRATED, beside=beside)
    assert told == [made(7.0)]
    assert path.with_name("acceptance.json").read_bytes() == b"for both"
    assert complaint(path, read_history(path)) == ""


def test_frames_stay_of_the_newest_calibrations_and_of_one_that_is_rolled_back_to(path):
    first = read_history(path)[0].thresholds
    for threshold in (5.0, 6.0, 7.0):
        frames_path(path, made(threshold)).write_bytes(b"frames")
    roll_back(path, read_history(path)[0], by="ben", reason="was better")
    for threshold in range(10, 10 + CALIBRATIONS - 1):
        put_in_force(path, made(threshold), CALIBRATED)
    assert [file.name for file in path.parent.glob("*.npz")] == [frames_path(path, first).name]


def test_calibrations_at_once_wait_for_each_other(path):
    threads = [threading.Thread(target=put_in_force, args=(path, made(10.0 + n), CALIBRATED)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    entries = read_history(path)
    assert len(entries) == 11
    assert complaint(path, entries) == ""


def test_two_entries_differ_in_what_differs(path):
    one, other = read_history(path)[:2]
    assert differences(one, other) == {"image_threshold": (5.0, 6.0)}


@pytest.mark.parametrize("name", ["2", "#2"])
def test_an_entry_is_found_by_its_number(path, name):
    assert find_entry(read_history(path), name).number == 2


def test_an_entry_is_found_by_the_beginning_of_its_id_and_an_unknown_one_lists_what_there_is(path):
    entries = read_history(path)
    assert find_entry(entries, entries[1].thresholds.calibration_id[:6]).number == 2
    with pytest.raises(ConfigError, match=r"'zzzz' names no entry of the history, which has #1 \w{12}, #2"):
        find_entry(entries, "zzzz")
    with pytest.raises(ConfigError, match="which has nothing"):
        find_entry((), "1")


def test_a_reason_is_not_empty():
    with pytest.raises(ValueError, match="at least 1 character"):
        Change(action="calibrated", by="anna", reason="")


def test_who_is_the_login_and_behind_sudo_the_one_who_called_it(monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    name = who()
    assert name
    monkeypatch.setenv("SUDO_USER", "anna")
    assert who() == f"anna (as {name})"
