"""A soak from beginning to end: the station runs, the PLC triggers, things break, the books are closed and memory is fitted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_inspect.field.soak.accounts import Accounts, balance
from edge_inspect.field.soak.drive import Drive
from edge_inspect.field.soak.faults import FAULTS, Rig, Saboteur, schedule
from edge_inspect.field.soak.process import StationProcess
from edge_inspect.field.soak.samples import Samples, grown, last, points, rounded, usual_rate
from edge_inspect.field.soak.setting import open_setting
from edge_inspect.field.soak.slopes import Slope, slope_per_hour

PICTURES = "images"
"""The output that drops what it has no time for; its alarm ends with the next part that it takes, and after the last there is none."""
LATEST_FRAMES_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a soak does.

    Attributes:
        engine: model folder to inspect with where no recipe is named.
        recipe: a taught part to inspect instead.
        seconds: length of the run [s]; infinite where `frames` ends it.
        frames: number of parts after which it ends; None where `seconds` does.
        rate: parts a second; 0 as fast as they are answered.
        trigger: `plc`: the PLC triggers each part; `camera`: the camera sees `frames` parts by itself, and the PLC takes what it can.
        faults: what breaks, by name.
        every_s: from one fault to the next [s].
        kills: how often the station is killed and started again.
    """

    engine: Path
    recipe: Path | None = None
    seconds: float = math.inf
    frames: int | None = None
    rate: float = 30.0
    trigger: str = "plc"
    faults: tuple[str, ...] = tuple(FAULTS)
    every_s: float = 20.0
    kills: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What came of it; memory and descriptors are of the process that ran last, after warm-up.

    `alarms` are left although everything is mended; `overload` is what `--rate max` does by itself until its last part.
    `samples` are seconds, MB, descriptors, threads, the number of the process and parts so far, once a second.
    """

    accounts: Accounts
    seconds: float
    faults: dict[str, int]
    left_out: tuple[str, ...]
    rss_mb: float
    rss: Slope
    rss_over_s: float
    descriptors: float
    descriptors_grown: float
    threads_grown: float
    latency_ms: dict[str, float]
    samples: tuple[tuple[float, ...], ...]
    alarms: dict[str, str]
    overload: dict[str, str]
    stop_s: float

    @property
    def passed(self) -> bool:
        """Whether the ledger closes and no alarm is left when everything is mended."""
        return self.accounts.closed and not self.alarms

    def flat(self) -> dict[str, object]:
        """All of it in one object of plain values."""
        return {
            **asdict(self.accounts),
            "closed": self.accounts.closed,
            "passed": self.passed,
            "seconds": round(self.seconds, 1),
            "rate_per_s": rounded(self.accounts.triggers / self.seconds),
            "usual_rate_per_s": rounded(usual_rate(self.samples)),
            "faults": self.faults,
            "left_out": list(self.left_out),
            "rss_mb": rounded(self.rss_mb),
            "rss_slope_mb_per_h": rounded(self.rss.per_hour),
            "rss_slope_interval_mb_per_h": [rounded(self.rss.lowest), rounded(self.rss.highest)],
            "rss_slope_over_s": rounded(self.rss_over_s),
            "descriptors": rounded(self.descriptors),
            "descriptors_grown": rounded(self.descriptors_grown),
            "threads_grown": rounded(self.threads_grown),
            "latency_ms": {name: rounded(value) for name, value in self.latency_ms.items()},
            "alarms": self.alarms,
            "overload": self.overload,
            "stop_s": rounded(self.stop_s),
            "points": points(self.samples),
        }


def soak(plan: Plan, folder: Path, *, each: Callable[[float], None] = lambda _: None) -> Soaked:
    """Carry it out.

    Args:
        plan: what to do.
        folder: an empty folder, in which the station's files are left.
        each: called after each part with how much of the run is done, 0 to 1.

    Raises:
        EdgeInspectError: the station does not start, does not come back or does not end.
    """
    parts = plan.frames or int(plan.seconds * (plan.rate or 300))
    with open_setting(
        folder,
        engine=plan.engine,
        recipe=plan.recipe,
        parts=parts,
        rate=plan.rate,
        trigger=plan.trigger,
        own_disk="disk full" in plan.faults,
    ) as setting:
        names, left_out = _possible(plan, is_disk=setting.is_disk)
        length_s = plan.seconds if plan.frames is None else LATEST_FRAMES_S
        with StationProcess(setting) as station:
            rig = Rig(setting, station)
            drive = Drive(rig, follows=plan.trigger == "camera")
            samples = Samples(station, lambda: drive.parts)
            faults = schedule(length_s, names=names, every_s=plan.every_s, kills=plan.kills)
            started = time.monotonic()
            with drive.connected(), samples.going():
                with Saboteur(rig, faults) as saboteur:
                    _parts(plan, drive, saboteur, each)
                drive.finish()
                seconds = time.monotonic() - started
                alarms = _lasting_alarms(station)
            station.stop()
        accounts = balance(setting, drive.lives)
    return _soaked(
        accounts=accounts,
        seconds=seconds,
        saboteur=saboteur,
        left_out=left_out,
        samples=samples,
        drive=drive,
        alarms=alarms,
        is_overloaded=not plan.rate,
        station=station,
    )


def _possible(plan: Plan, *, is_disk: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The faults that can be made here, and those left out."""

    def possible(name: str) -> bool:
        return {"disk": is_disk, "camera": plan.trigger == "plc", "plc": plan.trigger == "plc"}.get(FAULTS[name].of, True)

    return tuple(filter(possible, plan.faults)), tuple(name for name in plan.faults if not possible(name))


def _parts(plan: Plan, drive: Drive, saboteur: Saboteur, each: Callable[[float], None]) -> None:
    started = due = time.monotonic()
    while (done := _done(plan, drive, time.monotonic() - started)) < 1:
        time.sleep(max(0.0, due - time.monotonic()))
        if not drive.follows and plan.rate:
            due = max(due + 1 / plan.rate, time.monotonic() - 1 / plan.rate)
        drive.part()
        if saboteur.error is not None:
            raise saboteur.error
        each(done)


def _done(plan: Plan, drive: Drive, seconds: float) -> float:
    return seconds / plan.seconds if plan.frames is None else drive.parts / plan.frames


def _lasting_alarms(station: StationProcess, within_s: float = 20.0) -> dict[str, str]:
    """What still stands when everything has been mended for a while."""
    until = time.monotonic() + within_s
    while (alarms := station.alarms()) and time.monotonic() < until:
        time.sleep(0.1)
    return alarms


def _soaked(
    *,
    accounts: Accounts,
    seconds: float,
    saboteur: Saboteur,
    left_out: tuple[str, ...],
    samples: Samples,
    drive: Drive,
    alarms: dict[str, str],
    is_overloaded: bool,
    station: StationProcess,
) -> Soaked:
    table = samples.after_warm_up()
    overload = {source: text for source, text in alarms.items() if is_overloaded and source == PICTURES}
    return Soaked(
        accounts=accounts,
        seconds=seconds,
        faults=saboteur.done,
        left_out=left_out,
        rss_mb=last(table[:, 1]),
        rss=slope_per_hour(table[:, 0], table[:, 1]),
        rss_over_s=float(np.ptp(table[:, 0])) if len(table) else 0.0,
        descriptors=last(table[:, 2]),
        descriptors_grown=grown(table[:, 2]),
        threads_grown=grown(table[:, 3]),
        latency_ms=_drift(drive.latencies_s),
        samples=tuple(samples.taken),
        alarms={source: text for source, text in alarms.items() if source not in overload},
        overload=overload,
        stop_s=station.stop_s,
    )


def _drift(latencies_s: Sequence[float]) -> dict[str, float]:
    """Trigger to result of the first and the last fifth of the parts [ms]."""
    fifth = len(latencies_s) // 5
    if not fifth:
        return {}
    first, last = (1000 * np.array(some) for some in (latencies_s[:fifth], latencies_s[-fifth:]))
    told = {"first_p50": (first, 50), "last_p50": (last, 50), "first_p99": (first, 99), "last_p99": (last, 99)}
    return {name: float(np.percentile(some, share)) for name, (some, share) in told.items()}
