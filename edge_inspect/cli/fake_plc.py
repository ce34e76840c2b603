"""`edge-inspect fake-plc`: drive a running station as a PLC would, and count what it answers."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

from edge_inspect.errors import PlcError

if TYPE_CHECKING:
    from tqdm import tqdm

    from edge_inspect.field.fake_plc import Ledger, Misbehaviour

NAME = "fake-plc"
HELP = "drive a running station over Modbus as a PLC would, and count what it answers"
EXAMPLE = "edge-inspect fake-plc --port 1502 --parts 20\n  edge-inspect fake-plc --spawn --wire modbus --cycles 500 --misbehave all --json"
MISBEHAVIOURS = ("no-ack", "double-trigger", "slow-scan", "disconnect", "job-change")
WIRES = ("modbus", "modbus-client")
KILLS = 5
"""How often a station of its own is killed where everything is done wrong."""
SHOW_PROGRESS_AFTER_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--host", default="127.0.0.1", help="address of the station (default: %(default)s)")
    parser.add_argument("--port", type=int, default=502, help="its Modbus port (default: %(default)s)")
    parser.add_argument("--unit", type=int, default=1, help="its Modbus unit number (default: %(default)s)")
    parser.add_argument("--parts", "--cycles", type=_count, default=10, help="how many parts to trigger (default: %(default)s)")
    parser.add_argument("--spawn", action="store_true", help="start a station by rule (real wire, no camera, no engine) and try the wire")
    parser.add_argument("--wire", choices=WIRES, default="modbus", help="the wire; modbus-client only with --spawn (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="with --spawn: what goes wrong when (default: %(default)s)")
    parser.add_argument("--interval-ms", type=_time, default=0.0, help="time between triggers [ms] (default: as fast as it answers)")
    parser.add_argument("--timeout-s", type=_time, default=5.0, help="longest wait for Ready and for a result [s] (default: %(default)s)")
    parser.add_argument(
        "--misbehave", type=_misbehaviours, default=frozenset(), help=f"what to do wrong: {', '.join(MISBEHAVIOURS)}, or all"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Drive the station; 0 when each trigger got exactly one result, 1 otherwise.

    Raises:
        PlcError: no station answers there.
    """
    if arguments.wire != "modbus" and not arguments.spawn:
        raise PlcError(f"fake PLC: wire {arguments.wire} is tried with a station of its own; add --spawn")
    ledger = _try(arguments) if arguments.spawn else _drive(arguments)
    print(json.dumps(asdict(ledger)) if arguments.json else _text(ledger))
    return 0 if ledger.clean else 1


def _try(arguments: argparse.Namespace) -> Ledger:
    from tqdm import tqdm

    from edge_inspect.field.plc_trial import Plan, run_trial

    plan = Plan(
        wire=arguments.wire,
        cycles=arguments.parts,
        misbehave=arguments.misbehave,
        kills=min(KILLS, arguments.parts - 1) if len(arguments.misbehave) == len(MISBEHAVIOURS) else 0,
        seed=arguments.seed,
        timeout_s=arguments.timeout_s,
    )
    with tqdm(total=arguments.parts, unit="part", delay=SHOW_PROGRESS_AFTER_S, disable=None, leave=False) as bar:
        return run_trial(plan, each=lambda: _count_one(bar))


def _drive(arguments: argparse.Namespace) -> Ledger:
    from tqdm import tqdm

    from edge_inspect.field.fake_plc import FakePlc

    bar = tqdm(total=arguments.parts, unit="part", delay=SHOW_PROGRESS_AFTER_S, disable=None, leave=False)
    plc = FakePlc(
        host=arguments.host,
        port=arguments.port,
        unit=arguments.unit,
        misbehave=arguments.misbehave,
        answer_timeout_s=arguments.timeout_s,
    )
    with bar, plc:
        return plc.drive(arguments.parts, interval_s=arguments.interval_ms / 1000, each=lambda _: _count_one(bar))


def _count_one(bar: tqdm[NoReturn]) -> None:
    bar.update()


def _text(ledger: Ledger) -> str:
    lines = [
        f"{ledger.triggers} triggers: {ledger.ok} OK, {ledger.ng} NG, {ledger.fault} FAULT",
        f"{ledger.lost} lost, {ledger.doubled} doubled, {ledger.unasked} not asked for, {ledger.overrun} overrun",
    ]
    if ledger.swapped is not None:
        lines.append(f"{ledger.swapped} swapped" + (f", recovered within {ledger.recovered_s:.2f} s" if ledger.recovered_s else ""))
    if ledger.latency_ms is not None:
        times = ", ".join(f"{name} {value:.1f}" for name, value in ledger.latency_ms.items())
        lines.append(f"trigger to result [ms]: {times}")
    return "\n".join(lines)


def _misbehaviours(text: str) -> frozenset[Misbehaviour]:
    from edge_inspect.field.fake_plc import Misbehaviour

    words = list(MISBEHAVIOURS) if text == "all" else text.split(",")
    if unknown := [word for word in words if word not in MISBEHAVIOURS]:
        raise argparse.ArgumentTypeError(f"got {unknown[0]!r}; write one or several of {', '.join(MISBEHAVIOURS)}, with commas, or all")
    return frozenset(Misbehaviour(word) for word in words)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; write a whole number from 1 on")
    return int(text)


def _time(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}; write a number from 0 on")
    return number
