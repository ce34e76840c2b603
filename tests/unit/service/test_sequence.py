"""The station's count never repeats and never goes back."""

import errno
from pathlib import Path

import pytest

from edge_inspect.service.sequence import BLOCK, Sequence


def test_it_counts_from_one_and_goes_on_after_a_clean_stop(tmp_path):
    first = Sequence(tmp_path / "sequence")
    assert [first.next() for _ in range(3)] == [1, 2, 3]
    first.close()
    assert Sequence(tmp_path / "sequence").next() == 4


def test_after_a_kill_it_skips_what_may_have_been_used(tmp_path):
    killed = Sequence(tmp_path / "sequence")
    used = [killed.next() for _ in range(BLOCK + 5)]
    again = Sequence(tmp_path / "sequence").next()
    assert again > max(used)
    assert again == 2 * BLOCK + 1


def test_a_lost_count_goes_on_after_the_highest_number_in_the_records(tmp_path):
    assert Sequence(tmp_path / "sequence", recorded=41).next() == 42
    assert Sequence(tmp_path / "sequence", recorded=41).next() > 42


def test_a_disk_that_refuses_stops_no_count_and_is_told_until_it_is_over(tmp_path):
    folder = tmp_path / "gone"
    folder.write_text("a file where a folder should be")
    sequence = Sequence(tmp_path / "sequence")
    sequence._path = folder / "sequence"
    assert [sequence.next(), sequence.next()] == [1, 2]
    assert "cannot be written" in sequence.alarm
    folder.unlink()
    assert sequence.next() == 3
    assert sequence.alarm == ""


@pytest.mark.parametrize("content", [b"", b"twelve", b"\xff\xfe\x00", b"-4", b"9" * 40, b"12\n34"], ids=repr)
def test_a_spoiled_count_lies_aside_and_goes_on_beyond_everything_that_is_recorded(tmp_path, content):
    (tmp_path / "sequence").write_bytes(content)
    sequence = Sequence(tmp_path / "sequence", recorded=41)
    assert sequence.next() == 41 + BLOCK + 1
    [aside] = tmp_path.glob("sequence.damaged-*")
    assert aside.read_bytes() == content
    assert f"was damaged and lies aside as {aside.name}" in sequence.alarm
    aside.unlink()
    assert sequence.alarm == ""
    assert Sequence(tmp_path / "sequence").next() > 41 + BLOCK + 1


def test_a_folder_in_the_place_of_the_count_is_put_aside_like_a_spoiled_one(tmp_path):
    (tmp_path / "sequence").mkdir()
    assert Sequence(tmp_path / "sequence").next() == BLOCK + 1
    assert [path.is_dir() for path in tmp_path.glob("sequence.damaged-*")] == [True]


def test_a_spoiled_count_that_cannot_be_put_aside_is_told_and_counts_all_the_same(tmp_path, monkeypatch, caplog):
    (tmp_path / "sequence").write_text("twelve")
    monkeypatch.setattr(Path, "rename", refuse)
    assert Sequence(tmp_path / "sequence", recorded=7).next() == 7 + BLOCK + 1
    assert "nor be put aside: Read-only file system" in caplog.text


def test_a_count_that_cannot_be_given_back_skips_its_block_and_ends_nothing(tmp_path, caplog):
    sequence = Sequence(tmp_path / "sequence")
    sequence.next()
    sequence._path = tmp_path / "sequence" / "below a file"
    sequence.close()
    assert "cannot be written" in caplog.text
    assert Sequence(tmp_path / "sequence").next() == BLOCK + 1


def refuse(*_):
    raise OSError(errno.EROFS, "Read-only file system")
