"""docs/modbus.md, written from the table that the server serves. `tools/generate-modbus-map` puts it in its place."""

from __future__ import annotations

from collections.abc import Iterator

from edge_inspect.plc.registers import CONTROL, CONTROL_COUNT, STATUS, STATUS_COUNT, STATUS_START, Row
from edge_inspect.plc.results import BUFFER
from edge_inspect.plc.signals import TROUBLE_MEANING

HEAD = f"""# Modbus TCP: the register map

Written by `tools/generate-modbus-map` from `edge_inspect/plc/registers.py`; do not edit it here.

The station is the server (slave), the PLC the client (master); the other way round is at the end of this page. Signals, order and
behaviour follow the block of a Cognex In-Sight camera.

* Addresses are zero-based, as they travel on the wire. Where your PLC or tool counts from 1 or from 40001, add 1 or 40001.
* Every register can be read as holding register (function 3) and as input register (4), every bit as coil (1) and as
  discrete input (2) at address 16 x register + bit. Only the control registers can be written (functions 5, 6, 15, 16, 22, 23);
  a write anywhere else is refused with exception 2, *illegal data address*, and changes nothing.
* **Read the whole status block in one read**: {STATUS_COUNT} registers from {STATUS_START}. It is from one instant; two reads are not.
* Numbers of two registers have the high word first (ABCD).
* The unit is the one in `station.yaml` (1), and 255 always; any other gets exception 11. `unit: 0` answers to every unit.
"""

SEQUENCE = f"""## The handshake

1. Set `trigger_enable`, wait for `trigger_ready`.
2. Raise `trigger`. The station raises `trigger_ack`; `acquisition_id` is this part's number. If it raises
   `missed_acquisition` instead, the part was not inspected and its result is FAULT, under an acquisition of its own.
3. Drop `trigger`; `trigger_ack` falls. The part may move when `exposure_complete` is on.
4. When `results_valid` is on, read the block: `inspection_id` says which part it is, `result_code` what it is.
   **Only 1 is a good part.** At the deadline the station says 3 (FAULT) by itself; there is a result for every trigger.
5. Raise `results_ack`: `results_valid` falls, and `result_code` and `job_pass` with it; the other words stay.
   Drop `results_ack`: the next result is shown.

With `buffer_results_enable` up to {BUFFER} results wait; when one more comes, the oldest that is not shown is thrown away.
Without it a new result takes the place of one that was not acknowledged yet: leave it off only where the PLC is always faster.
Both are counted in `overrun`, and `results_buffer_overrun` is on until a result comes that throws away none.

Job change: write `job`, raise `execute_command`, wait for `command_completed` or `command_failed`, drop it. The new engine is opened
beside the running one: parts triggered meanwhile are the old job's, and `trigger_ready` falls only for the moment in which the new one
takes over. A PLC that must not mix them triggers no new part before `command_completed`. A job that fails leaves the old one running.
Control registers keep their values when the PLC disconnects; nothing is triggered or acknowledged by a lost connection.
"""


AWAY = """## When the station was away

A station that stops closes its connections; one that dies or loses its network says nothing. The PLC must connect again by itself,
and what it has read last is old until then: `heartbeat`, or a time of its own for each part, tells it so. After a start all control
registers are 0 and the counts begin anew. A `trigger` that was held all the time is then a new part: drop it before you write to a
station that has come back.

**mb2hal of LinuxCNC (2.9) never connects a second time.** It connects only while it has no socket, and libmodbus keeps the socket
of a connection that the other side has ended, whatever server that was. Its pins keep their last values, those of a result too;
only `mb2hal.NAME.num_errors` of each transaction counts up, and is 0 while all is well. So the cell stops the line while it is not
0, and loads mb2hal again when the station is back: `unloadusr mb2hal`, then its `loadusr` line and the `net` lines of its pins once
more (`halcmd -f FILE`).
"""


CLIENT = f"""## The other way round: a PLC that is written to (`kind: modbus-client`)

The PLC is the server, and both blocks lie in its memory: {CONTROL_COUNT} holding registers that it fills, from `control_address` (0),
and {STATUS_COUNT} that the station fills, from `status_address` ({STATUS_START}). Same registers, order and handshake;
the addresses above are those of the default.

* One connection is kept. The control block is read in every scan (`scan_ms`, 5) with function 3, the status block written when something
  in it has changed, with function 16. A level shorter than a scan is not seen: hold Trigger until `trigger_ack`, and low
  for more than a scan before it rises again.
* **Order of writes**: Results Valid off, then the block, then `result_id`, then Results Valid on. A PLC that does not look at Results
  Valid takes a result when `result_id` equals `inspection_id` and is not the one it took last.
* A PLC that does not answer within `timeout_ms` (300) is away: an alarm; the station tries again for ever, at most `reconnect_ms` (1000)
  apart. Up to {BUFFER} results wait for it with `buffer_results_enable`. A trigger that it raised meanwhile counts when it is seen.
* `heartbeat` tells the PLC that the station is there: it counts once a second. A station that stops writes Online off; one that dies
  does not.
"""


def modbus_document() -> str:
    """The text of docs/modbus.md."""
    return "\n".join([HEAD, *_control(), *_status(), *_troubles(), SEQUENCE, AWAY, CLIENT])


def _control() -> Iterator[str]:
    yield f"## Control: written by the PLC, registers 0 to {CONTROL_COUNT - 1}\n"
    yield from _table(CONTROL)


def _status() -> Iterator[str]:
    yield f"## Status and result: shown by the station, registers {STATUS_START} to {STATUS_START + STATUS_COUNT - 1}\n"
    yield from _table(STATUS)


def _table(rows: tuple[Row, ...]) -> Iterator[str]:
    yield "| register | bit | coil | name | type | meaning |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        yield f"| {_span(row.address, row.registers)} | {_bits(row)} | {_coils(row)} | `{row.name}` | {row.kind} | {row.meaning} |"
    yield ""


def _bits(row: Row) -> str:
    return "" if row.bit is None else _span(row.bit, row.width)


def _coils(row: Row) -> str:
    return "" if row.bit is None else _span(16 * row.address + row.bit, row.width)


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def _troubles() -> Iterator[str]:
    yield "## Error and fault codes\n"
    yield "| code | meaning |"
    yield "|---|---|"
    for code, meaning in TROUBLE_MEANING.items():
        yield f"| {code.value} | {meaning} |"
    yield ""
