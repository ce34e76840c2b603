"""In which order a status block is written into a PLC's memory, so that no scan takes half a result for a whole one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_inspect.plc.registers import STATUS, STATUS_START


def _place(name: str) -> tuple[int, int]:
    row = next(row for row in STATUS if row.name == name)
    return row.address - STATUS_START, 0 if row.bit is None else 1 << row.bit


BITS, VALID = _place("results_valid")
"""Offset of the register with Results Valid, and its bit."""
IDENTITY, _ = _place("inspection_id")
LAST, _ = _place("result_id")


def register_writes(shown: Sequence[int] | None, wanted: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Writes that turn `shown` into `wanted`: offset in the block, and the registers from there on.

    Results Valid goes off first and comes on last; `result_id` is written after everything that belongs to its result.

    Args:
        shown: what stands there (`STATUS_COUNT`,); None where nobody knows.
        wanted: what shall stand there (`STATUS_COUNT`,).
    """
    stays_valid = shown is not None and bool(wanted[BITS] & VALID) and shown[IDENTITY] == wanted[IDENTITY]
    hidden = not stays_valid and (shown is None or bool(shown[BITS] & VALID))
    bits = None if shown is None else shown[BITS]
    if hidden:
        bits = wanted[BITS] & ~VALID
        yield BITS, [bits]
    if shown is None or list(shown[BITS + 1 : LAST]) != list(wanted[BITS + 1 : LAST]):
        yield BITS + 1, list(wanted[BITS + 1 : LAST])
    if shown is None or shown[LAST] != wanted[LAST]:
        yield LAST, [wanted[LAST]]
    if bits != wanted[BITS]:
        yield BITS, [wanted[BITS]]
