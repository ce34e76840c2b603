"""May this engine serve, and the record that it may.

`gate` holds an engine against its golden frames; `record` writes down what came of it, bound to engine, device and threshold.
"""

from edge_inspect.acceptance.gate import LEAST_OVERLAP, REPEATS, ROUNDS, TOLERANCE, Acceptance, accept, compare, demand_agreement
from edge_inspect.acceptance.record import (
    ACCEPTANCE_FILE,
    AcceptanceRecord,
    Binding,
    bind,
    demand_acceptance,
    with_acceptance,
    write_acceptance,
)

__all__ = [
    "ACCEPTANCE_FILE",
    "LEAST_OVERLAP",
    "REPEATS",
    "ROUNDS",
    "TOLERANCE",
    "Acceptance",
    "AcceptanceRecord",
    "Binding",
    "accept",
    "bind",
    "compare",
    "demand_acceptance",
    "demand_agreement",
    "with_acceptance",
    "write_acceptance",
]
