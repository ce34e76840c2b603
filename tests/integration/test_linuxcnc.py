"""A cell by a controller nobody here wrote: a ladder in LinuxCNC's ClassicLadder, mb2hal (libmodbus) as its way to the station.

The ladder triggers as often as it may, acknowledges, counts verdicts, and switches a coil on when no answer comes within half a second.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_inspect.datatypes import Inspection, Latency, RequestKind, Verdict
from edge_inspect.plc.modbus import ModbusPlc, open_modbus
from tests.integration.conftest import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("halrun") is None or shutil.which("mb2hal") is None, reason="LinuxCNC is not installed (apt install linuxcnc-uspace)"
)
WITHIN_S = 60.0
PARTS = 30
NOBODY = "65534"

# ---- the ladder, in the files of ClassicLadder: cells `element-link to the row above-variable kind/number` ----

INPUT, OUTPUT, BIT = 50, 60, 0
READY, ACKED, VALID, CODE_1, CODE_2 = [(INPUT, number) for number in range(5)]
ENABLE, TRIGGER, BUFFER, ACK, SILENT, GOOD, BAD, NOT_INSPECTED = [(OUTPUT, number) for number in range(8)]
WAITING = (BIT, 0)
WIRE, EMPTY, COLUMNS, ROWS = "9-0-0/0", "0-0-0/0", 10, 6
Variable = tuple[int, int]


def on(variable: Variable) -> str:
    return "1-0-{}/{}".format(*variable)


def off(variable: Variable) -> str:
    return "2-0-{}/{}".format(*variable)


def coil(variable: Variable) -> str:
    return "50-0-{}/{}".format(*variable)


def latch(variable: Variable) -> str:
    return "52-0-{}/{}".format(*variable)


def unlatch(variable: Variable) -> str:
    return "53-0-{}/{}".format(*variable)


def row(*contacts: str, then: str) -> list[str]:
    return [*contacts, *[WIRE] * (COLUMNS - 1 - len(contacts)), then]


RUNGS = [
    [row(then=coil(ENABLE))],
    [row(then=coil(BUFFER))],
    [row(on(READY), off(VALID), off(ACK), off(WAITING), then=latch(TRIGGER))],
    [row(on(TRIGGER), then=latch(WAITING))],
    [row(on(ACKED), then=unlatch(TRIGGER))],
    [row(on(VALID), off(ACK), on(CODE_1), off(CODE_2), then=coil(GOOD))],
    [row(on(VALID), off(ACK), off(CODE_1), on(CODE_2), then=coil(BAD))],
    [row(on(VALID), off(ACK), on(CODE_1), on(CODE_2), then=coil(NOT_INSPECTED))],
    [row(on(VALID), then=latch(ACK))],
    [row(off(VALID), on(ACK), then=unlatch(WAITING))],
    [row(off(VALID), then=unlatch(ACK))],
    # a timer of half a second takes two columns and two rows
    [row(on(WAITING), "99-0-0/0", "10-0-0/0", then=latch(SILENT)), [EMPTY, "99-1-0/0", "99-0-0/0", *[EMPTY] * 7]],
    [row(off(WAITING), then=unlatch(SILENT))],
]


def ladder() -> str:
    parts = ["_FILES_CLASSICLADDER"]
    for number, rows in enumerate(RUNGS, start=1):
        following = number + 1 if number < len(RUNGS) else -1
        cells = [*rows, *[[EMPTY] * COLUMNS] * (ROWS - len(rows))]
        head = ["#VER=2.0", "#LABEL=", "#COMMENT=", f"#PREVRUNG={number - 1 or -1}", f"#NEXTRUNG={following}"]
        parts += [f"_FILE-rung_{number}.csv", *head, *(" , ".join(row) for row in cells), f"_/FILE-rung_{number}.csv"]
    parts += ["_FILE-timers.csv", "2,5", *["1,0"] * 9, "_/FILE-timers.csv"]
    sections = ["#VER=1.0", "#NAME000=Cell", f"000,0,-1,1,{len(RUNGS)},0"]
    parts += ["_FILE-sections.csv", *sections, "_/FILE-sections.csv", "_/FILES_CLASSICLADDER"]
    return "\n".join(parts) + "\n"


def mb2hal(port: int) -> str:
    link = (
        f"LINK_TYPE=tcp\nTCP_IP=127.0.0.1\nTCP_PORT={port}\nMB_SLAVE_ID=1\nMAX_UPDATE_RATE=200.0\n"
        "MB_RESPONSE_TIMEOUT_MS=1000\nMB_BYTE_TIMEOUT_MS=1000\nDEBUG=0\n"
    )
    return (
        "[MB2HAL_INIT]\nINIT_DEBUG=0\nVERSION=1.1\nHAL_MODULE_NAME=mb2hal\nSLOWDOWN=0.0\nTOTAL_TRANSACTIONS=2\n"
        f"[TRANSACTION_00]\n{link}MB_TX_CODE=fnct_01_read_coils\nFIRST_ELEMENT=1600\nNELEMENTS=98\nHAL_TX_NAME=status\n"
        f"[TRANSACTION_01]\n{link}MB_TX_CODE=fnct_15_write_multiple_coils\nFIRST_ELEMENT=0\nNELEMENTS=8\nHAL_TX_NAME=control\n"
    )


MB2HAL = """loadusr -W mb2hal config=mb2hal.ini
net ready mb2hal.status.00.bit => classicladder.0.in-00
net acked mb2hal.status.01.bit => classicladder.0.in-01
net valid mb2hal.status.11.bit => classicladder.0.in-02
net code-1 mb2hal.status.96.bit => classicladder.0.in-03
net code-2 mb2hal.status.97.bit => classicladder.0.in-04
net enable classicladder.0.out-00 => mb2hal.control.00.bit
net trigger classicladder.0.out-01 => mb2hal.control.01.bit
net buffer classicladder.0.out-02 => mb2hal.control.02.bit
net ack classicladder.0.out-03 => mb2hal.control.03.bit
"""
HAL = f"""loadrt threads name1=servo period1=2000000
loadrt classicladder_rt
loadrt updown count=3
loadusr -w classicladder --nogui cell.clp
addf classicladder.0.refresh servo
addf updown.0 servo
addf updown.1 servo
addf updown.2 servo
{MB2HAL}net good classicladder.0.out-05 => updown.0.countup
net bad classicladder.0.out-06 => updown.1.countup
net not-inspected classicladder.0.out-07 => updown.2.countup
start
loadusr -w sleep 600
"""


AGAIN = f"unloadusr mb2hal\n{MB2HAL}"
"""What brings mb2hal back to a station that was away: it does not connect a second time by itself."""


class Cell:
    """The controller's processes, and what its HAL says."""

    def __init__(self, folder: Path, port: int, sockets: Path) -> None:
        for name, content in (("cell.clp", ladder()), ("mb2hal.ini", mb2hal(port)), ("cell.hal", HAL), ("again.hal", AGAIN)):
            (folder / name).write_text(content, encoding="ascii")
        self._where = {"cwd": folder, "env": os.environ | {"RTAPI_UID": NOBODY, "RTAPI_FIFO_PATH": str(sockets / "rtapi")}}
        self._log = (folder / "halrun.log").open("w")
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            ["halrun", "-f", "cell.hal"], stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True, **self._where
        )

    def counts(self) -> tuple[int, int, int]:
        good, bad, not_inspected = (int(self._get(f"updown.{number}.count")) for number in range(3))
        return good, bad, not_inspected

    def is_silent(self) -> bool:
        return self._get("classicladder.0.out-04") == "TRUE"

    def errors(self) -> int:
        """Requests of mb2hal that failed since the last one that did not; a station that is away shows here."""
        return int(self._get("mb2hal.status.num_errors"))

    def load_mb2hal_again(self) -> None:
        words = ["halcmd", "-f", "again.hal"]
        subprocess.run(words, stdout=self._log, stderr=subprocess.STDOUT, timeout=WITHIN_S, check=True, **self._where)  # type: ignore[call-overload]

    def is_there(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()
        return self._get("updown.2.count") != ""

    def close(self) -> None:
        subprocess.run(["halrun", "-U"], capture_output=True, timeout=WITHIN_S, check=False, **self._where)  # type: ignore[call-overload]
        os.killpg(self._process.pid, signal.SIGTERM)  # halrun is a shell, and its halcmd waits for the sleep
        self._process.wait(WITHIN_S)
        self._log.close()

    def _get(self, pin: str) -> str:
        said = subprocess.run(["halcmd", "getp", pin], capture_output=True, text=True, timeout=WITHIN_S, check=False, **self._where)  # type: ignore[call-overload]
        return said.stdout.strip() if said.returncode == 0 else ""


@contextmanager
def cell(folder: Path, port: int) -> Iterator[Cell]:
    with tempfile.TemporaryDirectory(prefix="hal", dir="/tmp") as sockets:  # a path that LinuxCNC's unprivileged half may enter
        Path(sockets).chmod(0o777)
        controller = Cell(folder, port, Path(sockets))
        try:
            yield controller
        finally:
            controller.close()


# ---- the station ----


def verdict_of(acquisition: int) -> Verdict:
    return Verdict.FAULT if acquisition % 7 == 0 else Verdict.NG if acquisition % 3 == 0 else Verdict.OK


def inspection_of(acquisition: int) -> Inspection:
    inspected = verdict_of(acquisition) is not Verdict.FAULT
    return Inspection(
        sequence=acquisition,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=verdict_of(acquisition),
        reason="by rule",
        score=1.0 if inspected else None,
        threshold=2.0 if inspected else None,
        regions=(),
        recipe="rule",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )


@contextmanager
def station(port: int, parts: int) -> Iterator[tuple[ModbusPlc, Counter[Verdict]]]:
    """Inspects so many parts, is not ready then, and answers nothing any more."""
    made: Counter[Verdict] = Counter()
    stop = threading.Event()
    with open_modbus(deadline_ms=60_000, port=port) as plc:

        def work() -> None:
            plc.ready(True)
            while not stop.is_set():
                request = plc.poll(0.05)
                if request is None or request.kind is not RequestKind.TRIGGER or made.total() == parts:
                    continue
                made[verdict_of(request.acquisition)] += 1
                plc.ready(made.total() < parts)
                plc.emit(inspection_of(request.acquisition))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield plc, made
        finally:
            stop.set()
            thread.join()


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.05)


@pytest.mark.slow
def test_the_ladder_counts_what_the_station_has_said_and_notices_its_silence(tmp_path: Path) -> None:
    port = free_port()
    with station(port, PARTS) as (plc, made), cell(tmp_path, port) as controller:
        eventually(controller.is_there)
        eventually(lambda: plc.counters.delivered == PARTS)
        eventually(lambda: sum(controller.counts()) == PARTS)
        first = told(made)
        assert first == (17, 9, 4)
        assert controller.counts() == first
        assert not controller.is_silent()
        assert (plc.counters.missed, plc.counters.overrun) == (0, 0)

        plc.ready(True)  # one more part is triggered, and the station does not answer
        eventually(lambda: plc.counters.triggers == PARTS + 1)
        eventually(controller.is_silent)
        assert controller.counts() == first
        plc.ready(False)
        plc.emit(inspection_of(PARTS + 1))
        eventually(lambda: not controller.is_silent())
        eventually(lambda: sum(controller.counts()) == PARTS + 1)
        assert controller.counts() == (18, 9, 4)


@pytest.mark.slow
def test_a_station_that_was_away_shows_in_the_errors_and_is_found_again_when_mb2hal_is_loaded_again(tmp_path: Path) -> None:
    port = free_port()
    with cell(tmp_path, port) as controller:
        with station(port, PARTS) as (plc, first):
            eventually(controller.is_there)
            eventually(lambda: plc.counters.delivered == PARTS)
            eventually(lambda: controller.counts() == told(first))
            assert controller.errors() == 0
        eventually(lambda: controller.errors() > 10)
        with station(port, PARTS) as (plc, second):
            controller.load_mb2hal_again()
            eventually(lambda: plc.counters.delivered == PARTS)
            assert told(second) == told(first)
            eventually(lambda: controller.counts() == tuple(2 * count for count in told(first)))
            assert controller.errors() == 0
            assert not controller.is_silent()


def told(made: Counter[Verdict]) -> tuple[int, int, int]:
    return made[Verdict.OK], made[Verdict.NG], made[Verdict.FAULT]
