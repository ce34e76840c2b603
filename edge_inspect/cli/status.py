"""`edge-inspect status`: what a running station is doing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

NAME = "status"
HELP = "show counts, the last verdict, latencies and alarms of a running station"
EXAMPLE = "edge-inspect status --station station.yaml --audit 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")
    parser.add_argument("--audit", type=_count, default=0, metavar="N", help="show the newest N control actions of the audit record too")
    parser.add_argument("--json", action="store_true", help="print the status file as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Show; 0 while the station serves without an alarm, else 1.

    Raises:
        EdgeInspectError: there is no status to show.
    """
    from edge_inspect.config import load_station
    from edge_inspect.service.live import STATUS_FILE, read_status

    data = load_station(arguments.station).data
    status = read_status(data / STATUS_FILE)
    actions = _actions(data, arguments.audit)
    if actions is not None:
        status["actions"] = actions
    print(json.dumps(status) if arguments.json else "\n".join([*_lines(status), *map(_action_line, actions or ())]))
    return 0 if status["state"] == "ready" and not status["alarms"] else 1


def _actions(data: Path, count: int) -> list[dict[str, Any]] | None:
    """The newest control actions, oldest of them first; None where none were asked for."""
    if not count:
        return None
    from edge_inspect.audit import AUDIT_FOLDER, last_entries, shown

    return [shown(entry) for entry in last_entries(data / AUDIT_FOLDER, count)]


def _action_line(action: dict[str, Any]) -> str:
    by = " ".join(action[key] for key in ("wire", "peer", "user") if action.get(key)) or "station"
    about = " ".join(filter(None, (action["deed"], action.get("subject", ""))))
    times = f" ({action['times']} times)" if action.get("times", 1) > 1 else ""
    why = f": {action['reason']}" if action.get("reason") else ""
    return f"#{action['number']:<7} {action['at']}  {by}: {about}: {action['outcome']}{times}{why}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; write a whole number from 1 on")
    return int(text)


def _lines(status: dict[str, Any]) -> list[str]:
    counts = status["counts"]
    lines = [
        f"{status['station']}: {status['state']} (last word {status['age_s']:g} s ago, started {status['started_at']})",
        f"parts    {sum(counts.values())}: {counts['OK']} OK, {counts['NG']} NG, {counts['FAULT']} FAULT",
    ]
    if gate := status.get("gate"):
        rejected = gate["rejected"] + gate["no_verdict"] + gate["unknown"] + gate["neighbour"]
        lines.append(
            f"gate     {gate['passed']} passed, {rejected} rejected ({gate['rejected']} by verdict, {gate['no_verdict']} without one, "
            f"{gate['unknown']} unknown, {gate['neighbour']} beside another), {gate['slipped']} slipped, {gate['waiting']} on the way"
        )
    if status["last"]:
        last = status["last"]
        lines.append(f"last     {last['sequence']} {last['part_id']} {last['verdict']}: {last['reason']}")
    lines += [
        f"{stage:8} p50 {ms['p50']:7.2f}  p95 {ms['p95']:7.2f}  p99 {ms['p99']:7.2f}  max {ms['max']:7.2f} ms"
        for stage, ms in status["latency_ms"].items()
    ]
    alarms = [f"ALARM    {source}: {alarm['text']} (since {alarm['since']})" for source, alarm in status["alarms"].items()]
    return lines + (alarms or ["no alarms"])
