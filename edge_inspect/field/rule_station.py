"""A station by rule: the real wire and handshake in a process of its own, without camera and engine.

Part number n (the acquisition) is NG where 3 divides n, and its score is n / 2: a PLC that knows the rule notices a result
that belongs to another part. Every `LATE_EVERY`th part takes longer than its deadline, so that the wire says FAULT itself.
There is no job `UNKNOWN_JOB`; whoever asks for it gets job 0.
Started as `python -m edge_inspect.field.rule_station WIRE PORT [OPTIONS]`, the wire's further options as JSON; says `ready` on its standard
output once clients can connect, ends on SIGTERM. On a wire without triggers (`mqtt`) each line on its standard input is a part, and it
answers with the part's acquisition.
"""

from __future__ import annotations

import json
import logging
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Inspection, Latency, PlcRequest, RequestKind, Verdict
from edge_inspect.errors import PlcError
from edge_inspect.field.plc_ledger import Answer
from edge_inspect.plc import shared
from edge_inspect.plc.opcua import OpcUaPlc
from edge_inspect.plugins import prepare
from edge_inspect.protocols import Plc

DEADLINE_MS = 150.0
LATE_EVERY = 97
NG_EVERY = 3
JOBS = 1000
UNKNOWN_JOB = JOBS - 1
LOOK_EVERY_S = 0.005
TOPIC = "trial/cell"
OPTIONS: dict[str, dict[str, Any]] = {"mqtt": {"topic": TOPIC, "tls": False, "commands": True}}
"""What a wire needs beside host and port."""
WITHOUT_TRIGGERS = frozenset({"mqtt"})


def verdict_of(acquisition: int) -> Verdict:
    """What the station says of a part."""
    return Verdict.NG if acquisition % NG_EVERY == 0 else Verdict.OK


def is_swapped(answer: Answer) -> bool:
    """Whether an answer is not that of its part. FAULT says nothing of a part, and is never wrong."""
    if answer.verdict is Verdict.FAULT:
        return False
    return answer.verdict is not verdict_of(answer.acquisition) or answer.score != answer.acquisition / 2


def serve(plc: Plc, stop: threading.Event) -> None:
    """Answer a PLC that triggers until `stop` is set."""
    plc.ready(True)
    while not stop.is_set():
        request = None
        with suppress(PlcError):  # the PLC is away
            request = plc.poll(0.05)
        if request is not None:
            _answer(plc, request)


def serve_without_triggers(plc: Plc, stop: threading.Event) -> None:
    """Inspect a part for each line on the standard input until it ends or `stop` is set."""
    plc.ready(True)
    while not stop.is_set():
        if select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]:
            if not sys.stdin.readline():
                return
            _inspect(plc)
        request = plc.poll(0)
        if request is not None:
            _answer(plc, request)


def _inspect(plc: Plc) -> None:
    """A part that the camera saw by itself."""
    acquisition = plc.begin(time.monotonic_ns() + int(DEADLINE_MS * 1e6))
    _say(str(acquisition))
    _emit(plc, acquisition)


def _answer(plc: Plc, request: PlcRequest) -> None:
    if request.kind is RequestKind.JOB_CHANGE:
        _change_job(plc, request)
    elif request.kind is RequestKind.TRIGGER:
        _emit(plc, request.acquisition)


def _change_job(plc: Plc, request: PlcRequest) -> None:
    if request.job == UNKNOWN_JOB:
        plc.answer(request, job=0, error=f"there is no job {UNKNOWN_JOB}")
    else:
        plc.answer(request, job=request.job % JOBS)


def _emit(plc: Plc, acquisition: int) -> None:
    if acquisition % LATE_EVERY == 0:
        time.sleep(2 * DEADLINE_MS / 1e3)
    with suppress(PlcError):  # too late, or the PLC is away: what it was told is its ledger's matter
        plc.emit(_inspection(acquisition))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _inspection(acquisition: int) -> Inspection:
    return Inspection(
        sequence=acquisition,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=verdict_of(acquisition),
        reason="by rule",
        score=acquisition / 2,
        threshold=0.0,
        regions=(),
        recipe="rule",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )


def main(wire: str, port: int, more: str = "{}") -> None:
    """Serve one wire until SIGTERM."""
    logging.getLogger(shared.__name__).setLevel(logging.ERROR)  # that a job does not run is what was asked for
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    options: dict[str, Any] = {"kind": wire, "port": port, "host": "127.0.0.1", **OPTIONS.get(wire, {}), **json.loads(more)}
    with prepare("plc", PluginBlock.model_validate(options), base=Path.cwd(), given={"deadline_ms": DEADLINE_MS})() as plc:
        if isinstance(plc, OpcUaPlc):
            plc.serving.wait()
        _say("ready")
        (serve_without_triggers if wire in WITHOUT_TRIGGERS else serve)(plc, stop)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
