"""No PLC: the station's triggers come from its camera and its verdicts go to its records only."""

from __future__ import annotations

import time

from edge_inspect.datatypes import Inspection, PlcRequest


class Unwired:
    """A `protocols.Plc` that nobody listens to."""

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Nobody asks."""

    def poll(self, timeout_s: float) -> PlcRequest | None:
        """Nobody asks; waits the time out."""
        time.sleep(timeout_s)
        return None

    def begin(self, deadline_ns: int) -> int:  # noqa: ARG002 - the door's signature
        """No acquisition is counted."""
        return 0

    def exposed(self, acquisition: int) -> None:
        """Nobody waits."""

    def emit(self, inspection: Inspection) -> None:
        """Nobody listens."""

    def answer(self, request: PlcRequest, *, job: int, error: str = "") -> None:
        """Nobody asked."""
