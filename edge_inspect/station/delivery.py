"""Where an inspection goes: the PLC first, since the reject gate waits for it; then the records, in the order of the file."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from edge_inspect.datatypes import Inspection
from edge_inspect.errors import DeadlineMissed, OutputError, PlcError
from edge_inspect.protocols import Output, Plc
from edge_inspect.service.live import LiveStatus
from edge_inspect.station.inspections import Trigger, too_late

log = logging.getLogger(__name__)


class Delivery:
    """PLC wire, records and status of one station. A broken one is an alarm, and the others get theirs."""

    def __init__(self, *, plc: Plc, outputs: Sequence[tuple[str, Output]], status: LiveStatus) -> None:
        self._plc = plc
        self._outputs = outputs
        self._status = status

    def deliver(self, inspection: Inspection, trigger: Trigger) -> None:
        """Tell the PLC, then write the records. What the wire refused as too late is recorded as the FAULT it has said."""
        started = time.monotonic_ns()
        try:
            self._plc.emit(inspection)
            self.alarm("plc", "")
        except DeadlineMissed:
            inspection = too_late(inspection, trigger)
        except PlcError as error:
            self.alarm("plc", str(error))
        self.record(replace(inspection, latency=replace(inspection.latency, emit=time.monotonic_ns() - started)))

    def record(self, inspection: Inspection) -> None:
        """Write the records of a part whose verdict the PLC has."""
        for name, output in self._outputs:
            try:
                output.emit(inspection)
                self.alarm(name, "")
            except OutputError as error:
                self.alarm(name, str(error))
        self._status.note(inspection)

    def alarm(self, source: str, text: str) -> None:
        """Raise the alarm of `source`, or clear it with ""."""
        if self._status.alarm(source, text):
            log.warning("alarm: %s: %s", source, text or "over")
