"""`edge-inspect status`: what a running station is doing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

NAME = "status"
HELP = "show counts, the last verdict, latencies and alarms of a running station"
EXAMPLE = "edge-inspect status --station station.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the status file as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Show; 0 while the station serves without an alarm, else 1.

    Raises:
        EdgeInspectError: there is no status to show.
    """
    from edge_inspect.config import load_station
    from edge_inspect.service.live import STATUS_FILE, read_status

    status = read_status(load_station(arguments.station).data / STATUS_FILE)
    print(json.dumps(status) if arguments.json else "\n".join(_lines(status)))
    return 0 if status["state"] == "ready" and not status["alarms"] else 1


def _lines(status: dict[str, Any]) -> list[str]:
    counts = status["counts"]
    lines = [
        f"{status['station']}: {status['state']} (last word {status['age_s']:g} s ago, started {status['started_at']})",
        f"parts    {sum(counts.values())}: {counts['OK']} OK, {counts['NG']} NG, {counts['FAULT']} FAULT",
    ]
    if status["last"]:
        last = status["last"]
        lines.append(f"last     {last['sequence']} {last['part_id']} {last['verdict']}: {last['reason']}")
    lines += [
        f"{stage:8} p50 {ms['p50']:7.2f}  p95 {ms['p95']:7.2f}  p99 {ms['p99']:7.2f}  max {ms['max']:7.2f} ms"
        for stage, ms in status["latency_ms"].items()
    ]
    alarms = [f"ALARM    {source}: {alarm['text']} (since {alarm['since']})" for source, alarm in status["alarms"].items()]
    return lines + (alarms or ["no alarms"])
