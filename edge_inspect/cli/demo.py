"""`edge-inspect demo`: teach on real images, then run the whole line over parts it has not seen."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.cli.onnx_needed import refuse_without_onnx
from edge_inspect.cli.progress import ProgressBars
from edge_inspect.errors import ConfigError

if TYPE_CHECKING:
    from edge_inspect.demo.parts import PartSet

NAME = "demo"
HELP = "teach a part on real images and run the line over parts it has not seen, triggered over Modbus"
EXAMPLE = "edge-inspect demo --data ../shared/data --category screw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the line and its records (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="folder of categories in MVTec AD layout (default: solar cells of elpv-dataset)")
    parser.add_argument("--category", help="which category of --data")
    parser.add_argument("--parts", type=int, default=200, help="how many parts to inspect (default: %(default)s)")
    parser.add_argument("--interval-ms", type=float, default=100, help="line pace: time from part to part (default: %(default)s)")
    parser.add_argument("--deadline-ms", type=float, default=500, help="latest verdict after the trigger (default: %(default)s)")
    parser.add_argument(
        "--false-rejects", type=float, default=0.05, metavar="RATE", help="false-reject rate to promise (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, help="Modbus TCP port of the station (default: a free one)")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object; verdict lines go to standard error")


def run(arguments: argparse.Namespace) -> int:
    """Show the line at work; 0 when every part has its one verdict.

    Raises:
        EdgeInspectError: teaching or the line failed.
    """
    refuse_without_onnx("demo")
    from edge_inspect.demo.show import Settings, show
    from edge_inspect.demo.summary import sentences

    settings = Settings(
        out=arguments.out,
        port=arguments.port,
        interval_s=arguments.interval_ms / 1e3,
        deadline_ms=arguments.deadline_ms,
        false_rejects=arguments.false_rejects,
    )
    screen = sys.stderr if arguments.json else sys.stdout
    part_set = _part_set(arguments)
    with ProgressBars() as bars:
        summary = show(part_set, settings, say=lambda line: print(line, file=screen, flush=True), progress=bars.show)
    report = ["", *sentences(summary), f"log, database and pictures: {arguments.out}/data"]
    print(json.dumps(summary) if arguments.json else "\n".join(report))
    return 0


def _part_set(arguments: argparse.Namespace) -> PartSet:
    from edge_inspect.demo.parts import mvtec_folder, solar_cells

    if arguments.data is None and arguments.category is None:
        return solar_cells(arguments.parts)
    if arguments.data is None or arguments.category is None:
        raise ConfigError("--data and --category go together: a folder of categories, and which one of them")
    return mvtec_folder(arguments.data, arguments.category, arguments.parts)
