"""The Modbus client wire against servers nobody here wrote: pyModbusTCP, modbus-serial (npm), and a soft PLC in ladder (pyrung).

Each plays the PLC: it raises Trigger in its own memory, reads the result that the station writes there, and counts.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge_inspect.datatypes import Inspection, Latency, RequestKind, Verdict
from edge_inspect.plc.modbus_client import ModbusClientPlc, open_modbus_client

PARTS = 30
WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def verdict_of(acquisition: int) -> Verdict:
    return Verdict.NG if acquisition % 3 == 0 else Verdict.OK


def inspection_of(acquisition: int) -> Inspection:
    return Inspection(
        sequence=70_000 + acquisition,
        acquisition=acquisition,
        part_id="",
        taken_at=datetime.now(timezone.utc),
        verdict=verdict_of(acquisition),
        reason="",
        score=12.375,
        threshold=-2.5,
        regions=(),
        recipe="",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )


@contextmanager
def station(
    port: int, *, control: int = 0, status: int = 100, before: Callable[[int], object] = lambda _: None
) -> Iterator[ModbusClientPlc]:
    """A station thread that answers each trigger by rule, once `before` has returned."""
    stop = threading.Event()

    def work(plc: ModbusClientPlc) -> None:
        plc.ready(True)
        while not stop.is_set():
            request = plc.poll(0)
            if request is None:
                time.sleep(0.0005)
            elif request.kind is RequestKind.TRIGGER:
                before(request.acquisition)
                plc.emit(inspection_of(request.acquisition))

    opening = open_modbus_client(
        deadline_ms=60_000, host="127.0.0.1", port=port, control_address=control, status_address=status, timeout_ms=2000, reconnect_ms=50
    )
    with opening as plc, ThreadPoolExecutor(1) as pool:
        working = pool.submit(work, plc)
        try:
            yield plc
        finally:
            stop.set()
        working.result()


def test_a_pymodbustcp_server_gets_every_result_once() -> None:
    server_module = pytest.importorskip("pyModbusTCP.server", reason="pyModbusTCP is not installed (pip install pyModbusTCP)")
    server = server_module.ModbusServer("127.0.0.1", free_port(), no_block=True)
    server.start()
    try:
        words = server.data_bank

        def status(first: int, count: int = 1) -> list[int]:
            read: list[int] = words.get_holding_registers(first, count)
            return read

        def wait(bit: int, *, on: bool = True) -> None:
            until = time.monotonic() + WITHIN_S
            while bool(status(100)[0] & bit) is not on:
                assert time.monotonic() < until

        results = []
        with station(server.port):
            words.set_holding_registers(0, [5])
            for _ in range(PARTS):
                wait(1 << 0)
                words.set_holding_registers(0, [7])
                wait(1 << 1)
                words.set_holding_registers(0, [5])
                wait(1 << 11)
                block = status(100, 32)
                assert block[5] == block[31]
                results.append((block[5], block[6]))
                words.set_holding_registers(0, [13])
                wait(1 << 11, on=False)
                words.set_holding_registers(0, [5])
        assert results == [(number, 2 if number % 3 == 0 else 1) for number in range(1, PARTS + 1)]
        assert status(108, 4) == [0x4146, 0, 0xC020, 0], "12.375 and -2.5, high word first"
    finally:
        server.stop()


MODBUS_SERIAL = """
const Modbus = require("modbus-serial");
const words = new Array(200).fill(0);
const vector = {
  getHoldingRegister: (address) => words[address],
  getMultipleHoldingRegisters: (address, count) => words.slice(address, address + count),
  setRegister: (address, value) => { words[address] = value; },
  setRegisterArray: (address, values) => { values.forEach((value, i) => { words[address + i] = value; }); },
};
const [port, parts] = process.argv.slice(2).map(Number);
const server = new Modbus.ServerTCP(vector, { host: "127.0.0.1", port: port, unitID: 1 });
server.on("initialized", () => console.log("listening"));
const wait = async (bit, on) => { while (Boolean(words[100] & bit) !== on) await new Promise((done) => setImmediate(done)); };
(async () => {
  const results = [];
  words[0] = 5;
  for (let part = 0; part < parts; part++) {
    await wait(1, true); words[0] = 7;
    await wait(2, true); words[0] = 5;
    await wait(2048, true);
    results.push([words[105], words[106], words[131]]);
    words[0] = 13;
    await wait(2048, false); words[0] = 5;
  }
  console.log(JSON.stringify(results));
  process.exit(0);
})();
"""


@contextmanager
def speaking(command: list[str], **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    try:
        assert process.stdout.readline(), "the peer did not start"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_modbus_serial_server_gets_every_result_once(tmp_path: Path) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "modbus-serial@8.0.25"]
    try:
        subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=25, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        pytest.skip(f"the npm registry cannot be reached: {error}")
    (tmp_path / "plc.js").write_text(MODBUS_SERIAL, encoding="utf-8")
    port = free_port()
    with speaking(["node", "plc.js", str(port), str(PARTS)], cwd=tmp_path) as process, station(port):
        said, _ = process.communicate(timeout=WITHIN_S)
    assert json.loads(said) == [[number, 2 if number % 3 == 0 else 1, number] for number in range(1, PARTS + 1)]


LADDER = """
import asyncio, json, sys
SILENCE = 300  # scans
from pyrung import PLC, Int, Bool, Program, Word, calc, copy, fall, latch, reset, rise, rung
from pyrung.click import ClickBlocks, ClickDataProvider, TagMap
from pyclickplc.server import ClickServer

Control, Status, Inspection, Code, Closing = Word("Control"), Word("Status"), Word("Inspection"), Word("Code"), Word("Closing")
Ready, Acked, Valid = Word("Ready"), Word("Acked"), Word("Valid")
Step, Good, Bad, Torn, Scans, Silent = Int("Step"), Int("Good"), Int("Bad"), Int("Torn"), Int("Scans"), Bool("Silent")

with Program() as logic:
    with rung(): calc(Status & 1, Ready)
    with rung(): calc(Status & 2, Acked)
    with rung(): calc(Status & 2048, Valid)
    with rung(Step == 0): copy(5, Control)
    with rung(Step == 0, Ready > 0, Valid == 0): copy(1, Step)
    with rung(Step == 1): copy(7, Control)
    with rung(Step == 1, Acked > 0): copy(2, Step)
    with rung(Step == 2): copy(5, Control)
    with rung(Step == 2, Valid > 0): copy(3, Step)
    with rung(Step == 3, Code == 1): calc(Good + 1, Good)
    with rung(Step == 3, Code == 2): calc(Bad + 1, Bad)
    with rung(Step == 3, Inspection != Closing): calc(Torn + 1, Torn)
    with rung(Step == 3): copy(4, Step)
    with rung(Step == 1): calc(Scans + 1, Scans)
    with rung(Step == 2): calc(Scans + 1, Scans)
    with rung(Step == 4): copy(0, Scans)
    with rung(Step == 4): reset(Silent)
    with rung(Scans > SILENCE): latch(Silent)
    with rung(Step == 4): copy(13, Control)
    with rung(Step == 4, Valid == 0): copy(0, Step)

async def main(port, parts):
    _, _, c, _, _, _, ds, dd, dh, *_ = ClickBlocks()
    tags = TagMap({Control: dh[1], Status: dh[101], Inspection: dh[106], Code: dh[107], Closing: dh[132], Step: ds[1], Good: ds[2],
                   Bad: ds[3], Torn: ds[4], Ready: dh[201], Acked: dh[202], Valid: dh[203], Scans: ds[5], Silent: c[1]})
    plc = PLC(logic)
    server = ClickServer(ClickDataProvider(plc, tags), host="127.0.0.1", port=port)
    await server.start()
    print("listening", flush=True)
    silent = False
    while True:
        plc.step()
        with plc:
            good, bad, torn, is_silent = Good.value, Bad.value, Torn.value, Silent.value
        if is_silent is not silent:
            silent = is_silent
            print("silent" if silent else "answered", flush=True)
        if good + bad >= parts:
            break
        await asyncio.sleep(0.001)
    print(json.dumps([good, bad, torn]), flush=True)
    await server.stop()

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.fixture(scope="session")
def soft_plc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pyrung in an environment of its own: it wants an older pymodbus than we do."""
    if sys.version_info < (3, 11):
        pytest.skip("pyrung needs Python 3.11")
    folder = tmp_path_factory.mktemp("pyrung")
    python = folder / "venv" / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], capture_output=True, timeout=60, check=True)
        words = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "pyrung==0.15.2", "pyclickplc==0.4.1"]
        subprocess.run(words, capture_output=True, timeout=60, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        pytest.skip(f"pyrung cannot be installed: {error}")
    (folder / "plc.py").write_text(LADDER, encoding="utf-8")
    return folder


def test_a_soft_plc_in_ladder_logic_counts_every_result_once_and_notices_silence(soft_plc: Path) -> None:
    port, goes_on = free_port(), threading.Event()

    def hangs_once(acquisition: int) -> None:
        if acquisition == PARTS // 2:
            goes_on.wait(WITHIN_S)

    with (
        speaking([str(soft_plc / "venv" / "bin" / "python"), "plc.py", str(port), str(PARTS)], cwd=soft_plc) as process,
        station(port, control=24_576, status=24_676, before=hangs_once) as plc,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "silent\n"
        goes_on.set()
        assert process.stdout.readline() == "answered\n"
        said, _ = process.communicate(timeout=WITHIN_S)
        assert json.loads(said) == [20, 10, 0]
        assert plc.counters.triggers in {30, 31}
