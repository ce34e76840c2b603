"""What journald reads of the log."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import struct
import sys
from pathlib import Path

import pytest

from edge_inspect.cli import main as command
from edge_inspect.events import Event, fields
from edge_inspect.service.journal import JournalFormatter, JournalHandler, datagram, is_journal, with_priority


@pytest.fixture
def journal(tmp_path):
    """A socket where journald's would be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.bind(str(tmp_path / "socket"))
        wire.settimeout(30)
        yield wire


def read(content):
    """A datagram as journald reads it."""
    found = {}
    while content:
        name, _, content = content.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
        else:
            key, (size,) = name, struct.unpack("<Q", content[:8])
            value, content = content[8 : 8 + size], content[9 + size :]
        found[key.decode()] = value.decode()
    return found


def test_a_record_goes_to_the_journal_with_its_event_and_fields(tmp_path, journal):
    handler = JournalHandler(sys.stderr, address=tmp_path / "socket")
    record = logging.LogRecord("edge_inspect.station.delivery", logging.WARNING, "", 0, "part %d FAULT:\nno frame", (7,), None)
    vars(record).update(fields(Event.PART_FAULT, part=7, verdict="FAULT"))
    handler.handle(record)
    handler.close()
    assert read(journal.recv(65536)) == {
        "MESSAGE": "station.delivery: part 7 FAULT:\nno frame",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edge-inspect",
        "LOGGER": "edge_inspect.station.delivery",
        "MESSAGE_ID": Event.PART_FAULT.value,
        "PART": "7",
        "VERDICT": "FAULT",
    }


def test_a_trace_too_long_for_a_datagram_is_cut(tmp_path, journal):
    handler = JournalHandler(sys.stderr, address=tmp_path / "socket")
    handler.handle(logging.LogRecord("a", logging.ERROR, "", 0, "x" * 10**6, None, None))
    handler.close()
    assert len(read(journal.recv(1 << 20))["MESSAGE"]) == 48_000


def test_without_a_journal_the_record_goes_to_the_stream_with_its_level(tmp_path):
    stream = io.StringIO()
    handler = JournalHandler(stream, address=tmp_path / "none")
    handler.handle(logging.LogRecord("a", logging.ERROR, "", 0, "no journal", None, None))
    handler.close()
    assert stream.getvalue() == "<3>ERROR a: no journal\n"


def test_ids_are_what_the_journal_takes_and_are_on_the_page_and_in_the_catalogue():
    root = Path(__file__).parents[3]
    page, catalogue = ((root / file).read_text() for file in ("docs/service.md", "systemd/edge-inspect.catalog"))
    assert len({event.value for event in Event}) == len(Event)
    for event in Event:
        assert re.fullmatch("[0-9a-f]{32}", event.value)
        assert f"`{event.value}`" in page, event
        assert f"-- {event.value}\n" in catalogue, event


def test_no_value_can_add_a_field():
    assert read(datagram({"MESSAGE": "a\nPRIORITY=0", "PART": "1"})) == {"MESSAGE": "a\nPRIORITY=0", "PART": "1"}


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
