"""What systemd hears, read from a real notify socket that the test owns."""

from __future__ import annotations

import os
import socket
import time
import uuid

import pytest

from edge_inspect.service.live import open_status
from edge_inspect.service.systemd import LONGEST_LINE, Systemd, systemd_from_environment

from .test_live import inspection


class Listener:
    """systemd's end of the socket."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self):
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path):
    listening = Listener(str(tmp_path / "notify") if request.param == "path" else f"@edge-inspect-{uuid.uuid4()}")
    with listening.socket:
        yield listening


def test_ready_stopping_and_reloading_are_told_with_a_line(listener):
    systemd = Systemd(listener.address)
    systemd.ready("all is up")
    systemd.reloading("new thresholds")
    systemd.stopping("the last part")
    ready, reloading, stopping = listener.heard()
    assert ready == "READY=1\nSTATUS=all is up"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert abs(int(reloading.split("\n")[1].split("=")[1]) - time.monotonic_ns() // 1000) < 60_000_000
    assert reloading.endswith("\nSTATUS=new thresholds")
    assert stopping == "STOPPING=1\nSTATUS=the last part"


def test_a_line_is_told_once_and_is_one_line_whatever_an_alarm_says(listener):
    systemd = Systemd(listener.address)
    for _ in range(3):
        systemd.say("away\nREADY=1\ttoo")
    systemd.say("x" * 1000)
    first, long = listener.heard()
    assert first == "STATUS=away READY=1 too"
    assert len(long) == len("STATUS=") + LONGEST_LINE


def test_the_watchdog_is_fed_by_beats_at_a_quarter_of_its_time(listener):
    systemd = Systemd(listener.address, watchdog_s=1000.0)
    systemd.ready("")
    listener.heard()
    systemd.beat()
    systemd.beat()
    assert listener.heard() == ["WATCHDOG=1"]
    systemd._fed_s -= 249
    systemd.beat()
    assert listener.heard() == []
    systemd._fed_s -= 2
    systemd.beat()
    assert listener.heard() == ["WATCHDOG=1"]


def test_without_beats_nothing_feeds_the_watchdog(listener):
    systemd = Systemd(listener.address, watchdog_s=0.001)
    systemd.ready("")
    listener.heard()
    time.sleep(0.05)
    systemd.say("still here")
    assert listener.heard() == ["STATUS=still here"]


def test_a_station_that_is_not_ready_yet_asks_for_more_time_and_feeds_nothing(listener):
    systemd = Systemd(listener.address, watchdog_s=10)
    systemd.beat()
    assert listener.heard() == ["EXTEND_TIMEOUT_USEC=30000000"]


def test_ready_is_told_later_where_systemd_could_not_take_it(tmp_path):
    systemd = Systemd(str(tmp_path / "notify"))
    systemd.ready("up")
    systemd.beat()
    with (listener := Listener(str(tmp_path / "notify"))).socket:
        systemd._fed_s = time.monotonic()
        systemd.beat()
        assert listener.heard() == ["READY=1\nSTATUS=up"]


def test_a_systemd_that_does_not_read_holds_nothing_up(listener):
    systemd = Systemd(listener.address)
    started = time.monotonic()
    for number in range(10_000):
        systemd.say(str(number))
    systemd.stopping("")
    assert time.monotonic() - started < 60  # a blocking send would stay here for ever
    assert len(listener.heard()) < 10_000


@pytest.mark.parametrize(
    ("watchdog", "fed"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "1000"}, True),
        ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
    ],
)
def test_the_watchdog_is_fed_only_where_one_watches_this_process(listener, watchdog, fed):
    environment = {"NOTIFY_SOCKET": listener.address, "PATH": "/bin", **watchdog}
    systemd = systemd_from_environment(environment)
    assert environment == {"PATH": "/bin"}
    systemd.ready("")
    systemd.beat()
    assert ("WATCHDOG=1" in listener.heard()) is fed


def test_the_status_tells_systemd_states_counts_the_last_part_and_alarms(tmp_path, listener, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", listener.address)
    status = open_status(tmp_path, station="cell-3")
    status.state("starting")
    status.state("ready")
    status.note(inspection(7))
    status.alarm("camera", "away")
    status._written_s -= 1
    status.beat()
    status.state("stopping")
    status.state("stopped")
    heard = listener.heard()
    assert heard[0] == "STATUS=starting; no alarms; 0 parts: 0 OK, 0 NG, 0 FAULT"
    assert heard[1] == "READY=1\nSTATUS=ready; no alarms; 0 parts: 0 OK, 0 NG, 0 FAULT"
    assert "STATUS=ready; ALARM camera: away; 1 parts: 1 OK, 0 NG, 0 FAULT; last part 7 OK: because" in heard
    assert heard[-2].startswith("STOPPING=1\nSTATUS=stopping; ")
    assert heard[-1].startswith("STATUS=stopped; ")
