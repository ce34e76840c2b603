"""`edge-inspect demo`: teach on real images, then run the whole line over parts it has not seen."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

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
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.config import load_recipe
    from edge_inspect.demo.line import free_port, lay_out, play_plc, read_log, running_station
    from edge_inspect.demo.parts import mvtec_folder, solar_cells
    from edge_inspect.demo.summary import sentences, summarise
    from edge_inspect.errors import ConfigError
    from edge_inspect.workshop.teach import teach

    if (arguments.data is None) != (arguments.category is None):
        raise ConfigError("--data and --category go together: a folder of categories, and which one of them")
    screen = sys.stderr if arguments.json else sys.stdout
    count = arguments.parts
    part_set = solar_cells(count) if arguments.data is None else mvtec_folder(arguments.data, arguments.category, count)
    port = arguments.port or free_port()
    station = lay_out(arguments.out, part_set.name, part_set.parts, port=port, deadline_ms=arguments.deadline_ms)
    print(f"teaching {part_set.name} on {len(part_set.taught)} good pictures ...", file=screen, flush=True)
    with ProgressBars() as bars:
        recipe = load_recipe(arguments.out / "calibration" / part_set.name / "recipe.yaml")
        taught = teach(part_set.taught, recipe=recipe, false_reject_rate=arguments.false_rejects, progress=bars.show)
    thresholds = taught.thresholds
    print(f"taught in {taught.seconds:.1f} s; {thresholds.promise}", file=screen, flush=True)

    def tell(part: Any, answer: Any) -> None:
        hit = " " if (answer.verdict.value == "OK") == part.good else "*"
        print(f"{answer.acquisition:5d} {answer.verdict.value:5} {hit} score {answer.score:9.3f}  {part.label}", file=screen, flush=True)

    print(f"running the line over {len(part_set.parts)} parts it has not seen (* marks a wrong verdict) ...", file=screen, flush=True)
    with running_station(station):
        play_plc(part_set.parts, port=port, interval_s=arguments.interval_ms / 1e3, tell=tell)
    labels = [part.label for part in part_set.parts]
    records = read_log(arguments.out)
    if len(records) != len(labels):
        print(f"edge-inspect: {len(labels)} parts were triggered, {len(records)} stand in the log", file=sys.stderr)
        return 1
    summary = summarise(records, labels, bound=thresholds.false_reject_bound, promise=thresholds.promise)
    print(
        json.dumps(summary) if arguments.json else "\n".join(["", *sentences(summary), f"log, database and pictures: {arguments.out}/data"])
    )
    return 0
