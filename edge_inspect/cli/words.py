"""What several verbs take on the command line, and the first recipe of a new part."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from edge_inspect.errors import ConfigError

HIGHEST = 3
"""How many of the highest good scores are named."""


def local(moment: datetime) -> str:
    """A moment by the clock on the wall, as every person reads it here; JSON has it in UTC."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def positive(text: str) -> int:
    """A whole number of 1 or more, for `add_argument(type=...)`."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression, for `add_argument(type=...)`."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error


def add_place(parser: argparse.ArgumentParser) -> None:
    """Which station or recipe, and how its engine is opened; `calibrating.place_from` reads them."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--station", type=Path, default=Path("station.yaml"), help="the station file (default: %(default)s)")
    where.add_argument("--recipe", type=Path, metavar="FILE", help="a recipe.yaml without a station")
    parser.add_argument("--job", type=int, metavar="N", help="the recipe of this job of the station, not the one it starts with")
    parser.add_argument("--runtime", help="runtime to open the engine with (default: the station's)")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), help="which of the engine's files (default: the station's)")


def new_recipe(name: str, *, verb: str) -> Path:
    """Write `calibration/NAME/recipe.yaml` for a new part: the whole frame, decided by the image score.

    Raises:
        ConfigError: the name is no folder's, or there is such a part already, or the file cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise ConfigError(f"--new {name!r}: a part's name is also a folder: use letters, digits, dot, dash and underscore")
    recipe_file = Path("calibration") / name / "recipe.yaml"
    try:
        recipe_file.parent.mkdir(parents=True, exist_ok=True)
        with recipe_file.open("x", encoding="utf-8") as file:
            file.write(f"part: {name}\nengine: ../../engines/{name}\n")
    except FileExistsError as error:
        raise ConfigError(f"{recipe_file}: exists already; {verb} it again with --recipe {recipe_file}") from error
    except OSError as error:
        raise ConfigError(f"{recipe_file}: cannot be written: {error.strerror}; check space and permissions") from error
    return recipe_file


def highest(names: Sequence[str], scores: Sequence[float]) -> list[tuple[str, float]]:
    """The held-out images that set the threshold: one that is not good after all hides defects from then on."""
    return sorted(zip(names, scores, strict=True), key=lambda row: row[1], reverse=True)[:HIGHEST]
