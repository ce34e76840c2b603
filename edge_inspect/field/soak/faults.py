"""What breaks in a soak, and when: one thing after the other, at instants that no part knows."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from edge_inspect.field.soak.process import StationProcess
from edge_inspect.field.soak.setting import Setting
from edge_inspect.thresholds import Thresholds, read_thresholds
from edge_inspect.thresholds.history import Change, put_in_force

log = logging.getLogger(__name__)

_CHANGE = Change(action="calibrated", by="soak", reason="a takeover under load")
DISK_FULL_S = 3.0
_BLOCK = b"\0" * 1_000_000


class Rig:
    """The station, and how its PLC behaves now.

    Attributes:
        manner: what the PLC does wrong now, "" nothing; read by the drive before each part.
        job: the job that the PLC is to ask for, once; None none.
        up: cleared while the station is dead.
    """

    def __init__(self, setting: Setting, station: StationProcess) -> None:
        self.setting, self.station = setting, station
        self.manner = ""
        self.job: int | None = None
        self.up = threading.Event()
        self.up.set()
        self.kills = 0
        self._asked_jobs = 0
        self._lower = read_thresholds(setting.thresholds[0])

    def fill_disk(self) -> None:
        """Somebody else's file takes the last byte of the station's disk, and each one that is given up to it."""
        until = time.monotonic() + DISK_FULL_S
        with self._filler.open("wb", buffering=0) as file:
            while time.monotonic() < until:
                try:
                    file.write(_BLOCK)
                except OSError:
                    time.sleep(0.005)

    def free_disk(self) -> None:
        """That file is deleted."""
        self._filler.unlink(missing_ok=True)

    def take_over(self, *, higher: bool) -> None:
        """Other thresholds are put in force, for both jobs, and the station is told once (SIGHUP)."""
        thresholds: Thresholds = self.setting.higher if higher else self._lower
        for path in self.setting.thresholds:
            put_in_force(path, thresholds, _CHANGE)
        self.station.signal(signal.SIGHUP)

    def ask_for_a_job(self) -> None:
        """The other job, from the PLC, with the next part."""
        self._asked_jobs += 1
        self.job = 1 + self._asked_jobs % 2

    def kill_and_start(self) -> None:
        """SIGKILL of the station, and a new one."""
        self.up.clear()
        self.station.kill()
        self.station.start()
        self.kills += 1
        self.up.set()

    def behave(self, manner: str) -> None:
        """The PLC does this from its next part on; "" ends it."""
        self.manner = manner

    @property
    def _filler(self) -> Path:
        return self.setting.data / "somebody-elses-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that breaks, for how long, and how it is mended."""

    breaks: Callable[[Rig], None]
    mends: Callable[[Rig], None] = field(default=lambda _: None)
    lasts_s: float = 0.0
    of: str = "machine"


def _of_plc(manner: str, lasts_s: float) -> Fault:
    return Fault(breaks=lambda rig: rig.behave(manner), mends=lambda rig: rig.behave(""), lasts_s=lasts_s, of="plc")


FAULTS: dict[str, Fault] = {
    "camera killed": Fault(breaks=lambda rig: rig.station.signal_camera(signal.SIGKILL), of="camera"),
    "camera hangs": Fault(breaks=lambda rig: rig.station.signal_camera(signal.SIGSTOP), of="camera"),
    "plc away": _of_plc("away", 2.0),
    "plc silent": _of_plc("silent", 1.5),
    "plc frozen": _of_plc("frozen", 1.5),
    "plc cut": _of_plc("cut", 1.0),
    "plc hasty": _of_plc("hasty", 1.0),
    "disk full": Fault(breaks=Rig.fill_disk, mends=Rig.free_disk, of="disk"),
    "thresholds": Fault(breaks=lambda rig: rig.take_over(higher=True), mends=lambda rig: rig.take_over(higher=False), lasts_s=1.5),
    "job change": Fault(breaks=Rig.ask_for_a_job, of="plc"),
    "sighup": Fault(breaks=lambda rig: rig.station.signal(signal.SIGHUP)),
    "station frozen": Fault(
        breaks=lambda rig: rig.station.signal(signal.SIGSTOP), mends=lambda rig: rig.station.signal(signal.SIGCONT), lasts_s=1.0
    ),
}
"""Everything that is not a kill, in the order in which it comes."""

KILL = Fault(breaks=Rig.kill_and_start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A fault and when it comes [s from the start]."""

    at_s: float
    name: str
    fault: Fault


def schedule(seconds: float, *, names: Sequence[str], every_s: float, kills: int) -> list[Due]:
    """The faults in turns, `every_s` apart, with the kills spread between them; the last part of the run is left in peace.

    Args:
        seconds: length of the run [s].
        names: which faults; none leaves only the kills.
        every_s: from one to the next [s].
        kills: how often the station is killed.
    """
    last_s = seconds - 2 * every_s
    count = max(0, int(last_s / every_s)) if names else 0
    turns = [Due(at_s=every_s * (n + 1), name=names[n % len(names)], fault=FAULTS[names[n % len(names)]]) for n in range(count)]
    killed = [Due(at_s=(seconds - every_s) * (n + 0.9) / kills, name="killed", fault=KILL) for n in range(kills)]
    return sorted(turns + killed, key=lambda due: due.at_s)


class Saboteur:
    """Breaks and mends in a thread of its own; a context manager.

    Attributes:
        done: how often each thing was broken.
        error: what the station did that ends the soak, None nothing.
    """

    def __init__(self, rig: Rig, plan: Sequence[Due]) -> None:
        self._rig, self._plan = rig, plan
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="saboteur", daemon=True)
        self.done: dict[str, int] = {}
        self.error: Exception | None = None

    def __enter__(self) -> Saboteur:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Mend what is broken, and end."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        started = time.monotonic()
        try:
            for due in self._plan:
                if self._stop.wait(max(0.0, started + due.at_s - time.monotonic())):
                    return
                self._break(due)
        except Exception as error:  # noqa: BLE001 - the drive ends with it
            self.error = error
            self._rig.up.set()

    def _break(self, due: Due) -> None:
        log.info("soak: %s", due.name)
        self.done[due.name] = self.done.get(due.name, 0) + 1
        try:
            due.fault.breaks(self._rig)
            self._stop.wait(due.fault.lasts_s)
        finally:
            due.fault.mends(self._rig)
