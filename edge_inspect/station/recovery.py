"""After a crash: what the PLC was told and no record holds is recorded, before the first new part. Nothing is recorded twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from collections.abc import Sequence as Several
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path

from edge_inspect.datatypes import Inspection, Latency, Verdict
from edge_inspect.errors import OutputError
from edge_inspect.events import Event, fields
from edge_inspect.outputs.records import Record, inspection_from_record
from edge_inspect.protocols import Output, Remembers
from edge_inspect.service.sequence import Sequence
from edge_inspect.station.promised import Left, Told, read_left, settle

log = logging.getLogger(__name__)

NOT_SEEN = "the station had not seen its trigger yet"
"""What becomes of a part of which only the count of its trigger is known."""


def record_what_was_left(note: Path, *, outputs: Several[tuple[str, Output]], sequence: Sequence, station: str) -> None:
    """Give each output that can say what it holds what it does not hold yet.

    What is found is settled in the note first: killed again meanwhile, the next start finds the same under the same counts.
    """
    inspections = list(inspections_left(read_left(note), sequence))
    settle(note, inspections, station=station)
    for inspection in inspections:
        for name, output in outputs:
            if isinstance(output, Remembers):
                _give(name, output, inspection)


def inspections_left(left: Left, sequence: Sequence) -> Iterator[Inspection]:
    """What must stand in the records: each part with the verdict that the PLC could see, and the parts that only the wire knew of."""
    yield from _read(left.settled)
    known = set()
    for inspection in _read(left.parts):
        known.add(inspection.acquisition)
        yield _as_told(inspection, left.told.get(inspection.acquisition))
    only_told = {acquisition: told for acquisition, told in left.told.items() if acquisition not in known}
    not_seen = sorted(left.counted.keys() - known - left.told.keys())
    only_counted = {acquisition: Told(Verdict.FAULT.value, NOT_SEEN, left.counted[acquisition]) for acquisition in not_seen}
    for acquisition, told in (only_told | only_counted).items():
        yield _only_told(acquisition, told, sequence.next())


def _read(records: Several[Record]) -> Iterator[Inspection]:
    for record in records:
        try:
            yield inspection_from_record(record)
        except (KeyError, TypeError, ValueError):
            log.warning("a line of the crash note is no inspection; it is passed over: %s", record)


def _as_told(inspection: Inspection, told: Told | None) -> Inspection:
    if told is not None and told.verdict == inspection.verdict.value:
        return inspection
    if inspection.verdict is Verdict.FAULT:
        return inspection
    why = "the station ended before the PLC was told" if told is None else told.why
    reason = f"not inspected: {why}; it would have been {inspection.verdict.value}: {inspection.reason}"
    return replace(inspection, verdict=Verdict.FAULT, reason=reason, score=None, threshold=None, regions=())


def _only_told(acquisition: int, told: Told, sequence: int) -> Inspection:
    """A FAULT that the wire has said by itself, of a part that the loop has not seen; with what was in force then."""
    return Inspection(
        sequence=sequence,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=Verdict(told.verdict),
        reason=f"not inspected: {told.why}; the station ended before it was recorded",
        score=None,
        threshold=None,
        regions=(),
        latency=Latency(),
        **asdict(told.identity),
    )


def _give(name: str, output: Remembers, inspection: Inspection) -> None:
    try:
        if output.holds(inspection.sequence):
            return
        output.emit(inspection)
    except OutputError as error:
        log.error("%s: inspection %d, left by a crash, was not recorded: %s", name, inspection.sequence, error)
    else:
        said = fields(Event.RECOVERED, part=inspection.sequence, verdict=inspection.verdict.value)
        log.warning(
            "%s: inspection %d (%s), left by a crash, is recorded now", name, inspection.sequence, inspection.verdict.value, extra=said
        )
