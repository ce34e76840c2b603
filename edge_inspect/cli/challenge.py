"""`edge-inspect challenge`: golden good and defective parts at shift start; every expected verdict must come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.cli.words import add_place

if TYPE_CHECKING:
    from edge_inspect.field.msa.challenge import Challenge

NAME = "challenge"
HELP = "show golden good and defective parts to the accepted engine; every expected verdict must come"
EXAMPLE = "edge-inspect challenge --station station.yaml   # pictures in challenge/good and challenge/bad beside the recipe"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    add_place(parser)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="holds good/ and bad/ (default: challenge/ beside the recipe)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Challenge; 0 passed, 1 failed. The record goes to `challenge.json` in the station's data, or beside a recipe without a station.

    Raises:
        EdgeInspectError: files are wrong, golden parts are missing, or the engine is not accepted.
    """
    from edge_inspect.cli.calibrating import opened, place_from
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.field.msa.challenge import CHALLENGE_FILE, challenge, record, write_challenge

    place = place_from(arguments)
    folder = arguments.folder or place.recipe.parent / "challenge"
    with opened(place) as inspector, ProgressBars() as bars:
        found = challenge(inspector, folder, bars.show)
    written = (place.recipe.parent if place.station is None else place.station.data) / CHALLENGE_FILE
    write_challenge(found, written)
    print(json.dumps(record(found), allow_nan=False) if arguments.json else "\n".join(_lines(found, written)))
    return 0 if found.passed else 1


def _lines(found: Challenge, written: Path) -> Iterator[str]:
    for one in found.answers:
        score = "" if one.shown.score is None else f" score {one.shown.score:.3f}"
        said = f"{one.name}: expected {one.expected.value}, said {one.shown.verdict.value}{score}"
        yield f"right        {said}" if one.right else f"WRONG        {said}: {one.shown.reason}"
    right = len(found.answers) - len(found.wrong)
    yield f"challenge    {'passed' if found.passed else 'FAILED'}: {right} of {len(found.answers)} golden parts; written to {written}"
