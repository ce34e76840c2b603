"""The demo from beginning to end: teach, run the line, sum up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.config import load_recipe
from edge_inspect.datatypes import Verdict
from edge_inspect.demo.line import free_port, lay_out, play_plc, read_log, running_station
from edge_inspect.demo.parts import Part, PartSet
from edge_inspect.demo.summary import summarise
from edge_inspect.errors import EdgeInspectError
from edge_inspect.field.fake_plc import Answer
from edge_inspect.thresholds import Thresholds
from edge_inspect.workshop.finishing import Progress
from edge_inspect.workshop.teach import teach

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the line of the demo runs.

    Attributes:
        out: folder for the line and its records.
        port: Modbus TCP port of the station; None takes a free one.
        interval_s: from part to part [s].
        deadline_ms: latest verdict after the trigger [ms].
        false_rejects: the false-reject rate to promise.
    """

    out: Path
    port: int | None
    interval_s: float
    deadline_ms: float
    false_rejects: float


def show(part_set: PartSet, settings: Settings, *, say: Say, progress: Progress) -> dict[str, Any]:
    """Teach on the good pictures, run the line over the parts, and give the summary.

    Args:
        part_set: what is taught and what is inspected.
        settings: how the line runs.
        say: told a line for each step and each part.
        progress: told how far the teaching is.

    Raises:
        EdgeInspectError: teaching or the line failed, or a part has not exactly one record.
    """
    port = settings.port or free_port()
    station = lay_out(settings.out, part_set.name, part_set.parts, port=port, deadline_ms=settings.deadline_ms)
    thresholds = _teach(part_set, settings, say, progress)
    say(f"running the line over {len(part_set.parts)} parts it has not seen (* marks a wrong verdict) ...")
    with running_station(station):
        play_plc(part_set.parts, port=port, interval_s=settings.interval_s, tell=lambda part, answer: say(_line(part, answer)))
    records = read_log(settings.out)
    if len(records) != len(part_set.parts):
        raise EdgeInspectError(
            f"{settings.out}: {len(part_set.parts)} parts were triggered, {len(records)} stand in the log; see station.log"
        )
    labels = [part.label for part in part_set.parts]
    return summarise(records, labels, bound=thresholds.false_reject_bound, promise=thresholds.promise)


def _teach(part_set: PartSet, settings: Settings, say: Say, progress: Progress) -> Thresholds:
    say(f"teaching {part_set.name} on {len(part_set.taught)} good pictures ...")
    recipe = load_recipe(settings.out / "calibration" / part_set.name / "recipe.yaml")
    taught = teach(part_set.taught, recipe=recipe, false_reject_rate=settings.false_rejects, progress=progress)
    say(f"taught in {taught.seconds:.1f} s; {taught.thresholds.promise}")
    return taught.thresholds


def _line(part: Part, answer: Answer) -> str:
    hit = " " if (answer.verdict is Verdict.OK) == part.good else "*"
    return f"{answer.acquisition:5d} {answer.verdict.value:5} {hit} score {answer.score:9.3f}  {part.label}"
