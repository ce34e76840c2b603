"""Where an inspection goes: the PLC first, since the reject gate waits for it; then the records, in the order of the file.

Before the PLC it is noted (`promised`), so that a kill between the two loses no record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from edge_inspect import __version__
from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.errors import DeadlineMissed, OutputError, PlcError
from edge_inspect.events import Event, fields
from edge_inspect.inspector import Inspector
from edge_inspect.protocols import CatchesUp, Output, Plc, StandingAlarm
from edge_inspect.service.live import LiveStatus
from edge_inspect.station.inspections import OUT_OF_MEMORY, Trigger, too_late
from edge_inspect.station.promised import Identity, Promised

log = logging.getLogger(__name__)

CATCH_UP_S = 0.02
"""Longest time that a trigger may wait for records of earlier parts [s]."""


class Delivery:
    """PLC wire, records and status of one station. A broken one is an alarm, and the others get theirs."""

    def __init__(self, *, plc: Plc, outputs: Sequence[tuple[str, Output]], status: LiveStatus, promised: Promised) -> None:
        self._plc = plc
        self._outputs = outputs
        self._status = status
        self._promised = promised
        # What an output offers is looked up once: to ask a Protocol takes longer than to write the record's line.
        self._catching_up = [(name, output) for name, output in outputs if isinstance(output, CatchesUp)]
        self._standing = {name: output for name, output in outputs if isinstance(output, StandingAlarm)}
        for name, _ in outputs:
            self._tell(name)

    def decides(self, inspector: Inspector) -> None:
        """Note what is in force from here on: a part of which the loop sees nothing before a kill is recorded with it."""
        identity = Identity(
            recipe=inspector.recipe.part,
            engine_sha256=inspector.model.engine_sha256,
            calibration_id=inspector.calibration_id,
            recipe_sha256=inspector.recipe_sha256,
            software=__version__,
        )
        self._promised.decides(identity)

    def expect(self, inspection: Inspection) -> None:
        """Note what is to be recorded of a part should the station be killed before its verdict stands."""
        self._promised.expect(inspection)

    def deliver(self, inspection: Inspection, trigger: Trigger) -> None:
        """Tell the PLC, then write the records. What the wire refused as too late is recorded as the FAULT it has said."""
        started = time.monotonic_ns()
        self._promised.expect(inspection)
        try:
            self._plc.emit(inspection)
            self.alarm("plc", "")
        except DeadlineMissed:
            inspection = too_late(inspection, trigger)
        except PlcError as error:
            self.alarm("plc", str(error))
        self._record(replace(inspection, latency=replace(inspection.latency, emit=time.monotonic_ns() - started)))

    def record(self, inspection: Inspection) -> None:
        """Write the records of a part for which the wire has said FAULT by itself."""
        self._promised.expect(inspection)
        self._record(inspection)

    def _record(self, inspection: Inspection) -> None:
        for name, output in self._outputs:
            try:
                output.emit(inspection)
                self._tell(name)
            except OutputError as error:
                self.alarm(name, str(error))
            except MemoryError:
                self.alarm(name, f"inspection {inspection.sequence} was not recorded: {OUT_OF_MEMORY}")
        self._promised.recorded(inspection, owed=self._is_owed())
        self.alarm("crash note", self._promised.alarm)
        self._status.note(inspection)
        if inspection.verdict is Verdict.FAULT:
            said = fields(Event.PART_FAULT, part=inspection.sequence, part_id=inspection.part_id, verdict=inspection.verdict.value)
            log.warning("part %d FAULT: %s", inspection.sequence, inspection.reason, extra=said)

    def catch_up(self) -> None:
        """Between two parts: records that wait for their disk are tried again."""
        if not self._is_owed():
            return
        for name, output in self._catching_up:
            if output.waiting:
                output.catch_up(CATCH_UP_S)
                if not output.waiting:
                    self._tell(name)
        if not self._is_owed():
            self._promised.caught_up()

    def _is_owed(self) -> bool:
        return any(output.waiting for _, output in self._catching_up)

    def _tell(self, name: str) -> None:
        """The alarm that an output has standing although it took the part, or that it has none."""
        standing = self._standing.get(name)
        self.alarm(name, "" if standing is None else standing.alarm)

    def alarm(self, source: str, text: str) -> None:
        """Raise the alarm of `source`, or clear it with ""."""
        if self._status.alarm(source, text):
            event = Event.ALARM if text else Event.ALARM_OVER
            log.warning("alarm: %s: %s", source, text or "over", extra=fields(event, alarm=source))
