"""The Modbus map: one table, from which the server encodes, a client decodes and docs/modbus.md is written.

Addresses are zero-based, as they travel on the wire. Numbers of two registers have the high word first; floats are IEEE 754
(byte order ABCD). Coils and discrete inputs show the same registers bit by bit: coil = 16 * register + bit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from edge_inspect.plc.signals import Control, Status

CONTROL_START = 0
CONTROL_COUNT = 3
STATUS_START = 100
Kind = Literal["bit", "bits", "uint16", "uint32", "float32"]
REGISTERS: dict[Kind, int] = {"bit": 1, "bits": 1, "uint16": 1, "uint32": 2, "float32": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry of the map.

    Attributes:
        address: first register, zero-based.
        bit: lowest bit within the register, None for whole registers.
        width: number of bits, for `bit` and `bits`.
        kind: how the value lies in the register(s).
        name: its name in docs, in `decode` and in `Control`.
        source: where the value is read from in `Status`; equals `name` where not said.
        meaning: one line for the PLC programmer.
    """

    address: int
    kind: Kind
    name: str
    meaning: str
    bit: int | None = None
    width: int = 1
    source: str = ""

    @property
    def registers(self) -> int:
        """How many registers it takes."""
        return REGISTERS[self.kind]


def _bit(address: int, bit: int, name: str, meaning: str, *, width: int = 1) -> Row:
    return Row(address=address, kind="bit" if width == 1 else "bits", name=name, meaning=meaning, bit=bit, width=width)


def _noticed(bit: int, name: str, meaning: str) -> Row:
    return Row(address=101, kind="bit", name=name, meaning=meaning, bit=bit, source=f"notices.{name}")


def _number(address: int, kind: Kind, name: str, meaning: str, source: str = "") -> Row:
    return Row(address=address, kind=kind, name=name, meaning=meaning, source=source)


CONTROL: tuple[Row, ...] = (
    _bit(0, 0, "trigger_enable", "triggers count; without it Trigger is ignored and Trigger Ready stays off"),
    _bit(0, 1, "trigger", "rising edge: one part is here"),
    _bit(0, 2, "buffer_results_enable", "up to 8 results wait for their acknowledgement; off: the newest replaces"),
    _bit(0, 3, "results_ack", "rising: the result shown was read; falling: show the next"),
    _bit(0, 4, "execute_command", "rising edge: change to the job in register 2"),
    _bit(0, 7, "set_offline", "no inspection is wanted; triggers are missed"),
    _bit(1, 2, "clear_error", "rising edge: clear error, error code, missed acquisition and overrun"),
    _number(2, "uint16", "job", "job asked for, 0 to 999; write it before or together with execute_command"),
)
"""What the PLC writes."""

STATUS: tuple[Row, ...] = (
    _bit(100, 0, "trigger_ready", "a trigger is accepted now"),
    _bit(100, 1, "trigger_ack", "the trigger was accepted; off when Trigger falls"),
    _bit(100, 3, "missed_acquisition", "a trigger came while not ready (it got a FAULT result); until the next accepted one"),
    _bit(100, 4, "offline_reason", "0 online, 1 the station is not ready, 2 Set Offline", width=3),
    _bit(100, 7, "online", "the station works"),
    _bit(100, 8, "system_busy", "a part is being inspected or a command executes"),
    _bit(100, 9, "inspection_completed", "changes its level with every result"),
    _bit(100, 10, "results_buffer_overrun", "the newest result threw away one that was not acknowledged"),
    _bit(100, 11, "results_valid", "the result block holds a result that was not acknowledged"),
    _bit(100, 12, "command_executing", "a job change is under way"),
    _bit(100, 13, "command_completed", "the job was changed; until execute_command falls"),
    _bit(100, 14, "command_failed", "the job was not changed, or the command was refused; see error_code"),
    _bit(100, 15, "error", "error_code is not 0"),
    _bit(101, 3, "exposure_complete", "the part of the newest accepted trigger may move"),
    _bit(101, 4, "job_pass", "the result shown is valid and OK"),
    _bit(101, 5, "reject_gate", "the part at the reject gate is to be rejected now (docs/gate.md); off where the station has no gate"),
    _bit(101, 6, "gate_clearing", "the gate rejects everything: it is unknown what lies on the belt"),
    _noticed(8, "check_light", "light, sharpness or place of the picture are not as at the calibration; the station's log says which"),
    _noticed(9, "recalibrate", "scores of accepted parts have moved away from those of the calibration"),
    _noticed(10, "challenge_due", "golden parts are asked for: not ready, and no part gets OK, until they have passed"),
    _noticed(11, "challenge_running", "golden parts are being shown: triggers are taken, and every result is FAULT"),
    Row(
        address=101,
        kind="bits",
        name="zone",
        meaning="zone of the worst region: its place in the recipe, 15 for any later one; 0 outside of all",
        bit=12,
        width=4,
        source="result.zone",
    ),
    _number(102, "uint16", "current_job", "the job that runs; 0 until the station has named one"),
    _number(103, "uint16", "error_code", "newest trouble since Clear Error (table below)"),
    _number(104, "uint16", "acquisition_id", "newest acquisition, 1 to 65535, then 1 again; 0 before the first"),
    _number(105, "uint16", "inspection_id", "acquisition that the result block belongs to; 0 before the first", "result.acquisition"),
    _number(106, "uint16", "result_code", "1 OK, 2 NG, 3 FAULT (not inspected: reject); 0 unless results_valid"),
    _number(107, "uint16", "fault_code", "why the result is FAULT (table below); 0 otherwise", "result.trouble"),
    _number(108, "float32", "score", "anomaly score, engine units; not a number for a part that was not inspected", "result.score"),
    _number(110, "float32", "threshold", "the score it was held against, likewise", "result.threshold"),
    _number(112, "uint16", "region_count", "number of defect regions", "result.region_count"),
    _number(113, "uint16", "box_left", "worst region's box, first column [frame px]; the box is zeros without a region", "result.box.0"),
    _number(114, "uint16", "box_top", "first row [frame px]", "result.box.1"),
    _number(115, "uint16", "box_right", "column after the last [frame px]", "result.box.2"),
    _number(116, "uint16", "box_bottom", "row after the last [frame px]", "result.box.3"),
    _number(
        117,
        "uint32",
        "sequence",
        "the station's count of this inspection; 0 where the wire said FAULT by itself",
        "result.sequence",
    ),
    _number(119, "uint16", "heartbeat", "counts up once a second, wraps; its bit 0 toggles every second"),
    _number(120, "uint32", "triggers", "acquisitions since the start: delivered + overrun + waiting + still open", "counters.triggers"),
    _number(122, "uint32", "delivered", "results acknowledged", "counters.delivered"),
    _number(124, "uint32", "overrun", "results thrown away unacknowledged", "counters.overrun"),
    _number(126, "uint32", "missed", "triggers that came while not ready", "counters.missed"),
    _number(128, "uint32", "late", "FAULT results because the verdict did not come in time", "counters.late"),
    _number(130, "uint16", "waiting", "results not yet acknowledged, 0 to 8", "counters.waiting"),
    _number(
        131, "uint16", "result_id", "inspection_id once more; where both are equal the block between them is whole", "result.acquisition"
    ),
)
"""What the station shows. All of it in one read of `STATUS_COUNT` registers, from one instant."""

STATUS_COUNT = STATUS[-1].address + STATUS[-1].registers - STATUS_START


def encode_status(status: Status) -> list[int]:
    """The registers `STATUS_START` and following (`STATUS_COUNT`,)."""
    registers = [0] * STATUS_COUNT
    for row, read in _READERS:
        _put(registers, row, row.address - STATUS_START, read(status))
    return registers


def decode_status(registers: Sequence[int]) -> dict[str, int | float]:
    """The values by name out of `STATUS_COUNT` registers, as a PLC reads them."""
    return {row.name: _get(registers, row, row.address - STATUS_START) for row in STATUS}


def encode_control(control: Control) -> list[int]:
    """The registers the PLC writes (`CONTROL_COUNT`,)."""
    registers = [0] * CONTROL_COUNT
    for row in CONTROL:
        _put(registers, row, row.address, getattr(control, row.name))
    return registers


def decode_control(registers: Sequence[int]) -> Control:
    """What the PLC says, out of `CONTROL_COUNT` registers; bits without a meaning are ignored."""
    values: dict[str, Any] = {row.name: _get(registers, row, row.address) for row in CONTROL}
    return Control(**{name: value if name == "job" else bool(value) for name, value in values.items()})


def _put(registers: list[int], row: Row, at: int, value: float) -> None:
    if row.bit is not None:
        registers[at] |= _within(value, (1 << row.width) - 1) << row.bit
    elif row.kind == "uint16":
        registers[at] = _within(value, 0xFFFF)
    else:
        packed = _float32(value) if row.kind == "float32" else struct.pack(">I", int(value) & 0xFFFF_FFFF)
        registers[at : at + 2] = struct.unpack(">HH", packed)


def _get(registers: Sequence[int], row: Row, at: int) -> int | float:
    if row.bit is not None:
        return registers[at] >> row.bit & (1 << row.width) - 1
    if row.kind == "uint16":
        return registers[at]
    value: int | float = struct.unpack(">f" if row.kind == "float32" else ">I", struct.pack(">HH", *registers[at : at + 2]))[0]
    return value


def _within(value: float, most: int) -> int:
    """A box may reach over the frame's edge, and more regions than a register counts are still *many*."""
    return max(0, min(most, int(value)))


def _float32(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:  # larger than a float32 holds: infinite keeps the comparison with the threshold right
        return struct.pack(">f", float("inf") if value > 0 else float("-inf"))


def _reader(row: Row) -> Callable[[Status], Any]:
    path = row.source or row.name
    if path.startswith("result.box."):
        index = int(path.rsplit(".", 1)[1])
        return lambda status: status.result.box[index]
    return attrgetter(path)


_READERS = tuple((row, _reader(row)) for row in STATUS)
