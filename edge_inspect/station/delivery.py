"""Where an inspection goes: the PLC first, since the reject gate waits for it; then the records, in the order of the file.

Before the PLC it is noted (`promised`), so that a kill between the two loses no record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from edge_inspect.datatypes import Inspection
from edge_inspect.errors import DeadlineMissed, OutputError, PlcError
from edge_inspect.protocols import Output, Plc, StandingAlarm
from edge_inspect.service.live import LiveStatus
from edge_inspect.station.inspections import Trigger, too_late
from edge_inspect.station.promised import Promised

log = logging.getLogger(__name__)


class Delivery:
    """PLC wire, records and status of one station. A broken one is an alarm, and the others get theirs."""

    def __init__(self, *, plc: Plc, outputs: Sequence[tuple[str, Output]], status: LiveStatus, promised: Promised) -> None:
        self._plc = plc
        self._outputs = outputs
        self._status = status
        self._promised = promised
        for name, output in outputs:
            self.alarm(name, _standing(output))

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
                self.alarm(name, _standing(output))
            except OutputError as error:
                self.alarm(name, str(error))
        self._promised.recorded(inspection)
        self.alarm("crash note", self._promised.alarm)
        self._status.note(inspection)

    def alarm(self, source: str, text: str) -> None:
        """Raise the alarm of `source`, or clear it with ""."""
        if self._status.alarm(source, text):
            log.warning("alarm: %s: %s", source, text or "over")


def _standing(output: Output) -> str:
    return output.alarm if isinstance(output, StandingAlarm) else ""
