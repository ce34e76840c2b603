"""The Modbus wire driven by programs nobody here wrote: mbpoll (libmodbus), modbus-serial (npm), and plain pymodbus clients.

They use addresses as a PLC programmer reads them in docs/modbus.md, not our tables.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from edge_inspect.datatypes import Inspection, Latency, Region, RequestKind, Verdict
from edge_inspect.errors import DeadlineMissed
from edge_inspect.plc.modbus import ModbusPlc, open_modbus

ENABLE, TRIGGER, BUFFER, ACK = 1, 2, 4, 8
READY, ACKED, MISSED, BUSY, OVERRUN, VALID = 1 << 0, 1 << 1, 1 << 3, 1 << 8, 1 << 10, 1 << 11
CONTROL, STATUS, COUNT = 0, 100, 31
ACQUISITION, INSPECTION, CODE, FAULT_CODE, REGIONS, OVERRUN_LOW = 4, 5, 6, 7, 12, 25
SCORE = 12.375
LONG_MS = 60_000.0
WITHIN_S = 30.0


def inspection_of(acquisition: int) -> Inspection:
    region = Region(left=11, top=22, right=33, bottom=44, centre_x=22.0, centre_y=33.0, area_px=484.0, area_mm2=None, peak=13.0, mean=12.0)
    return Inspection(
        sequence=70_000 + acquisition,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=Verdict.NG,
        reason="",
        score=SCORE,
        threshold=-2.5,
        regions=(region,),
        recipe="",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )


@contextmanager
def station(*, deadline_ms: float = LONG_MS, engine: Callable[[], object] = lambda: None) -> Iterator[ModbusPlc]:
    """A wire with a station thread that answers every trigger with NG, once its engine returns."""
    stop = threading.Event()

    def work(plc: ModbusPlc) -> None:
        plc.ready(True)
        while not stop.is_set():
            request = plc.poll(0.02)
            if request is not None and request.kind is RequestKind.TRIGGER:
                engine()
                plc.emit(inspection_of(request.acquisition))

    with open_modbus(deadline_ms=deadline_ms, port=0) as plc, ThreadPoolExecutor(1) as pool:
        working = pool.submit(work, plc)
        try:
            yield plc
        finally:
            stop.set()
        working.result()


class Mbpoll:
    """One call, one connection, as mbpoll works."""

    def __init__(self, port: int) -> None:
        self.fixed = ["mbpoll", "-m", "tcp", "-a", "1", "-0", "-1", "-q", "-p", str(port)]

    def read(self, address: int, *, count: int = 1, kind: str = "4") -> list[float]:
        words = [*self.fixed, "-B", "-t", kind, "-r", str(address), "-c", str(count), "127.0.0.1"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=WITHIN_S, check=True)
        return [float(value) for value in re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)]

    def write(self, address: int, *values: int, kind: str = "4") -> subprocess.CompletedProcess[str]:
        words = [*self.fixed, "-t", kind, "-r", str(address), "127.0.0.1", "--", *map(str, values)]
        return subprocess.run(words, capture_output=True, text=True, timeout=WITHIN_S, check=False)

    def wait(self, bit: int, *, on: bool = True) -> None:
        until = time.monotonic() + WITHIN_S
        while bool(int(self.read(STATUS)[0]) & bit) is not on:
            assert time.monotonic() < until, f"status bit {bit:#x} did not change"


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll is not installed (apt install mbpoll)")
def test_mbpoll_goes_through_a_whole_handshake_and_cannot_write_the_status() -> None:
    with station() as plc:
        peer = Mbpoll(plc.bound_port)
        assert peer.write(CONTROL, ENABLE | BUFFER).returncode == 0
        peer.wait(READY)
        assert peer.write(CONTROL, ENABLE | BUFFER | TRIGGER).returncode == 0
        peer.wait(VALID)
        assert peer.write(1, 0, kind="0").returncode == 0, "Trigger falls as a coil"
        peer.wait(ACKED, on=False)
        assert peer.read(STATUS + ACQUISITION, count=3) == [1, 1, 2]
        assert peer.read(108, count=2, kind="4:float") == [SCORE, -2.5]
        assert peer.read(112, count=5) == [1, 11, 22, 33, 44]
        assert peer.read(117, kind="4:int") == [70_001]
        assert peer.read(106, kind="3") == [2], "input registers show the same"
        refused = peer.write(106, 1)
        assert refused.returncode != 0
        assert "Illegal data address" in refused.stderr
        assert peer.read(106) == [2]
        peer.write(CONTROL, ENABLE | BUFFER | ACK)
        peer.wait(VALID, on=False)
        peer.write(CONTROL, ENABLE | BUFFER)
        assert peer.read(106) == [0]
        assert (plc.counters.delivered, plc.counters.triggers, plc.counters.waiting) == (1, 1, 0)


MODBUS_SERIAL = """
const Modbus = require("modbus-serial");
const [ENABLE, TRIGGER, BUFFER, ACK] = [1, 2, 4, 8];
const [READY, ACKED, VALID] = [1 << 0, 1 << 1, 1 << 11];
(async () => {
  const plc = new Modbus();
  await plc.connectTCP("127.0.0.1", { port: Number(process.argv[2]) });
  plc.setID(1);
  plc.setTimeout(5000);
  const block = async () => (await plc.readHoldingRegisters(100, 31));
  const wait = async (wanted) => { for (;;) { const seen = await block(); if (wanted(seen.data[0])) return seen; } };
  await plc.writeRegister(0, ENABLE | BUFFER);
  await wait((bits) => bits & READY);
  await plc.writeRegisters(0, [ENABLE | BUFFER | TRIGGER, 0, 0]);
  const ack = await wait((bits) => bits & ACKED);
  await plc.writeCoil(1, false);
  const result = await wait((bits) => bits & VALID);
  let refused = "not refused";
  try { await plc.writeRegister(106, 1); } catch (error) { refused = error.modbusCode; }
  await plc.writeRegister(0, ENABLE | BUFFER | ACK);
  const after = await wait((bits) => !(bits & VALID));
  await plc.writeRegister(0, ENABLE | BUFFER);
  const inputs = await plc.readInputRegisters(105, 1);
  const coils = await plc.readCoils(1600, 12);
  console.log(JSON.stringify({
    acquisition: ack.data[4], inspection: result.data[5], code: result.data[6], refused: refused,
    score: result.buffer.readFloatBE(16), threshold: result.buffer.readFloatBE(20), box: result.data.slice(13, 17),
    sequence: result.buffer.readUInt32BE(34), codeAfter: after.data[6], input: inputs.data[0], valid: coils.data[11],
  }));
  plc.close(() => {});
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.fixture(scope="session")
def modbus_serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    folder = tmp_path_factory.mktemp("modbus_serial")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "modbus-serial@8.0.25"]
    try:
        subprocess.run(words, cwd=folder, capture_output=True, timeout=25, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        pytest.skip(f"the npm registry cannot be reached: {error}")
    (folder / "plc.js").write_text(MODBUS_SERIAL, encoding="utf-8")
    return folder


def test_modbus_serial_goes_through_a_whole_handshake_and_cannot_write_the_status(modbus_serial: Path) -> None:
    with station() as plc:
        words = ["node", "plc.js", str(plc.bound_port)]
        done = subprocess.run(words, cwd=modbus_serial, capture_output=True, text=True, timeout=WITHIN_S, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "acquisition": 1,
            "inspection": 1,
            "code": 2,
            "refused": 2,
            "score": SCORE,
            "threshold": -2.5,
            "box": [11, 22, 33, 44],
            "sequence": 70_001,
            "codeAfter": 0,
            "input": 1,
            "valid": False,
        }
        assert plc.counters.delivered == 1


class Peer:
    """A plain pymodbus client."""

    def __init__(self, port: int) -> None:
        self.client = ModbusTcpClient("127.0.0.1", port=port, timeout=2.0, retries=1, reconnect_delay_max=1.0)
        assert self.client.connect()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def write(self, bits: int) -> None:
        assert not self.client.write_register(CONTROL, bits, device_id=1).isError()

    def block(self) -> list[int]:
        return self.client.read_holding_registers(STATUS, count=COUNT, device_id=1).registers

    def wait(self, bit: int, *, on: bool = True) -> list[int]:
        until = time.monotonic() + WITHIN_S
        while bool((block := self.block())[0] & bit) is not on:
            assert time.monotonic() < until, f"status bit {bit:#x} did not change"
        return block

    def trigger(self, base: int) -> list[int]:
        self.write(base)
        self.wait(READY)
        self.write(base | TRIGGER)
        block = self.block()
        self.write(base)
        return block

    def take(self, base: int) -> list[int]:
        block = self.wait(VALID)
        self.write(base | ACK)
        self.write(base)
        return block


def test_a_plc_that_disconnects_in_the_middle_finds_its_result_when_it_is_back() -> None:
    with station() as plc:
        with Peer(plc.bound_port) as peer:
            peer.write(ENABLE | BUFFER)
            peer.wait(READY)
            peer.write(ENABLE | BUFFER | TRIGGER)
        with Peer(plc.bound_port) as back:
            back.write(ENABLE | BUFFER)
            block = back.take(ENABLE | BUFFER)
            assert (block[INSPECTION], block[CODE]) == (1, 2)
            assert back.trigger(ENABLE | BUFFER)[ACQUISITION] == 2
            assert back.take(ENABLE | BUFFER)[INSPECTION] == 2
        assert (plc.counters.triggers, plc.counters.delivered) == (2, 2)


def test_a_double_trigger_gives_two_results_and_the_second_is_a_fault() -> None:
    both_triggered = threading.Event()
    with station(engine=lambda: both_triggered.wait(WITHIN_S)) as plc, Peer(plc.bound_port) as peer:
        assert peer.trigger(ENABLE | BUFFER)[0] & ACKED
        peer.write(ENABLE | BUFFER | TRIGGER)
        block = peer.block()
        assert (block[0] & MISSED, block[ACQUISITION]) == (MISSED, 2)
        both_triggered.set()
        peer.write(ENABLE | BUFFER)
        results = [peer.take(ENABLE | BUFFER) for _ in range(2)]
        assert [(block[INSPECTION], block[CODE], block[FAULT_CODE]) for block in results] == [(2, 3, 2), (1, 2, 0)]
        assert not peer.block()[0] & VALID


def test_a_plc_that_never_acknowledges_ten_results_sees_overrun_and_eight_are_kept() -> None:
    with station() as plc, Peer(plc.bound_port) as peer:
        for _ in range(10):
            peer.trigger(ENABLE | BUFFER)
            peer.wait(BUSY, on=False)
        block = peer.block()
        assert (block[0] & OVERRUN, block[OVERRUN_LOW], plc.counters.waiting) == (OVERRUN, 2, 8)
        assert [peer.take(ENABLE | BUFFER)[INSPECTION] for _ in range(8)] == [1, 4, 5, 6, 7, 8, 9, 10]
        assert not peer.block()[0] & VALID


def test_two_clients_see_the_same_and_one_acknowledgement_counts_once() -> None:
    with station() as plc, Peer(plc.bound_port) as plc_client, Peer(plc.bound_port) as display:
        plc_client.trigger(ENABLE | BUFFER)
        assert plc_client.wait(VALID)[:18] == display.wait(VALID)[:18]
        plc_client.take(ENABLE | BUFFER)
        assert not display.block()[0] & VALID
        assert plc.counters.delivered == 1


def test_fault_arrives_at_the_deadline_while_the_engine_still_works_and_its_late_verdict_changes_nothing() -> None:
    seen: list[list[int]] = []

    def play() -> None:
        engine_may_return = threading.Event()
        with station(deadline_ms=30, engine=lambda: engine_may_return.wait(WITHIN_S)) as plc, Peer(plc.bound_port) as peer:
            peer.trigger(ENABLE | BUFFER)
            seen.append(peer.wait(VALID))
            assert not seen[0][0] & READY, "the engine still works"
            engine_may_return.set()
            seen.append(peer.wait(BUSY, on=False))

    with pytest.raises(DeadlineMissed):
        play()
    assert [(block[INSPECTION], block[CODE], block[FAULT_CODE], block[REGIONS]) for block in seen] == [(1, 3, 1, 0)] * 2
    score = ModbusTcpClient.convert_from_registers(seen[0][8:10], ModbusTcpClient.DATATYPE.FLOAT32)
    assert isinstance(score, float)
    assert math.isnan(score)
