"""`edge-inspect capture`: record frames of good parts from a station's camera."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_inspect.cli.words import positive

NAME = "capture"
HELP = "record frames of good parts from a station's camera, for teaching and calibration"
EXAMPLE = "edge-inspect capture --station station.yaml --out good/ --frames 200"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--station", type=Path, default=Path("station.yaml"), help="whose camera (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the frames; one that was begun is gone on with")
    parser.add_argument("--frames", type=positive, default=100, help="how many there shall be in the end (default: %(default)s)")
    parser.add_argument("--interval-ms", type=positive, default=1, help="least time between two frames (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Record; 0 when all frames are there.

    Raises:
        EdgeInspectError: the camera is away, the disk is full, the folder holds another capture, or the station is running.
    """
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.field.capture import as_json, capture

    with ProgressBars() as bars:
        captured = capture(arguments.station, arguments.out, arguments.frames, interval_s=arguments.interval_ms / 1e3, progress=bars.show)
    if arguments.json:
        print(json.dumps(as_json(captured)))
    else:
        before = f", {captured.resumed} of them from before" if captured.resumed else ""
        print(
            f"{captured.folder}: {captured.frames} frames{before}; {captured.lost} lost on the way, {captured.bytes / 1e6:.1f} MB written"
        )
    return 0
