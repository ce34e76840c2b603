"""`edge-inspect calibrate`: propose thresholds from good parts, show what they would change, put them in force, take them back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.cli.words import add_place, positive
from edge_inspect.errors import ConfigError

if TYPE_CHECKING:
    from datetime import timedelta

    from edge_inspect.cli.calibrating import Place
    from edge_inspect.field.calibration.calibration import Calibration
    from edge_inspect.field.calibration.parts import Parts
    from edge_inspect.scoring import Scorer

NAME = "calibrate"
HELP = "propose thresholds from good parts, show what they would change, put them in force, take them back"
EXAMPLE = 'edge-inspect calibrate --station station.yaml --since 2h --report cell.html, then --apply --reason "new lamp"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments the verb takes."""
    add_place(parser)
    _add_sources(parser)
    _add_wishes(parser)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write one HTML page, nothing outside it is loaded")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write the plots as PNG files")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _add_changes(parser)


def run(arguments: argparse.Namespace) -> int:
    """Calibrate, or look into the history.

    Returns:
        0; 1 where --apply was refused since the sample does not carry the promise, a history is not what stands in force, or
        --transfer finds that the thresholds move too far.

    Raises:
        EdgeInspectError: files are wrong, parts are missing, or the engine is not accepted.
    """
    from edge_inspect.cli.calibrating import place_from, show_difference, show_history, take_back_and_tell, transfer_and_tell
    from edge_inspect.service.alone import is_held
    from edge_inspect.service.giving_way import give_way

    place = place_from(arguments)
    if place.station is not None and is_held(place.station.data):
        give_way()
    if arguments.history:
        return show_history(place, as_json=arguments.json)
    if arguments.diff:
        return show_difference(place, *arguments.diff, as_json=arguments.json)
    if arguments.rollback:
        return take_back_and_tell(place, arguments.rollback, reason=arguments.reason, as_json=arguments.json)
    if arguments.transfer:
        return transfer_and_tell(place, as_json=arguments.json)
    return _calibrate(place, arguments)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--good", type=Path, metavar="DIR", help="folder of pictures of good parts")
    source.add_argument(
        "--live", type=positive, metavar="N", help="N parts in front of the station's camera, beside the running station or without it"
    )
    source.add_argument("--since", metavar="TIME", help="what the running station has stored since: 90s, 45m, 2h or 3d")
    parser.add_argument(
        "--bad", type=Path, metavar="DIR", help="folder of pictures of defective parts, sub-folders too; beside any of the three"
    )
    parser.add_argument("--only", nargs="+", choices=("OK", "NG"), default=["OK"], help="verdicts to take with --since (default: OK)")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="NAME", help="parts that are not good after all, by name or number")
    parser.add_argument(
        "--preview", type=int, default=100, metavar="N", help="also try the thresholds on the N newest stored parts (default %(default)s)"
    )


def _add_wishes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rule",
        choices=("quantile", "tail", "mean", "f1", "youden", "recall90", "svm"),
        default="quantile",
        help="how the threshold is chosen (default: quantile, the only one with a promise)",
    )
    parser.add_argument("--false-rejects", type=float, default=0.01, metavar="RATE", help="rate to promise (default %(default)s)")
    parser.add_argument("--regions", action="store_true", help="also learn the least area of a region, with a lower pixel threshold")
    parser.add_argument("--confidence", type=float, default=0.95, metavar="SHARE", help="how sure the promise is (default %(default)s)")


def _add_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--apply", action="store_true", help="put the thresholds in force; without it nothing is changed")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the history; needed to change anything")
    parser.add_argument("--history", action="store_true", help="show who changed the thresholds when and why")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="what differs between two entries of the history")
    parser.add_argument("--transfer", action="store_true", help="how far the thresholds move on the engine as it is opened here")
    parser.add_argument("--rollback", metavar="ID", help="put an earlier entry in force again, by its number or calibration id")


def _calibrate(place: Place, arguments: argparse.Namespace) -> int:
    from edge_inspect.cli.calibrating import lines
    from edge_inspect.cli.progress import ProgressBars
    from edge_inspect.field.calibration.apply import apply, refuse_without_reason
    from edge_inspect.field.calibration.calibration import calibrate, summary
    from edge_inspect.scoring import open_scorer
    from edge_inspect.thresholds.proposing import Wanted

    since = _checked(arguments)
    if arguments.apply:
        refuse_without_reason(arguments.reason)
    with open_scorer(place.recipe, place.runtime, base=place.base, public_key=place.public_key) as scorer:
        with ProgressBars() as bars:
            parts = _parts(scorer, place, arguments, since, bars).without(arguments.leave_out)
            stored = _stored(scorer, place, arguments, bars)
        wanted = Wanted(rate=arguments.false_rejects, confidence=arguments.confidence, decision=scorer.recipe.decision)
        found = calibrate(scorer, parts, stored, rule=arguments.rule, wanted=wanted, regions=arguments.regions)
        _write(found, arguments)
        applied = None
        if arguments.apply and not found.proposed.refusal:
            applied = apply(scorer, found.proposed.thresholds, found.parts, reason=arguments.reason, kind=place.runtime.kind)
    told: dict[str, Any] = {**summary(found), "applied": None if applied is None else applied.number}
    print(json.dumps(told, allow_nan=False) if arguments.json else "\n".join(lines(found, applied, asked=arguments.apply)))
    return 1 if arguments.apply and applied is None else 0


def _checked(arguments: argparse.Namespace) -> timedelta | None:
    """The time asked for, and no combination that means nothing."""
    from edge_inspect.cli.onnx_needed import refuse_without
    from edge_inspect.field.calibration.sources import duration

    if arguments.good is None and arguments.live is None and arguments.since is None:
        raise ConfigError("from which parts? Give --good DIR, --live N, or --since 2h; or --history, --diff A B, --rollback ID")
    if arguments.recipe is not None and arguments.good is None:
        raise ConfigError("--recipe: has no station, so no camera and no archive; give --good DIR, or --station FILE")
    if arguments.report is not None or arguments.plots is not None:
        refuse_without("calibrate --report", {"matplotlib": "matplotlib"}, extra="calibrate")
    return None if arguments.since is None else duration(arguments.since)


def _parts(scorer: Scorer, place: Place, arguments: argparse.Namespace, since: timedelta | None, bars: Any) -> Parts:
    from edge_inspect.field.calibration.sources import parts_from_archive, parts_from_camera, parts_from_folders, with_defective

    if arguments.good is not None:
        return parts_from_folders(scorer, arguments.good, arguments.bad, bars.show)
    assert place.station is not None
    if since is not None:
        found = parts_from_archive(scorer, place.station, place.base, since=since, verdicts=arguments.only, progress=bars.show)
    else:
        found = parts_from_camera(scorer, place.station, place.base, arguments.live, bars.show)
    return found if arguments.bad is None else with_defective(scorer, found, arguments.bad, bars.show)


def _stored(scorer: Scorer, place: Place, arguments: argparse.Namespace, bars: Any) -> Parts:
    from edge_inspect.field.calibration.parts import Parts
    from edge_inspect.field.calibration.sources import last_stored

    if place.station is None or arguments.preview <= 0:
        return Parts(parts=())
    return last_stored(scorer, place.station, place.base, arguments.preview, bars.show)


def _write(found: Calibration, arguments: argparse.Namespace) -> None:
    if arguments.report is None and arguments.plots is None:
        return
    from edge_inspect.field.calibration.report import write_plots, write_report

    if arguments.report is not None:
        write_report(found, arguments.report)
    if arguments.plots is not None:
        write_plots(found, arguments.plots)
