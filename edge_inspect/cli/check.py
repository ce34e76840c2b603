"""`edge-inspect check`: would this station start? Opens the engine, but neither camera, PLC nor records."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAME = "check"
HELP = "check station.yaml, its recipes, thresholds, engines and libraries, without touching camera or PLC"
EXAMPLE = "edge-inspect check --station station.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Check; 0 when the station would start.

    Raises:
        EdgeInspectError: the first thing that is wrong; all mistakes of one file at once.
    """
    from edge_inspect.config import load_station
    from edge_inspect.inspector import open_inspector
    from edge_inspect.station import look_for_libraries, prepare_station

    settings = load_station(arguments.station)
    base = arguments.station.resolve().parent
    prepare_station(settings, base=base)
    look_for_libraries(settings)
    required, key = settings.acceptance == "required", settings.public_key
    checked = []
    for recipe in dict.fromkeys((settings.recipe, *settings.jobs.values())):
        with open_inspector(recipe, settings.runtime, base=base, accepted_before=required, public_key=key) as inspector:
            engine, calibration = inspector.model.engine_sha256, inspector.calibration_id
            checked.append({"recipe": inspector.recipe.part, "engine_sha256": engine, "calibration_id": calibration})
    if arguments.json:
        print(json.dumps({"station": settings.name, "checked": checked}))
    else:
        for found in checked:
            print(f"{found['recipe']}: engine {found['engine_sha256'][:12]} accepted, thresholds {found['calibration_id']}")
        print(f"{settings.name}: would start")
    return 0
