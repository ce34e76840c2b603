"""What `protocols.Output` promises, checked on a real record."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from edge_inspect.protocols import Output
from edge_inspect.testing.promise import demand
from edge_inspect.testing.samples import sample_inspections


def check_output(
    open_output: Callable[[], AbstractContextManager[Output]], *, read_back: Callable[[], Collection[int]] | None = None
) -> None:
    """Emit one inspection of each kind, open the output again and emit on.

    Args:
        open_output: opens the output over the same record each time.
        read_back: the sequences that the record holds, read after it is closed; None if it cannot be read.

    Raises:
        AssertionError: what the output does otherwise than `protocols.Output` promises.
        OutputError: it could not record.
    """
    samples = sample_inspections()
    half = len(samples) // 2
    for part in (samples[:half], samples[half:]):
        with open_output() as output:
            demand(isinstance(output, Output), f"{output!r} has no emit(inspection)")
            for inspection in part:
                output.emit(inspection)
    if read_back is not None:
        wanted, got = sorted(sample.sequence for sample in samples), sorted(read_back())
        demand(got == wanted, f"emit returned for {wanted}, but the record holds {got}")
