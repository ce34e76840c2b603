"""`edge-inspect run`: serve a station until SIGTERM; SIGHUP has it look at its thresholds."""

from __future__ import annotations

import argparse
import faulthandler
import signal
import threading
from pathlib import Path

NAME = "run"
HELP = "inspect parts as station.yaml says, until SIGTERM"
EXAMPLE = "edge-inspect run --station station.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Serve; 0 after SIGTERM or SIGINT.

    Raises:
        EdgeInspectError: the station cannot be opened.
    """
    from edge_inspect.station import open_station

    faulthandler.enable()  # systemd's watchdog ends a hung station with SIGABRT: the log then says where it hung
    stop, reread = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: reread.set())
    with open_station(arguments.station) as station:
        station.run(stop, reread=reread)
    return 0
