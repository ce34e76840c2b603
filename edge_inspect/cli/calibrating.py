"""What `edge-inspect calibrate` says: the proposal as a table, the history, and where it works."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_inspect.cli.history_text import difference_lines, entry_lines
from edge_inspect.cli.progress import ProgressBars
from edge_inspect.config import DEFAULT_RUNTIME, PluginBlock, Station, load_recipe, load_station
from edge_inspect.errors import ConfigError
from edge_inspect.field.calibration.apply import take_back
from edge_inspect.field.calibration.calibration import Calibration, learnt_rows, rule_rows
from edge_inspect.field.calibration.preview import Rate
from edge_inspect.inspector import Inspector, open_inspector
from edge_inspect.scoring import open_scorer
from edge_inspect.thresholds.history import Entry, complaint, differences, find_entry, read_history
from edge_inspect.thresholds.proposing import Proposal
from edge_inspect.transfer import ALLOWED, Transfer, transfer

NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where is calibrated: a recipe, the runtime that opens its engine, and the station, if there is one."""

    recipe: Path
    runtime: PluginBlock
    base: Path
    station: Station | None

    @property
    def public_key(self) -> Path | None:
        """Whose signature the station asks of its models, if there is a station and it asks."""
        return None if self.station is None else self.station.public_key


def place_from(arguments: argparse.Namespace) -> Place:
    """Read the station file, or take the recipe alone.

    Raises:
        ConfigError: the station file is wrong, or has no such job.
    """
    if arguments.recipe is not None:
        runtime = _with_precision(PluginBlock(kind=arguments.runtime or DEFAULT_RUNTIME), arguments.precision)
        return Place(recipe=arguments.recipe, runtime=runtime, base=arguments.recipe.resolve().parent, station=None)
    station = load_station(arguments.station)
    named = station.runtime if arguments.runtime is None else PluginBlock(kind=arguments.runtime)
    runtime = _with_precision(named, arguments.precision)
    recipe = _job_recipe(station, arguments.station, arguments.job)
    return Place(recipe=recipe, runtime=runtime, base=arguments.station.resolve().parent, station=station)


@contextmanager
def opened(place: Place) -> Iterator[Inspector]:
    """The accepted engine under the thresholds in force, as the line would open it; `open_inspector` says what it raises."""
    required = place.station is not None and place.station.acceptance == "required"
    with open_inspector(place.recipe, place.runtime, base=place.base, accepted_before=required, public_key=place.public_key) as inspector:
        yield inspector


def _with_precision(runtime: PluginBlock, precision: str | None) -> PluginBlock:
    if precision is None:
        return runtime
    return PluginBlock.model_validate({"kind": runtime.kind, **runtime.options, "precision": precision})


def _job_recipe(station: Station, file: Path, job: int | None) -> Path:
    if job is None:
        return station.recipe
    if job not in station.jobs:
        raise ConfigError(f"{file}: has no job {job}; it has {', '.join(map(str, sorted(station.jobs))) or 'none'}")
    return station.jobs[job]


def lines(found: Calibration, applied: Entry | None, *, asked: bool) -> Iterator[str]:
    """The proposal in words and figures."""
    seen, new = found.preview, found.proposed.thresholds
    counts = f"{len(found.parts.good)} good parts, {len(found.parts.defective)} defective, {len(seen.stored)} stored"
    yield f"part         {found.part}: {counts}"
    yield from (f"left out     {reason}" for reason in found.parts.left_out[:NAMED])
    if len(found.parts.left_out) > NAMED:
        yield f"left out     and {len(found.parts.left_out) - NAMED} more"
    yield from (f"know         {told}" for told in found.parts.told)
    yield f"highest      {', '.join(f'{part.name} {part.score:.3f}' for part in found.highest[:3])}: look whether they are good"
    yield f"{'':24}{'old':>26}{'new':>26}"
    old_image, old_pixel = (None, None) if seen.old is None else (seen.old.image_threshold, seen.old.pixel_threshold)
    yield _row("image threshold", _figure(old_image), _figure(new.image_threshold))
    yield _row("pixel threshold", _figure(old_pixel), _figure(new.pixel_threshold))
    yield from (_row(*row) for row in learnt_rows(found))
    has_old = seen.old is not None
    yield _row("good parts rejected", _rate(seen.false_rejects(old=True)) if has_old else "", _rate(seen.false_rejects()))
    yield _row("defective parts passed", _rate(seen.escapes(old=True)) if has_old else "", _rate(seen.escapes()))
    yield _row("stored parts rejected", _rate(seen.rejects(old=True)) if has_old else "", _rate(seen.rejects()))
    if found.no_old:
        yield f"old          none to compare with: {found.no_old}"
    yield from _flip_lines(found)
    yield from (_rule_line(name, one) for name, one in rule_rows(found)[1:])
    yield f"rule         {found.proposed.proposal.described}"
    yield f"promise      {found.proposed.proposal.promise}"
    yield _outcome(found, applied, asked=asked)


def _flip_lines(found: Calibration) -> Iterator[str]:
    flips = found.preview.flips
    if found.preview.old is None:
        return
    yield f"flips        {len(flips)} verdicts of {len(found.preview.labelled) + len(found.preview.stored)}"
    for one in flips[:NAMED]:
        assert one.before is not None
        yield f"             {one.part.name}: {one.before.value} becomes {one.after.value}, score {one.part.score:.3f}"
    if len(flips) > NAMED:
        yield f"             and {len(flips) - NAMED} more (--report FILE shows pictures, --json names all)"


def _outcome(found: Calibration, applied: Entry | None, *, asked: bool) -> str:
    if applied is not None:
        return f"in force     as #{applied.number}, {applied.thresholds.calibration_id}; a running station takes it over between two parts"
    if found.proposed.refusal:
        return f"{'REFUSED' if asked else 'not enough':12} {found.proposed.refusal}"
    return "unchanged    put it in force with --apply --reason TEXT"


def _rule_line(name: str, one: Proposal | str) -> str:
    return f"other rule   {name:9} {one if isinstance(one, str) else f'{one.image_threshold:.4g}: {one.promise}'}"


def _row(name: str, old: str, new: str) -> str:
    return f"{name:24}{old:>26}{new:>26}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _rate(rate: Rate) -> str:
    return f"{rate.seen}/{rate.parts} ({rate.low:.1%} to {rate.high:.1%})" if rate.parts else "-"


def show_history(place: Place, *, as_json: bool) -> int:
    """Print every entry; 1 where what stands in force is not the last one.

    Raises:
        ConfigError: the history is not as it was written.
    """
    path = load_recipe(place.recipe).thresholds
    entries = read_history(path)
    wrong = complaint(path, entries)
    if as_json:
        rows = [{**entry.model_dump(mode="json"), "calibration_id": entry.thresholds.calibration_id} for entry in entries]
        print(json.dumps({"entries": rows, "complaint": wrong}))
    else:
        told = [line for entry in entries for line in entry_lines(entry)] or [f"{path}: has no history yet"]
        print("\n".join([*told, *([f"BEWARE       {wrong}"] if wrong else [])]))
    return 1 if wrong else 0


def show_difference(place: Place, one: str, other: str, *, as_json: bool) -> int:
    """Print what differs between two entries, and who made them and why.

    Raises:
        ConfigError: the history is not as it was written, or has no such entry.
    """
    entries = read_history(load_recipe(place.recipe).thresholds)
    before, after = find_entry(entries, one), find_entry(entries, other)
    if as_json:
        changed = {key: list(values) for key, values in differences(before, after).items()}
        print(json.dumps({"entries": [_who_and_why(entry) for entry in (before, after)], **changed}))
    else:
        print("\n".join(difference_lines(before, after)))
    return 0


def _who_and_why(entry: Entry) -> dict[str, Any]:
    told = entry.model_dump(mode="json", include={"number": True, "at": True, "change": {"by", "action", "reason"}})
    return {"number": told["number"], "at": told["at"], **told["change"]}


def take_back_and_tell(place: Place, name: str, *, reason: str, as_json: bool) -> int:
    """Put an earlier entry in force again.

    Raises:
        ConfigError: no reason, no such entry, or one for another engine or recipe.
        EngineError: the engine does not agree with its golden frames under it.
    """
    earlier = find_entry(read_history(load_recipe(place.recipe).thresholds), name)
    with open_scorer(place.recipe, place.runtime, base=place.base, public_key=place.public_key) as scorer:
        entry = take_back(scorer, earlier, reason=reason, kind=place.runtime.kind)
    print(json.dumps(entry.model_dump(mode="json")) if as_json else "\n".join(entry_lines(entry)))
    return 0


def transfer_and_tell(place: Place, *, as_json: bool) -> int:
    """Print how far the thresholds move on the engine as it is opened here; 1 where they cannot stay as they are.

    Raises:
        ConfigError: no frames are stored, or they are of another size.
        EngineError: the engine is not accepted, or failed on a frame.
    """
    with open_scorer(place.recipe, place.runtime, base=place.base, public_key=place.public_key) as scorer, ProgressBars() as bars:
        found = transfer(scorer, bars.show)
    if as_json:
        shares = {"image_share": found.image.share, "pixel_share": found.pixel.share}
        print(json.dumps({**asdict(found), **shares, "holds": found.holds, "complaints": found.complaints}))
    else:
        print("\n".join(_transfer_lines(found)))
    return 0 if found.holds else 1


def _transfer_lines(found: Transfer) -> Iterator[str]:
    yield f"frames       {found.frames}, scored by engine {found.before[:12]} then, by {found.now[:12]} now"
    for name, move in found.moves.items():
        yield (
            f"{name:12} threshold {move.threshold:.6g} would be {move.moved:.6g}: {move.share:.2%} of its room; one frame's score moves by "
            f"{move.largest:.3g} at most; flips {', '.join(move.flips) or 'none'}"
        )
    yield (
        "holds        the thresholds can stay"
        if found.holds
        else f"DOES NOT HOLD more than {ALLOWED:.0%} of the room, or a frame that ends so far on the other side: "
        "calibrate the part again on this device"
    )
