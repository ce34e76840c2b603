"""`edge-inspect run`: serve a station until SIGTERM; SIGHUP has it look at its thresholds."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "run"
HELP = "inspect parts as station.yaml says, until SIGTERM"
LONGEST_WAIT_S = 0.5
"""What a part in flight still waits for its frame after SIGTERM [s]; the end in all has `ending.WITHIN_S`."""

EXAMPLE = "edge-inspect run --station station.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Serve; 0 after SIGTERM or SIGINT, within a time also where something hangs.

    Raises:
        EdgeInspectError: the station cannot be opened.
    """
    from edge_inspect.service.ending import EndInTime, end
    from edge_inspect.station import open_station

    faulthandler.enable()  # systemd's watchdog ends a hung station with SIGABRT: the log then says where it hung
    stop, reread = threading.Event(), threading.Event()

    def stop_soon(*_: object) -> None:
        stop.set()
        signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT_S)

    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_soon)
    signal.signal(signal.SIGHUP, lambda *_: reread.set())
    try:
        with EndInTime(stop) as in_time, open_station(arguments.station) as station:
            in_time.fail_safe = station.fail_safe
            signal.signal(signal.SIGALRM, lambda *_: station.wait_no_longer())
            with uncollected():
                station.run(stop, reread=reread)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # Python gives signals back their default at its end, which for this one is death
    return end(0)


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave what stands now out of every later garbage collection, and give back what the start has freed.

    A full one over what is imported and opened holds every thread for some 50 ms; it is rare, and would be one part's deadline.
    """
    from edge_inspect.freed_memory import give_back_freed_memory

    gc.collect()
    give_back_freed_memory()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
