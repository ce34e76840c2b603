"""`edge-inspect fake-plc`: drive a running station as a PLC would, and count what it answers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from edge_inspect.errors import PlcError

if TYPE_CHECKING:
    from tqdm import tqdm

    from edge_inspect.field.fake_plc import FakePlc, Ledger, Misbehaviour
    from edge_inspect.field.opcua_plc import FakeOpcUaPlc

NAME = "fake-plc"
HELP = "drive a running station as a PLC would, or listen behind its broker, and count what it answers"
EXAMPLE = "edge-inspect fake-plc --port 1502 --parts 20\n  edge-inspect fake-plc --spawn --wire modbus --cycles 500 --misbehave all --json"
MISBEHAVIOURS = ("no-ack", "double-trigger", "slow-scan", "disconnect", "job-change")
WIRES = ("modbus", "modbus-client", "mqtt", "opcua")
PORTS = {"modbus": 502, "mqtt": 1883, "opcua": 4840}
OVER_OPCUA = (
    "over opcua no-ack fetches the result without having heard its event (methods know no acknowledgement), "
    "double-trigger and job-change also try what the station must refuse"
)
NOT_OVER_MQTT = "double-trigger"
KILLS = 5
"""How often a station of its own is killed where everything is done wrong."""
SHOW_PROGRESS_AFTER_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--host", default="127.0.0.1", help="address of the station, or of the broker (default: %(default)s)")
    parser.add_argument("--port", type=int, help="its port, or the broker's (default: 502 modbus, 1883 mqtt, 4840 opcua)")
    parser.add_argument("--unit", type=int, default=1, help="its Modbus unit number (default: %(default)s)")
    parser.add_argument("--parts", "--cycles", type=_count, default=10, help="how many parts to trigger (default: %(default)s)")
    parser.add_argument("--spawn", action="store_true", help="start a station by rule (real wire, no camera, no engine) and try the wire")
    parser.add_argument("--wire", choices=WIRES, default="modbus", help="the wire; modbus-client only with --spawn (default: %(default)s)")
    parser.add_argument("--topic", default="", help="with --wire mqtt: topic of a station that runs by itself (no trigger over MQTT)")
    parser.add_argument("--pki", type=Path, help="with --wire opcua: folder of certificates, made where missing (docs/opcua.md)")
    parser.add_argument("--username", default="plc", help="with --wire opcua: who may control there (default: %(default)s)")
    parser.add_argument("--password-file", type=Path, help="its password, in the first line (default: EDGE_INSPECT_OPCUA_PASSWORD)")
    parser.add_argument("--seed", type=int, default=0, help="with --spawn: what goes wrong when (default: %(default)s)")
    parser.add_argument("--interval-ms", type=_time, default=0.0, help="time between triggers [ms] (default: as fast as it answers)")
    parser.add_argument("--timeout-s", type=_time, default=5.0, help="longest wait for Ready and for a result [s] (default: %(default)s)")
    parser.add_argument(
        "--misbehave",
        type=_misbehaviours,
        default=frozenset(),
        help=f"what to do wrong: {', '.join(MISBEHAVIOURS)}, or all (mqtt knows no trigger; {OVER_OPCUA})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Drive the station; 0 when each trigger got exactly one result, 1 otherwise.

    Raises:
        PlcError: no station answers there.
    """
    if arguments.wire == "modbus-client" and not arguments.spawn:
        raise PlcError(f"fake PLC: wire {arguments.wire} is tried with a station of its own; add --spawn")
    if arguments.wire == "mqtt":
        _must_make_sense_over_mqtt(arguments)
    if arguments.wire == "opcua":
        _must_make_sense_over_opcua(arguments)
    arguments.port = PORTS.get(arguments.wire) if arguments.port is None else arguments.port
    ledger = _try(arguments) if arguments.spawn else _listen(arguments) if arguments.wire == "mqtt" else _drive(arguments)
    print(json.dumps(asdict(ledger)) if arguments.json else _text(ledger))
    return 0 if ledger.clean else 1


def _try(arguments: argparse.Namespace) -> Ledger:
    from tqdm import tqdm

    from edge_inspect.field.plc_trial import Plan, run_trial

    plan = Plan(
        wire=arguments.wire,
        cycles=arguments.parts,
        misbehave=_possible(arguments),
        kills=min(KILLS, arguments.parts - 1) if len(arguments.misbehave) == len(MISBEHAVIOURS) else 0,
        seed=arguments.seed,
        timeout_s=arguments.timeout_s,
    )
    with tqdm(total=arguments.parts, unit="part", delay=SHOW_PROGRESS_AFTER_S, disable=None, leave=False) as bar:
        return run_trial(plan, each=lambda: _count_one(bar))


def _possible(arguments: argparse.Namespace) -> frozenset[Misbehaviour]:
    """A broker knows no trigger that could come twice."""
    return frozenset(one for one in arguments.misbehave if arguments.wire != "mqtt" or one.value != NOT_OVER_MQTT)


def _must_make_sense_over_mqtt(arguments: argparse.Namespace) -> None:
    if find_spec("paho") is None:
        raise PlcError("fake PLC: --wire mqtt needs paho-mqtt; install the extra: pip install 'edge-inspect[mqtt]'")
    if {one.value for one in arguments.misbehave} == {NOT_OVER_MQTT}:
        raise PlcError("fake PLC: double-trigger cannot be done over mqtt, which takes no trigger; give another misbehaviour")
    if not arguments.spawn and arguments.misbehave:
        raise PlcError("fake PLC: over mqtt a misbehaviour needs a broker and a station of its own; add --spawn")
    if not arguments.spawn and not arguments.topic:
        raise PlcError("fake PLC: --wire mqtt needs --topic, the `topic` of the station file; or --spawn")


def _must_make_sense_over_opcua(arguments: argparse.Namespace) -> None:
    if find_spec("asyncua") is None:
        raise PlcError("fake PLC: --wire opcua needs asyncua; install the extra: pip install 'edge-inspect[opcua]'")
    if not arguments.spawn and arguments.pki is None:
        raise PlcError("fake PLC: --wire opcua needs --pki, a folder for certificates of its own and of the station; or --spawn")


def _listen(arguments: argparse.Namespace) -> Ledger:
    from tqdm import tqdm

    from edge_inspect.field.mqtt_plc import FakeSubscriber

    bar = tqdm(total=arguments.parts, unit="part", delay=SHOW_PROGRESS_AFTER_S, disable=None, leave=False)
    subscriber = FakeSubscriber(
        host=arguments.host, port=arguments.port, topic=arguments.topic, answer_timeout_s=arguments.timeout_s, session=False
    )
    with bar, subscriber as plc:
        return plc.listen(arguments.parts, each=lambda _: _count_one(bar))


def _drive(arguments: argparse.Namespace) -> Ledger:
    from tqdm import tqdm

    bar = tqdm(total=arguments.parts, unit="part", delay=SHOW_PROGRESS_AFTER_S, disable=None, leave=False)
    with bar, _OPENERS[arguments.wire](arguments) as plc:
        return plc.drive(arguments.parts, interval_s=arguments.interval_ms / 1000, each=lambda _: _count_one(bar))


def _modbus(arguments: argparse.Namespace) -> FakePlc:
    from edge_inspect.field.fake_plc import FakePlc

    return FakePlc(
        host=arguments.host,
        port=arguments.port,
        unit=arguments.unit,
        misbehave=arguments.misbehave,
        answer_timeout_s=arguments.timeout_s,
    )


def _opcua(arguments: argparse.Namespace) -> FakeOpcUaPlc:
    from edge_inspect.field.opcua_link import Way
    from edge_inspect.field.opcua_plc import FakeOpcUaPlc
    from edge_inspect.plc.opcua import password_of
    from edge_inspect.plc.opcua_pki import Pki

    way = Way(
        host=arguments.host,
        port=arguments.port,
        pki=Pki(arguments.pki),
        username=arguments.username,
        password=password_of(arguments.username, arguments.password_file) or "",
        timeout_s=arguments.timeout_s,
    )
    return FakeOpcUaPlc(way, misbehave=arguments.misbehave)


_OPENERS: dict[str, Callable[[argparse.Namespace], FakePlc | FakeOpcUaPlc]] = {"modbus": _modbus, "opcua": _opcua}


def _count_one(bar: tqdm[NoReturn]) -> None:
    bar.update()


def _text(ledger: Ledger) -> str:
    lines = [
        f"{ledger.triggers} triggers: {ledger.ok} OK, {ledger.ng} NG, {ledger.fault} FAULT",
        f"{ledger.lost} lost, {ledger.doubled} doubled, {ledger.unasked} not asked for, {ledger.overrun} overrun",
    ]
    if ledger.swapped is not None:
        lines.append(f"{ledger.swapped} swapped" + (f", recovered within {ledger.recovered_s:.2f} s" if ledger.recovered_s else ""))
    if ledger.refused is not None:
        lines.append(f"{ledger.refused} triggers that the station refused, and that are none")
    if ledger.repeated is not None:
        lines.append(f"{ledger.repeated} copies of results already there")
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
