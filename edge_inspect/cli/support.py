"""`edge-inspect support`: one archive for whoever helps from afar."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAME = "support"
HELP = "put files without secrets, status, last records, journal, versions and device facts into one archive"
EXAMPLE = "edge-inspect support --station /etc/edge-inspect/cell-3/station.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the archive (default: edge-inspect-support-<station>-<time>.tar.gz, here)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Collect and write; 0 also where something could not be had, which is said.

    Raises:
        OutputError: the archive cannot be written.
    """
    from edge_inspect.field.support import bundle_name, collect, write_bundle

    bundle = collect(arguments.station)
    path = arguments.out or Path(bundle_name(arguments.station))
    write_bundle(bundle, path)
    if arguments.json:
        print(json.dumps({"bundle": str(path), "files": sorted(bundle.files), "missing": bundle.missing}))
    else:
        print(f"{path}: {', '.join(sorted(bundle.files))}; look through it before you send it")
        for name, why in bundle.missing.items():
            print(f"not in it: {name}: {why}")
    return 0
