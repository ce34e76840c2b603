"""The Modbus wire against a real pymodbus client."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from edge_inspect.datatypes import Inspection, RequestKind, Verdict
from edge_inspect.errors import DeadlineMissed, PlcError
from edge_inspect.plc.modbus import ModbusPlc, open_modbus
from edge_inspect.plc.modbus_server import ModbusServer, silence_pymodbus
from edge_inspect.plc.peers import why_not_bound
from edge_inspect.plc.registers import CONTROL_COUNT, CONTROL_START, STATUS_COUNT, STATUS_START, decode_status, encode_control
from edge_inspect.plc.signals import Control
from edge_inspect.protocols import Plc

Inspect = Callable[..., Inspection]
ENABLED = Control(trigger_enable=True, buffer_results_enable=True)
TRIGGER = Control(trigger_enable=True, buffer_results_enable=True, trigger=True)
LONG_MS = 60_000.0
FOREVER_S = 3600.0
"""Who is not woken hangs until pytest ends it."""
ILLEGAL_ADDRESS, NO_SUCH_UNIT = 2, 11


@pytest.fixture
def plc() -> Iterator[ModbusPlc]:
    with open_modbus(deadline_ms=LONG_MS, port=0) as plc:
        yield plc


@pytest.fixture
def client(plc: ModbusPlc) -> Iterator[ModbusTcpClient]:
    with connected(plc.bound_port) as client:
        yield client


def connected(port: int) -> ModbusTcpClient:
    client = ModbusTcpClient("127.0.0.1", port=port, timeout=2.0, retries=1, reconnect_delay_max=1.0)
    assert client.connect()
    return client


def write(client: ModbusTcpClient, control: Control) -> None:
    assert not client.write_registers(CONTROL_START, encode_control(control), device_id=1).isError()


def read(client: ModbusTcpClient) -> dict[str, int | float]:
    return decode_status(client.read_holding_registers(STATUS_START, count=STATUS_COUNT, device_id=1).registers)


def test_it_is_a_plc_wire(plc: ModbusPlc) -> None:
    assert isinstance(plc, Plc)


def test_a_trigger_written_by_the_plc_wakes_the_station_and_the_verdict_is_read(
    plc: ModbusPlc, client: ModbusTcpClient, inspection_of: Inspect
) -> None:
    plc.ready(True)
    write(client, ENABLED)
    with ThreadPoolExecutor(1) as station:
        waiting = station.submit(plc.poll, FOREVER_S)
        write(client, TRIGGER)
        request = waiting.result()
    assert request is not None
    assert (request.kind, request.acquisition) == (RequestKind.TRIGGER, 1)
    plc.emit(inspection_of(1, Verdict.NG))
    seen = read(client)
    assert (seen["results_valid"], seen["inspection_id"], seen["result_code"], seen["score"]) == (1, 1, 2, 1.5)
    assert plc.counters.triggers == 1


def test_before_ready_everything_reads_as_nothing_yet(client: ModbusTcpClient) -> None:
    seen = {name: value for name, value in read(client).items() if value and value == value}
    assert seen == {"offline_reason": 1}


def test_input_registers_and_bits_show_the_same_as_holding_registers(plc: ModbusPlc, client: ModbusTcpClient) -> None:
    plc.ready(True)
    write(client, ENABLED)
    holding = client.read_holding_registers(STATUS_START, count=STATUS_COUNT, device_id=1).registers
    assert client.read_input_registers(STATUS_START, count=STATUS_COUNT, device_id=1).registers == holding
    bits = client.read_discrete_inputs(STATUS_START * 16, count=16, device_id=1).bits
    assert sum(bit << place for place, bit in enumerate(bits)) == holding[0]


def test_control_can_be_written_by_coil_by_mask_and_together_with_a_read(plc: ModbusPlc, client: ModbusTcpClient) -> None:
    plc.ready(True)
    assert not client.write_coils(0, [True, True, True], device_id=1).isError()
    assert not client.write_coil(1, False, device_id=1).isError()
    assert not client.mask_write_register(address=0, and_mask=0xFFFF, or_mask=0, device_id=1).isError()
    assert client.read_holding_registers(CONTROL_START, count=CONTROL_COUNT, device_id=1).registers == [0b101, 0, 0]
    reply = client.readwrite_registers(read_address=STATUS_START, read_count=5, address=CONTROL_START, values=[0b111], device_id=1)
    assert reply.registers[4] == 2, "the read shows what the write in the same request has done"
    request = plc.poll(0.0)
    assert request is not None
    assert request.acquisition == 1


@pytest.mark.parametrize(
    ("address", "values"),
    [
        (STATUS_START, [1]),
        (STATUS_START + 6, [1, 1]),
        (CONTROL_START + 2, [1, 1]),
        (3, [1]),
        (STATUS_START + STATUS_COUNT, [1]),
        (65_535, [1]),
    ],
)
def test_a_write_outside_the_control_registers_is_refused_and_changes_nothing(
    client: ModbusTcpClient, address: int, values: list[int]
) -> None:
    reply = client.write_registers(address, values, device_id=1)
    assert (reply.isError(), reply.exception_code) == (True, ILLEGAL_ADDRESS)
    assert client.read_holding_registers(CONTROL_START, count=CONTROL_COUNT, device_id=1).registers == [0, 0, 0]
    assert read(client)["result_code"] == 0


def test_a_coil_of_the_status_cannot_be_written(client: ModbusTcpClient) -> None:
    assert client.write_coil(STATUS_START * 16, True, device_id=1).exception_code == ILLEGAL_ADDRESS


def test_registers_that_are_not_in_the_map_are_refused(client: ModbusTcpClient) -> None:
    assert client.read_holding_registers(50, count=1, device_id=1).exception_code == ILLEGAL_ADDRESS


def test_another_unit_is_refused_and_255_is_answered(client: ModbusTcpClient) -> None:
    assert client.read_holding_registers(STATUS_START, count=1, device_id=7).exception_code == NO_SUCH_UNIT
    assert client.write_register(0, 1, device_id=7).exception_code == NO_SUCH_UNIT
    assert client.read_holding_registers(CONTROL_START, count=1, device_id=255).registers == [0]


def test_unit_0_answers_to_every_unit() -> None:
    with open_modbus(deadline_ms=LONG_MS, port=0, unit=0) as plc, connected(plc.bound_port) as client:
        assert not client.read_holding_registers(STATUS_START, count=STATUS_COUNT, device_id=77).isError()


def test_fault_is_there_at_the_deadline_while_the_station_sleeps_and_its_verdict_is_refused(inspection_of: Inspect) -> None:
    with open_modbus(deadline_ms=20, port=0) as plc, connected(plc.bound_port) as client:
        plc.ready(True)
        write(client, ENABLED)
        write(client, TRIGGER)
        engine_may_return = threading.Event()

        def station() -> None:
            request = plc.poll(30.0)
            assert request is not None
            engine_may_return.wait(30.0)
            plc.emit(inspection_of(request.acquisition))

        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(station)
            while not (seen := read(client))["results_valid"]:
                assert not running.done()
            assert (seen["result_code"], seen["fault_code"], seen["trigger_ready"]) == (3, 1, 0)
            engine_may_return.set()
            with pytest.raises(DeadlineMissed, match=r"acquisition 1: verdict OK came too late.*deadline_ms \(20\)"):
                running.result()
        assert read(client)["result_code"] == 3
        assert plc.counters.late == 1


def test_a_verdict_that_nobody_asked_for_is_refused(plc: ModbusPlc, inspection_of: Inspect) -> None:
    with pytest.raises(PlcError, match="acquisition 5: verdict OK refused"):
        plc.emit(inspection_of(5))


def test_a_part_seen_by_the_camera_gets_its_number_and_its_result(plc: ModbusPlc, client: ModbusTcpClient, inspection_of: Inspect) -> None:
    acquisition = plc.begin(time.monotonic_ns() + 10**12)
    assert (read(client)["acquisition_id"], read(client)["exposure_complete"]) == (acquisition, 0)
    plc.exposed(acquisition)
    assert read(client)["exposure_complete"] == 1
    plc.emit(inspection_of(acquisition))
    assert (read(client)["result_code"], read(client)["sequence"]) == (1, 100_001)


def test_a_job_change_goes_to_the_station_and_its_answer_back(
    plc: ModbusPlc, client: ModbusTcpClient, caplog: pytest.LogCaptureFixture
) -> None:
    write(client, Control(execute_command=True, job=12))
    request = plc.poll(30.0)
    assert request is not None
    assert (request.kind, request.job) == (RequestKind.JOB_CHANGE, 12)
    plc.answer(request, job=3, error="no such recipe")
    seen = read(client)
    assert (seen["command_failed"], seen["current_job"]) == (1, 3)
    assert "job 12 does not run, job 3 goes on: no such recipe" in caplog.text
    write(client, Control(job=12))
    write(client, Control(execute_command=True, job=12))
    request = plc.poll(30.0)
    assert request is not None
    plc.answer(request, job=12)
    assert (read(client)["command_completed"], read(client)["current_job"]) == (1, 12)


def test_polling_an_idle_line_gives_none_and_does_not_spin(plc: ModbusPlc) -> None:
    before = time.thread_time()
    assert plc.poll(0.2) is None
    assert plc.poll(0.0) is None
    assert time.thread_time() - before < 0.1


def test_why_the_station_is_not_ready_is_logged_once(plc: ModbusPlc, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="edge_inspect.plc.shared")
    for _ in range(3):
        plc.ready(False, "camera away")
    plc.ready(True)
    plc.ready(False)
    assert caplog.messages == ["modbus: not ready: camera away", "modbus: ready", "modbus: not ready: no reason given"]


def test_a_closed_wire_says_so_and_wakes_who_waits(inspection_of: Inspect) -> None:
    with ThreadPoolExecutor(1) as station:
        with open_modbus(deadline_ms=LONG_MS, port=0) as plc:
            waiting = station.submit(plc.poll, FOREVER_S)
        with pytest.raises(PlcError, match="is closed"):
            waiting.result()
    with pytest.raises(PlcError, match=f"port {plc.bound_port} is closed; open it again"):
        plc.emit(inspection_of(1))


def test_closing_leaves_no_thread_and_frees_the_port_also_with_a_client_connected() -> None:
    with open_modbus(deadline_ms=LONG_MS, port=0) as plc, connected(plc.bound_port):
        pass
    with open_modbus(deadline_ms=LONG_MS, port=plc.bound_port):
        assert [thread.name for thread in threading.enumerate()].count("modbus") == 1
    assert "modbus" not in [thread.name for thread in threading.enumerate()]


def test_connections_are_counted_and_watched_by_keep_alive(plc: ModbusPlc) -> None:
    with connected(plc.bound_port) as client:
        read(client)
        assert plc.clients == 1
    until = time.monotonic() + 30
    while plc.clients and time.monotonic() < until:
        time.sleep(0.001)
    assert plc.clients == 0


def test_garbage_on_the_port_neither_stops_nor_moves_anything(plc: ModbusPlc, client: ModbusTcpClient) -> None:
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(600), b"\x00\x01\x00\x00\x00\x06\x01\x63\x00\x00\x00\x01"):
        with socket.create_connection(("127.0.0.1", plc.bound_port), timeout=2) as raw:
            raw.sendall(garbage)
    assert read(client)["triggers"] == 0


def test_a_port_in_use_is_one_clear_sentence(plc: ModbusPlc) -> None:
    with (
        pytest.raises(PlcError, match=rf"cannot listen on 127.0.0.1 port {plc.bound_port}: another program uses it; stop that one"),
        open_modbus(deadline_ms=LONG_MS, port=plc.bound_port),
    ):
        pytest.fail("opened")


@pytest.mark.parametrize(
    ("host", "port", "advice"),
    [
        ("192.0.2.77", 0, "does not have that address"),
        ("no.such.host.invalid", 0, "cannot listen on no.such.host.invalid"),
        ("127.0.0.1", 70_000, "a port from 0 to 65535"),
    ],
)
def test_an_address_that_is_not_ours_is_one_clear_sentence(host: str, port: int, advice: str) -> None:
    with pytest.raises(PlcError, match=advice), open_modbus(deadline_ms=LONG_MS, host=host, port=port):
        pytest.fail("opened")


def test_a_port_that_needs_a_privilege_says_which() -> None:
    assert "CAP_NET_BIND_SERVICE" in why_not_bound(PermissionError(errno.EACCES, "Permission denied"))


def test_a_port_taken_between_the_trial_and_the_listening_is_told_too(plc: ModbusPlc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspect.plc.modbus_server._try_to_bind", lambda _host, _port: None)
    with pytest.raises(PlcError, match="it was taken a moment ago; try again"):
        ModbusServer(host="127.0.0.1", port=plc.bound_port, unit=1, read=list, write=lambda _: None)


def test_a_level_that_somebody_has_set_for_pymodbus_stays() -> None:
    log = logging.getLogger("pymodbus")
    before = log.level
    try:
        log.setLevel(logging.NOTSET)
        silence_pymodbus()
        assert not log.isEnabledFor(logging.CRITICAL)
        log.setLevel(logging.DEBUG)
        silence_pymodbus()
        assert log.level == logging.DEBUG
    finally:
        log.setLevel(before)


def test_a_reader_never_sees_half_of_an_old_and_half_of_a_new_result(
    plc: ModbusPlc, client: ModbusTcpClient, inspection_of: Inspect
) -> None:
    """Sequence, inspection id and the count of triggers move together; a torn read would show them apart."""
    stop = threading.Event()

    def station() -> None:
        for _ in range(60_000):  # fewer than it takes for the ids to begin again at 1
            if stop.is_set():
                return
            plc.emit(inspection_of(plc.begin(time.monotonic_ns() + 10**12)))
            time.sleep(0)  # two threads that only wait for each other's lock would take turns of thousands

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(station)
        try:
            seen: list[dict[str, int | float]] = []
            while len({one["inspection_id"] for one in seen}) < 12 and not running.done():
                seen.append(read(client))
        finally:
            stop.set()
        running.result()
    numbered = [one for one in seen if one["inspection_id"]]
    assert len({one["inspection_id"] for one in numbered}) > 10
    assert all(one["sequence"] == 100_000 + one["inspection_id"] and one["overrun"] == one["inspection_id"] - 1 for one in numbered)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_dies_while_starting_does_not_keep_the_station_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspect.plc.modbus_server._try_to_bind", lambda _host, _port: None)
    with pytest.raises(PlcError, match="the server did not start"):
        ModbusServer(host="127.0.0.1", port=70_000, unit=1, read=list, write=lambda _: None)
    while "modbus" in [thread.name for thread in threading.enumerate()]:  # its traceback belongs to this test
        time.sleep(0.001)


def test_closing_does_not_wait_for_a_client_that_asks_without_pause() -> None:
    def ask(port: int) -> None:
        with connected(port) as client:
            while client.connected and not client.read_holding_registers(STATUS_START, count=1, device_id=1).isError():
                pass

    with ThreadPoolExecutor(2) as pool:
        with open_modbus(deadline_ms=LONG_MS, port=0) as plc:
            asking = [pool.submit(ask, plc.bound_port) for _ in range(2)]
            while plc.clients < 2:
                time.sleep(0.001)
        assert all(isinstance(one.exception(), (ModbusException, OSError, type(None))) for one in asking)
