"""`edge-inspect msa`: does the station tell good from bad, and does it say the same of the same part?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.cli.words import add_place, local, pattern
from edge_inspect.errors import ConfigError

if TYPE_CHECKING:
    from edge_inspect.field.msa.agreement import Study

NAME = "msa"
HELP = "attribute agreement study: parts shown several times, held against what is known of them and the customary limits"
EXAMPLE = "edge-inspect msa --station station.yaml --good msa/good --bad msa/bad --part-of '(\\d+)_' --report msa.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    parser.add_argument("table", nargs="?", type=Path, metavar="TABLE", help="CSV or JSON with part, reference, trial, verdict")
    add_place(parser)
    parser.add_argument("--good", type=Path, metavar="DIR", help="pictures of good parts, shown to the accepted engine")
    parser.add_argument("--bad", type=Path, metavar="DIR", help="pictures of defective parts, sub-folders too")
    parser.add_argument("--since", metavar="TIME", help="what the station has inspected since: 90s, 45m, 8h or 3d; with --parts")
    parser.add_argument("--parts", type=Path, metavar="LIST", help="CSV or JSON with part, reference, and inspection or none (see docs)")
    parser.add_argument("--part-of", type=pattern, metavar="REGEX", help="its group names the part in a file name or part_id")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write one HTML page, nothing outside it is loaded")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Take the study; 1 where it is not accepted, 0 where it is, or is marginal.

    Raises:
        EdgeInspectError: files are wrong, parts are missing, or the engine is not accepted.
    """
    from edge_inspect.field.msa.page import write_study

    study, source = _study(arguments)
    if arguments.report is not None:
        write_study(study, arguments.report, source=source)
    print(_as_json(study, source) if arguments.json else "\n".join(_lines(study, source)))
    return 1 if study.standing.value == "not accepted" else 0


def _study(arguments: argparse.Namespace) -> tuple[Study, str]:
    from edge_inspect.field.msa.agreement import agreement
    from edge_inspect.field.msa.presentations import presentations_from_table

    if (arguments.since is None) is not (arguments.parts is None):
        raise ConfigError("--since TIME and --parts LIST go together: the station's records, and which of them are of which part")
    pictures = (arguments.good, arguments.bad)
    if arguments.since is not None:
        if arguments.table is not None or pictures != (None, None):
            raise ConfigError("--since: the verdicts are the station's; leave TABLE, --good and --bad out")
        return _recorded(arguments)
    if (arguments.table is None) == (pictures == (None, None)) or (arguments.table is None and None in pictures):
        raise ConfigError("from which verdicts? Give a TABLE (CSV or JSON), both --good DIR and --bad DIR, or --since TIME --parts LIST")
    if arguments.table is not None:
        return agreement(presentations_from_table(arguments.table)), f"verdicts of {arguments.table.name}"
    return _shown(arguments)


def _recorded(arguments: argparse.Namespace) -> tuple[Study, str]:
    from datetime import datetime, timezone

    from edge_inspect.cli.calibrating import place_from
    from edge_inspect.config import load_recipe
    from edge_inspect.datatypes import Verdict
    from edge_inspect.field.archive import output_path
    from edge_inspect.field.calibration.sources import duration
    from edge_inspect.field.msa.agreement import agreement
    from edge_inspect.field.msa.presentations import presentations_from_archive
    from edge_inspect.outputs.database import inspections_since

    place = place_from(arguments)
    if place.station is None:
        raise ConfigError("--since: a recipe has no records; give --station FILE")
    part = load_recipe(place.recipe).part
    moment = datetime.now(timezone.utc) - duration(arguments.since)
    database = output_path(place.station, place.base, "database")
    kept = inspections_since(database, moment, verdicts=[verdict.value for verdict in Verdict])
    records = [record for record in kept if record["recipe"] == part]
    found, told = presentations_from_archive(records, arguments.parts, arguments.part_of)
    return agreement(found, told=told), f"records of station {place.station.name} of {part} since {local(moment)}"


def _shown(arguments: argparse.Namespace) -> tuple[Study, str]:
    from edge_inspect.cli.calibrating import opened, place_from
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.field.msa.agreement import agreement
    from edge_inspect.field.msa.presentations import presentations_from_pictures

    with opened(place_from(arguments)) as inspector, ProgressBars() as bars:
        found, left_out = presentations_from_pictures(inspector, arguments.good, arguments.bad, arguments.part_of, bars.show)
        engine, calibration = inspector.model.engine_sha256, inspector.calibration_id
        source = f"pictures of {inspector.recipe.part}, decided by engine {engine} under the thresholds {calibration}"
    return agreement(found, told=left_out), source


def _lines(study: Study, source: str) -> Iterator[str]:
    from edge_inspect.field.msa.page import interval_text, limit_text, said_text, size_text, standing_text, value_text

    yield source
    yield size_text(study)
    yield f"{'':38}{'seen':>20}  {'95 % interval':18}{'limit':28}stands"
    for one in study.figures:
        row = f"{one.name:38}{value_text(one):>20}  {interval_text(one):18}{limit_text(one):28}{standing_text(one)}"
        yield row.rstrip()
    for shown in study.wrong:
        yield f"wrong        {shown[0].part}: known as {'good' if shown[0].good else 'defective'}, said {said_text(shown)}"
    yield from (f"know         {told}" for told in study.told)
    yield f"study        {study.standing.value} by the customary limits"


def _as_json(study: Study, source: str) -> str:
    caught, missed, passed, rejected = study.counts
    told = {
        "standing": study.standing,
        "source": source,
        "figures": {one.name.replace(" ", "_"): asdict(one) for one in study.figures},
        "counts": {"caught": caught, "missed": missed, "passed": passed, "rejected": rejected, "faults": study.faults},
        "wrong": {shown[0].part: [one.verdict.value for one in shown] for shown in study.wrong},
        "told": list(study.told),
    }
    return json.dumps(told, allow_nan=False)
