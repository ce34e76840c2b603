"""How long a verdict takes to be visible to a PLC: `emit` here, a Modbus client in a process of its own there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, timezone

import numpy as np

from edge_inspect.datatypes import Inspection, Latency, Verdict
from edge_inspect.errors import PlcError
from edge_inspect.plc.modbus import ModbusPlc, open_modbus

PARTS = 500
INTERVAL_S = 0.01
ANSWER_WITHIN_S = 20.0
_READER = """
import json, sys, time
from pymodbus.client import ModbusTcpClient
from edge_inspect.plc.registers import STATUS_COUNT, STATUS_START, decode_status
port, last = int(sys.argv[1]), int(sys.argv[2])
client = ModbusTcpClient("127.0.0.1", port=port, timeout=1.0, retries=1)
client.connect()
print("connected", flush=True)
seen, sequence = {}, 0
while sequence < last:
    now = int(decode_status(client.read_holding_registers(STATUS_START, count=STATUS_COUNT).registers)["sequence"])
    if now != sequence:
        sequence = now
        seen[sequence] = time.monotonic_ns()  # the clock is the machine's: the parent reads the same
client.close()
print(json.dumps(seen))
"""


def measure_visible(parts: int | None = None, *, interval_s: float = INTERVAL_S) -> dict[str, float]:
    """p50, p95, p99 and max [ms] from the call of `emit` until a client, reading as fast as it can, has the result in hand.

    Args:
        parts: how many verdicts; None takes 500.
        interval_s: time from one to the next [s].

    Raises:
        PlcError: no port is free, or the client did not see the last verdict.
    """
    parts = PARTS if parts is None else parts
    with open_modbus(deadline_ms=60_000, port=0) as plc:
        command = [sys.executable, "-c", _READER, str(plc.bound_port), str(parts)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:  # noqa: S603 - our own program
            try:
                emitted = _emit_all(plc, reader, parts, interval_s)
                said, _ = reader.communicate(timeout=ANSWER_WITHIN_S)
            except subprocess.TimeoutExpired as error:
                raise PlcError(f"a client did not see verdict {parts} within {ANSWER_WITHIN_S:g} s; see docs/modbus.md") from error
            finally:
                reader.kill()
    waits_ms = [(at - emitted[int(sequence)]) / 1e6 for sequence, at in json.loads(said).items()]
    ranks = np.percentile(waits_ms, (50, 95, 99, 100))
    return {name: round(float(rank), 4) for name, rank in zip(("p50", "p95", "p99", "max"), ranks, strict=True)}


def _emit_all(plc: ModbusPlc, reader: subprocess.Popen[str], parts: int, interval_s: float) -> dict[int, int]:
    """Emit verdicts once the reader is connected; when each was handed over (monotonic clock) [ns]."""
    if reader.stdout is None or not reader.stdout.readline():
        raise PlcError("the Modbus client of the benchmark did not start; run `edge-inspect fake-plc` to see why")
    emitted = {}
    for sequence in range(1, parts + 1):
        acquisition = plc.begin(time.monotonic_ns() + 60_000_000_000)
        time.sleep(interval_s)
        emitted[sequence] = time.monotonic_ns()
        plc.emit(_inspection(sequence, acquisition))
    return emitted


def _inspection(sequence: int, acquisition: int) -> Inspection:
    return Inspection(
        sequence=sequence,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=Verdict.OK,
        reason="for timing only",
        score=1.0,
        threshold=2.0,
        regions=(),
        recipe="bench",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )
