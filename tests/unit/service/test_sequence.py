"""The station's count never repeats and never goes back."""

import pytest

from edge_inspect.errors import OutputError
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


def test_a_damaged_count_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "sequence").write_text("twelve")
    with pytest.raises(OutputError, match="write the last number used"):
        Sequence(tmp_path / "sequence")
