"""The handshake as plain variables, for PLCs that call no methods: the rows of the Modbus map under OPC UA's names. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge_inspect.plc.registers import CONTROL, STATUS, Kind, Row, decode_status, encode_status
from edge_inspect.plc.signals import Control, Status

TYPES: dict[Kind, str] = {"bit": "Boolean", "bits": "Byte", "uint16": "UInt16", "uint32": "UInt32", "float32": "Float"}
"""OPC UA's name of each type of the map."""
VALID, VERDICT = "results_valid", ("result_code", "job_pass")
IDENTITY, LAST = "inspection_id", "result_id"
Value = bool | int | float
LARGEST_JOB = 999


def browse_name(row: Row) -> str:
    """`results_valid` is `ResultsValid`."""
    return row.name.title().replace("_", "")


def control_rows() -> dict[str, Row]:
    """What the PLC writes, by browse name."""
    return {browse_name(row): row for row in CONTROL}


def status_values(status: Status) -> dict[str, Value]:
    """What the station shows, by the map's names; numbers are what Modbus would show too."""
    shown = decode_status(encode_status(status))
    return {row.name: bool(shown[row.name]) if row.kind == "bit" else shown[row.name] for row in STATUS}


def writes(shown: Mapping[str, Value], wanted: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """What to write, and in which order, so that a subscriber never sees a new result as valid before it is whole.

    Results Valid goes off first and comes on last; `result_id` comes after all that belongs to its result.
    """
    is_new = bool(shown) and shown[IDENTITY] != wanted[IDENTITY]
    hidden = bool(shown) and shown[VALID] and (is_new or not wanted[VALID])
    at_last = (*VERDICT, LAST, VALID)
    if hidden:
        yield VALID, False
    for name, value in wanted.items():
        if name not in at_last and _differs(shown, name, value):
            yield name, value
    for name in at_last:
        if (name == VALID and hidden and wanted[VALID]) or (not (name == VALID and hidden) and _differs(shown, name, wanted[name])):
            yield name, wanted[name]


def job_or_level(row: Row, value: object) -> Value | None:
    """What the PLC wrote, if it can be that; None otherwise."""
    if row.kind == "bit":
        return value if isinstance(value, bool) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_JOB else None


def control_values(control: Control) -> dict[str, Value]:
    """The control levels as they stand, by browse name."""
    return {name: getattr(control, row.name) for name, row in control_rows().items()}


def _differs(shown: Mapping[str, Value], name: str, value: Value) -> bool:
    if name not in shown:
        return True
    before = shown[name]
    return not (before == value or (before != before and value != value))  # noqa: PLR0124 - not a number, twice
