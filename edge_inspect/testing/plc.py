"""What `protocols.Plc` promises, checked on a real wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from edge_inspect.datatypes import Inspection, PlcRequest, RequestKind
from edge_inspect.errors import DeadlineMissed, PlcError
from edge_inspect.protocols import Plc
from edge_inspect.testing.promise import PATIENCE_S, demand
from edge_inspect.testing.samples import sample_inspections

SECOND_NS = 1_000_000_000


def check_plc(open_plc: Callable[[], AbstractContextManager[Plc]]) -> None:
    """Take parts that the camera saw through the wire: in time, twice, too late and after a job change.

    Args:
        open_plc: opens the wire; no PLC need be connected.

    Raises:
        AssertionError: what the wire does otherwise than `protocols.Plc` promises.
        PlcError: the wire is broken.
    """
    with open_plc() as plc:
        demand(isinstance(plc, Plc), f"{plc!r} lacks one of ready, poll, begin, exposed, emit, answer")
        plc.ready(False, "the check begins")
        plc.ready(True)
        _check_poll(plc)
        _check_acquisitions(plc)
        _check_late(plc)
        asked = PlcRequest(kind=RequestKind.JOB_CHANGE, received_ns=time.monotonic_ns(), job=2)
        plc.answer(asked, job=1, error="there is no job 2")
    with open_plc() as plc:
        plc.ready(True)
        _check_poll(plc)


def _check_poll(plc: Plc) -> None:
    started = time.monotonic()
    request = plc.poll(0.01)
    took_s = time.monotonic() - started
    demand(request is None or isinstance(request, PlcRequest), f"poll must give a PlcRequest or None, got {request!r}")
    demand(took_s < PATIENCE_S, f"poll(0.01) took {took_s:.1f} s")


def _check_acquisitions(plc: Plc) -> None:
    """Each acquisition has its own count and takes exactly one verdict, whichever it is."""
    counts: list[int] = []
    for inspection in sample_inspections():
        counts.append(plc.begin(time.monotonic_ns() + 60 * SECOND_NS))
        plc.exposed(counts[-1])
        verdict = _numbered(inspection, counts[-1])
        plc.emit(verdict)
        demand(_refused(plc, verdict, PlcError), "a second verdict for the same acquisition must raise PlcError")
    demand(len(set(counts)) == len(counts), f"begin must give each acquisition its own count, got {counts}")


def _check_late(plc: Plc) -> None:
    count = plc.begin(time.monotonic_ns() + SECOND_NS // 100)
    time.sleep(0.1)
    late = _numbered(sample_inspections()[0], count)
    demand(_refused(plc, late, DeadlineMissed), "a verdict after the deadline must raise DeadlineMissed: the wire has said FAULT")


def _refused(plc: Plc, inspection: Inspection, kind: type[PlcError]) -> bool:
    try:
        plc.emit(inspection)
    except kind:
        return True
    return False


def _numbered(inspection: Inspection, acquisition: int) -> Inspection:
    return replace(inspection, acquisition=acquisition)
