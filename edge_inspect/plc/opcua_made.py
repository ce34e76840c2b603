"""A result at the moment it is made, for a wire that shows each of them and not only the one the PLC has to acknowledge. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from edge_inspect.datatypes import Inspection
from edge_inspect.plc.results import ResultQueue
from edge_inspect.plc.signals import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One result at the moment it was made.

    Attributes:
        count: the wire's count of results, from 1.
        result: what the handshake says of it.
        inspection: the station's own word; None where the wire said FAULT by itself.
        job: the job that ran.
        at: when, UTC.
    """

    count: int
    result: Result
    inspection: Inspection | None
    job: int
    at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


class ResultTap(ResultQueue):
    """A queue that tells of each result put in."""

    def __init__(self, made: Callable[[Result], None]) -> None:
        super().__init__()
        self._made = made

    def put(self, result: Result, *, buffered: bool) -> None:
        """Take a result in, and tell of it."""
        super().put(result, buffered=buffered)
        self._made(result)
