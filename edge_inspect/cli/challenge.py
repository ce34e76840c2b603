"""`edge-inspect challenge`: golden good and defective parts at shift start; every expected verdict must come."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.cli.words import add_place, local, positive
from edge_inspect.errors import ConfigError

if TYPE_CHECKING:
    from edge_inspect.challenges import Challenge
    from edge_inspect.cli.calibrating import Place

NAME = "challenge"
HELP = "golden good and defective parts, stored or before the running station's camera; every expected verdict must come"
EXAMPLE = "edge-inspect challenge --station station.yaml --live --show good good bad   # or without --live: pictures in challenge/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    add_place(parser)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="holds good/ and bad/ (default: challenge/ beside the recipe)")
    parser.add_argument(
        "--live",
        action="store_true",
        help="lay golden parts before the camera of the running station; its PLC is told FAULT for every part meanwhile",
    )
    parser.add_argument(
        "--show",
        nargs="+",
        choices=("good", "bad"),
        default=["good", "bad"],
        metavar="KIND",
        help="with --live: good or bad, in the order in which the parts are laid down (default: good bad)",
    )
    parser.add_argument("--patience", type=positive, default=120, metavar="S", help="with --live: wait so long for a part (default 120)")
    parser.add_argument("--history", action="store_true", help="show the challenges that are kept: when, who, what was wrong")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Challenge; 0 passed, 1 failed. The record goes to `challenge.json` in the station's data, or beside a recipe without a station.

    A running station that asks for a challenge takes a passed one over by itself.

    Raises:
        EdgeInspectError: files are wrong, golden parts are missing, the engine is not accepted, or no station runs (`--live`).
    """
    from edge_inspect.challenges import CHALLENGE_FILE, read_challenges, write_challenge
    from edge_inspect.cli.calibrating import place_from

    place = place_from(arguments)
    written = (place.recipe.parent if place.station is None else place.station.data) / CHALLENGE_FILE
    if arguments.history:
        kept = read_challenges(written)
        print(json.dumps([_record(one) for one in kept]) if arguments.json else "\n".join(map(_line, kept)) or f"{written}: none yet")
        return 0
    found = _live(place, arguments) if arguments.live else _stored(place, arguments)
    write_challenge(written, found)
    print(json.dumps(_record(found), allow_nan=False) if arguments.json else "\n".join(_lines(found, written)))
    return 0 if found.passed else 1


def _stored(place: Place, arguments: argparse.Namespace) -> Challenge:
    from edge_inspect.cli.calibrating import opened
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.field.msa.challenge import challenge

    folder = arguments.folder or place.recipe.parent / "challenge"
    with opened(place) as inspector, ProgressBars() as bars:
        return challenge(inspector, folder, bars.show)


def _live(place: Place, arguments: argparse.Namespace) -> Challenge:
    from edge_inspect.field.msa.challenge import challenge_live

    if place.station is None:
        raise ConfigError("--live: needs the running station; give --station FILE")
    if arguments.folder is not None:
        raise ConfigError("--folder: holds stored pictures; leave it out, or leave --live out")
    return challenge_live(place.station.data, arguments.show, patience_s=arguments.patience, told=_tell)


def _tell(line: str) -> None:
    """At once, and beside what a program reads."""
    print(line, file=sys.stderr, flush=True)


def _record(found: Challenge) -> dict[str, Any]:
    parts = [{**part.model_dump(mode="json"), "right": part.right} for part in found.parts]
    return {**found.model_dump(mode="json"), "parts": parts}


def _line(found: Challenge) -> str:
    wrong = ", ".join(f"{part.name} was {part.verdict.value}" for part in found.wrong)
    what = f"{found.how}, {len(found.parts)} golden parts, calibration {found.bound.engine.calibration_id}"
    said = f"{local(found.made_at)} {found.by}: {what}"
    return f"passed       {said}" if found.passed else f"FAILED       {said}: {wrong}"


def _lines(found: Challenge, written: Path) -> Iterator[str]:
    for part in found.parts:
        score = "" if part.score is None else f" score {part.score:.3f}"
        said = f"{part.name}: expected {part.expected.value}, said {part.verdict.value}{score}"
        yield f"right        {said}" if part.right else f"WRONG        {said}: {part.reason}"
    right = len(found.parts) - len(found.wrong)
    yield f"challenge    {'passed' if found.passed else 'FAILED'}: {right} of {len(found.parts)} golden parts; written to {written}"
