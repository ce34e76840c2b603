"""A station with a reject gate as a process: the PLC (pyModbusTCP, written by nobody here) triggers and watches the gate's bits."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from edge_inspect.cli.main import main
from edge_inspect.service.live import STATUS_FILE, read_status

from .conftest import running

modbus = pytest.importorskip("pyModbusTCP.client", reason="pyModbusTCP is not installed")

WITHIN_S = 60.0
ENABLE, TRIGGER = 1, 2
RESULT_BUFFER, ACK = 4, 8
READY, VALID, REJECT, CLEARING = 16 * 100, 16 * 100 + 11, 16 * 101 + 5, 16 * 101 + 6
"""Discrete inputs as docs/modbus.md numbers them."""
DISTANCE_MS = 2500.0
GATE = "gate: {{distance: {distance:g}, pulse: 1600, lead: 700, pitch: {pitch:g}}}\n"


class Plc:
    """A PLC that polls bits."""

    def __init__(self, port: int) -> None:
        self.client = modbus.ModbusClient(port=port, timeout=10, auto_open=True)

    def bit(self, address: int) -> bool:
        until = time.monotonic() + WITHIN_S
        while (found := self.client.read_discrete_inputs(address, 1)) is None:
            assert time.monotonic() < until
        return bool(found[0])

    def wait_for(self, address: int, level: bool) -> float:
        until = time.monotonic() + WITHIN_S
        while self.bit(address) is not level:
            assert time.monotonic() < until, (address, level)
            time.sleep(0.002)
        return time.monotonic()

    def part(self, after_s: float = 0.0) -> tuple[int, float]:
        """Wait, trigger one, take its result; the result code, and when it was triggered."""
        time.sleep(after_s)
        self.client.write_single_register(0, ENABLE | RESULT_BUFFER)
        self.wait_for(READY, True)
        at = time.monotonic()
        self.client.write_single_register(0, ENABLE | RESULT_BUFFER | TRIGGER)
        self.wait_for(VALID, True)
        code = self.client.read_holding_registers(106, 1)[0]
        self.client.write_single_register(0, ENABLE | RESULT_BUFFER | ACK)
        self.client.write_single_register(0, ENABLE | RESULT_BUFFER)
        return code, at


def with_gate(cell: Path, **lengths: float) -> Path:
    file = cell / "station.yaml"
    file.write_text(file.read_text() + GATE.format(**lengths))
    return cell


def test_a_plc_sees_the_gate_reject_the_bad_part_and_pass_the_good_ones(cell: Path):
    gated = with_gate(cell, distance=DISTANCE_MS, pitch=1700)
    with running(gated) as process:
        plc = Plc(int((gated / "port").read_text()))
        plc.wait_for(CLEARING, False)
        codes, times = zip(*(plc.part(after_s=1.8) for _ in range(3)), strict=True)
        assert codes == (1, 1, 2)
        on = plc.wait_for(REJECT, True)
        off = plc.wait_for(REJECT, False)
        assert on - times[2] >= (DISTANCE_MS - 700) / 1e3 - 0.05
        assert off - on >= 0.05
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        process.wait(WITHIN_S)
    gate = read_status(gated / "data" / STATUS_FILE)["gate"]
    assert (gate["passed"], gate["rejected"], gate["unknown"], gate["cleared"]) == (2, 1, 0, 0)


def test_good_parts_on_a_belt_that_nobody_knows_are_rejected_and_status_record_and_replay_say_so(
    cell: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    gated = with_gate(cell, distance=6000, pitch=4000)
    monkeypatch.chdir(gated)
    with running(gated) as process:
        plc = Plc(int((gated / "port").read_text()))
        plc.wait_for(CLEARING, False)
        assert plc.part()[0] == 1
        assert plc.part()[0] == 1  # closer than a pitch: these are no two parts
        plc.wait_for(CLEARING, True)
        until = time.monotonic() + WITHIN_S
        while main(["status"]) == 0 and time.monotonic() < until:
            time.sleep(0.1)
        alarm = capsys.readouterr().out
        plc.wait_for(CLEARING, False)
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        process.wait(WITHIN_S)
    assert re.search(r"ALARM +gate: everything is rejected until the belt has run \d+ ms, then it goes on by itself", alarm)
    assert "parts are 4000 ms apart at least: the trigger bounces" in alarm
    lines = [json.loads(line) for line in (gated / "data" / "gate.jsonl").read_text().splitlines()]
    assert "trigger bounces" in lines[0]["why"]
    assert [line["rejected"] for line in lines if line["event"] == "part"] == [True, True]
    assert main(["replay", "1"]) == 0
    assert "rejected at the gate: what lay on the belt was unknown" in capsys.readouterr().out
