"""The wire to a PLC that is a Modbus server: the order of its writes, and a server of pyModbusTCP or pymodbus behind it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.datatypes import Inspection, RequestKind, Verdict
from edge_inspect.errors import DeadlineMissed, PlcError
from edge_inspect.field.plc_memory import PlcMemory
from edge_inspect.plc.modbus_client import ModbusClientPlc, open_modbus_client
from edge_inspect.plc.register_writes import BITS, IDENTITY, LAST, VALID, register_writes
from edge_inspect.plc.registers import STATUS_COUNT
from edge_inspect.plc.signals import Control
from edge_inspect.testing import check_plc

Inspect = Callable[..., Inspection]
LONG_MS = 60_000.0
WITHIN_S = 30.0
ENABLED = Control(trigger_enable=True, buffer_results_enable=True)
TRIGGER = Control(trigger_enable=True, buffer_results_enable=True, trigger=True)


def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until, "it never came to be so"
        time.sleep(0.001)


@st.composite
def blocks(draw: st.DrawFn) -> list[int]:
    """A status block as the station makes it: few results, any bits."""
    result = draw(st.integers(0, 3))
    block = [draw(st.sampled_from([0, 1, VALID, VALID | 1])), draw(st.integers(0, 2)), *[result] * (STATUS_COUNT - 2)]
    block[19] = draw(st.integers(0, 2))  # heartbeat
    return block


@given(shown=st.none() | blocks(), wanted=blocks())
def test_at_no_moment_between_two_writes_is_half_a_result_shown_as_valid(shown: list[int] | None, wanted: list[int]) -> None:
    memory = [VALID | 1, 7, *range(100, 100 + STATUS_COUNT - 2)] if shown is None else list(shown)
    before = list(memory)
    for offset, values in register_writes(shown, wanted):
        memory[offset : offset + len(values)] = values
        if memory[BITS] & VALID:
            assert memory[IDENTITY:LAST] in (wanted[IDENTITY:LAST], before[IDENTITY:LAST])
            assert len(set(memory[IDENTITY:19])) == 1
        if memory[LAST] != before[LAST]:
            assert memory[IDENTITY:LAST] == wanted[IDENTITY:LAST], "result_id is the last word of its result"
    assert memory == wanted


def test_what_has_not_changed_is_not_written() -> None:
    block = [VALID] + [1] * (STATUS_COUNT - 1)
    assert list(register_writes(block, block)) == []
    assert list(register_writes(block, [VALID | 1, *block[1:]])) == [(BITS, [VALID | 1])]


@contextmanager
def wire(memory: PlcMemory, *, deadline_ms: float = LONG_MS) -> Iterator[ModbusClientPlc]:
    with open_modbus_client(deadline_ms=deadline_ms, host="127.0.0.1", port=memory.port, timeout_ms=2000, reconnect_ms=50) as plc:
        yield plc


@pytest.fixture
def memory() -> Iterator[PlcMemory]:
    with PlcMemory() as memory:
        yield memory


def test_the_wire_keeps_its_promises(memory: PlcMemory) -> None:
    @contextmanager
    def opened() -> Iterator[ModbusClientPlc]:
        with wire(memory, deadline_ms=1000) as plc:
            eventually(lambda: plc.connected)
            yield plc

    check_plc(opened)


def test_a_trigger_in_the_plcs_memory_is_inspected_and_its_result_written_there(memory: PlcMemory, inspection_of: Inspect) -> None:
    with wire(memory) as plc:
        plc.ready(True)
        memory.write(ENABLED)
        eventually(lambda: memory.read()["trigger_ready"])
        memory.write(TRIGGER)
        request = plc.poll(WITHIN_S)
        assert request is not None
        assert (request.kind, request.acquisition) == (RequestKind.TRIGGER, 1)
        plc.emit(inspection_of(1, Verdict.NG))
        seen = memory.read()
        assert (seen["results_valid"], seen["result_code"], seen["inspection_id"], seen["result_id"]) == (1, 2, 1, 1)
        memory.write(Control(trigger_enable=True, buffer_results_enable=True, results_ack=True))
        eventually(lambda: not memory.read()["results_valid"])
        eventually(lambda: memory.read()["result_code"] == 0)  # Results Valid falls in a request of its own, before the block
    assert memory.read()["online"] == 0, "a station that stops says so"


def test_fault_is_written_at_the_deadline_while_the_engine_still_works(memory: PlcMemory, inspection_of: Inspect) -> None:
    with wire(memory, deadline_ms=30) as plc:
        plc.ready(True)
        memory.write(TRIGGER)
        assert plc.poll(WITHIN_S) is not None
        eventually(lambda: memory.read()["result_code"] == 3)
        with pytest.raises(DeadlineMissed):
            plc.emit(inspection_of(1))


def test_a_plc_that_is_not_there_is_an_error_and_gets_its_result_when_it_comes(inspection_of: Inspect) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open_modbus_client(deadline_ms=LONG_MS, host="127.0.0.1", port=port, timeout_ms=500, reconnect_ms=50) as plc:
        with pytest.raises(PlcError, match=f"127.0.0.1 port {port}"):
            plc.poll(0.2)
        assert plc.poll(0) is None, "a camera-triggered line is not held up"
        with pytest.raises(PlcError, match="check the PLC and the cable"):
            plc.emit(inspection_of(plc.begin(time.monotonic_ns() + 10**12)))
        with PlcMemory(port=port) as memory:
            eventually(lambda: memory.read()["result_code"] == 1)


def test_a_plc_that_restarts_gets_the_whole_block_anew(memory: PlcMemory, inspection_of: Inspect) -> None:
    with wire(memory) as plc:
        eventually(lambda: plc.connected)
        plc.emit(inspection_of(plc.begin(time.monotonic_ns() + 10**12), Verdict.NG))
        memory.close()
        eventually(lambda: not plc.connected)
        with PlcMemory(port=memory.port) as again:
            eventually(lambda: again.read()["result_code"] == 2)
            assert again.read()["sequence"] == 100_001


def test_a_frozen_plc_holds_a_verdict_up_no_longer_than_the_timeout(inspection_of: Inspect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # accepts and never answers
        port = frozen.getsockname()[1]
        with open_modbus_client(deadline_ms=LONG_MS, host="127.0.0.1", port=port, timeout_ms=20, reconnect_ms=50) as plc:
            for _ in range(20):
                count = plc.begin(time.monotonic_ns() + 10**12)
                with pytest.raises(PlcError):
                    plc.emit(inspection_of(count))
            assert plc.counters.triggers == 20


def test_a_server_without_these_registers_is_told_what_it_needs() -> None:
    with PlcMemory(registers=50) as small, wire(small) as plc, pytest.raises(PlcError, match="32 for status"):
        plc.poll(1.0)


@pytest.mark.parametrize("scan_ms", [1, 20])
def test_a_hundred_parts_with_a_plc_in_a_thread_of_its_own(memory: PlcMemory, inspection_of: Inspect, scan_ms: int) -> None:
    stop = threading.Event()

    def station(plc: ModbusClientPlc) -> None:
        plc.ready(True)
        while not stop.is_set():
            request = plc.poll(0)
            if request is not None:
                plc.emit(inspection_of(request.acquisition, Verdict.NG if request.acquisition % 3 == 0 else Verdict.OK))

    def one_part() -> tuple[int, int]:
        eventually(lambda: memory.read()["trigger_ready"])
        memory.write(TRIGGER)
        eventually(lambda: memory.read()["trigger_ack"])
        memory.write(ENABLED)
        eventually(lambda: memory.read()["results_valid"])
        seen = memory.read()
        memory.write(Control(trigger_enable=True, buffer_results_enable=True, results_ack=True))
        eventually(lambda: not memory.read()["results_valid"])
        memory.write(ENABLED)
        return int(seen["inspection_id"]), int(seen["result_code"])

    with (
        open_modbus_client(deadline_ms=LONG_MS, host="127.0.0.1", port=memory.port, scan_ms=scan_ms) as plc,
        ThreadPoolExecutor(1) as pool,
    ):
        working = pool.submit(station, plc)
        memory.write(ENABLED)
        try:
            parts = 100 if scan_ms == 1 else 10
            assert [one_part() for _ in range(parts)] == [(number, 2 if number % 3 == 0 else 1) for number in range(1, parts + 1)]
        finally:
            stop.set()
        working.result()
