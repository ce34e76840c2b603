"""`edge-inspect replay ID`: run a stored frame again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAME = "replay"
HELP = "run a stored frame again and say whether the verdict is the same"
EXAMPLE = "edge-inspect replay 1042 --station station.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("sequence", type=int, metavar="ID", help="sequence number of the inspection, as in log and database")
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Replay; 0 when verdict and score are the same, else 1.

    Raises:
        EdgeInspectError: the inspection, its frame or what it needs is not there.
    """
    from edge_inspect.field.replay import replay

    found = replay(arguments.station, arguments.sequence)
    if arguments.json:
        now = {"verdict": found.verdict, "reason": found.reason, "score": found.score}
        print(
            json.dumps(
                {
                    "same": found.same,
                    "then": found.then,
                    "now": now,
                    "changed": found.changed,
                    "at_the_gate": found.at_the_gate,
                    "picture": str(found.picture),
                }
            )
        )
    else:
        print(f"then  {found.then['verdict']:5} score {found.then['score']}: {found.then['reason']}")
        print(f"now   {found.verdict:5} score {found.score}: {found.reason}")
        if found.at_the_gate:
            print(f"      {found.at_the_gate}")
        print("the same" if found.same else "NOT the same" + ("; " + "; ".join(found.changed) if found.changed else ""))
    return 0 if found.same else 1
