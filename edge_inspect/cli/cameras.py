"""`edge-inspect cameras`: what is connected, what it sees, and what to write into the station file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_inspect.field.camera_survey import FoundCamera

NAME = "cameras"
HELP = "list connected cameras, grab a frame of each, and print their settings to paste into a station file"
EXAMPLE = "edge-inspect cameras --out frames/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("--kind", action="append", default=[], help="ask this kind of camera only (may be repeated; default: all)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the pictures (default: here)")
    parser.add_argument("--no-frame", action="store_true", help="grab no frame")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """List; 0 when a camera was found and each gave its frame, else 1.

    Raises:
        EdgeInspectError: a picture cannot be written, or there is no such kind.
    """
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.errors import PluginError
    from edge_inspect.field.camera_survey import survey
    from edge_inspect.plugins import installed

    unknown = sorted(set(arguments.kind) - set(installed("cameras")))
    if unknown:
        raise PluginError(f"cameras: no kind {unknown[0]!r} is installed; installed are {', '.join(sorted(installed('cameras')))}")
    with ProgressBars() as bars:
        found = survey(arguments.kind, None if arguments.no_frame else arguments.out, progress=bars.show)
    if arguments.json:
        print(json.dumps({"cameras": [_plain(one) for one in found.cameras], "unasked": found.unasked}))
    else:
        print("\n".join(line for one in found.cameras for line in _lines(one)) or "no camera found")
        for kind, reason in found.unasked.items():
            print(f"{kind}: not asked: {reason}")
    return 0 if found.cameras and not any(one.error for one in found.cameras) else 1


def _plain(found: FoundCamera) -> dict[str, Any]:
    return {**asdict(found), "picture": None if found.picture is None else str(found.picture)}


def _lines(found: FoundCamera) -> list[str]:
    import yaml

    facts = ", ".join(f"{name} {value}" for name, value in found.facts.items() if value)
    lines = [f"# {found.kind}: {facts}"]
    if found.picture is not None:
        lines.append(f"# frame: {' x '.join(map(str, found.size))}, {found.picture}")
    if found.error:
        lines.append(f"# no frame: {found.error}")
    block = yaml.safe_dump({"camera": {"kind": found.kind, **found.settings, "isolated": True}}, sort_keys=False)
    return [*lines, block]
