"""What journald reads of the log."""

from __future__ import annotations

import io
import logging
import os

import pytest

from edge_inspect.cli import main as command
from edge_inspect.service.journal import JournalFormatter, is_journal, with_priority


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2), (35, 4)],
)
def test_each_line_carries_its_level(level, priority):
    record = logging.LogRecord("station", level, "", 0, "one\ntwo", None, None)
    assert JournalFormatter("%(message)s").format(record) == f"<{priority}>one\n<{priority}>two"


def test_a_stream_goes_to_the_journal_only_where_systemd_says_so(tmp_path):
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not is_journal(stream, {"JOURNAL_STREAM": "1:1"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:1"})
    assert with_priority("a", logging.ERROR) == "<3>a"


def test_the_command_line_writes_levels_to_the_journal_and_none_to_a_terminal(tmp_path, capsys, monkeypatch):
    words = ["check", "--station", str(tmp_path / "none.yaml")]
    assert command.main(words) == 78
    assert capsys.readouterr().err.startswith("edge-inspect: ")
    monkeypatch.setattr(command, "is_journal", lambda stream: True)
    assert command.main(words) == 78
    assert capsys.readouterr().err.startswith("<3>edge-inspect: ")
