"""The Modbus TCP wire for a PLC that wants to be written to: the PLC is the server, the station its client.

The same registers as on the server's wire (registers.py, docs/modbus.md) lie in the PLC's memory: the station reads the control
block in every scan and writes the status block when something in it has changed. One connection is kept; whatever goes wrong
with it closes it, and it is opened again for ever. Results wait for a PLC that is away as they do for one that is slow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edge_inspect.datatypes import Inspection, Peer, PlcRequest
from edge_inspect.errors import PlcError
from edge_inspect.plc.modbus_server import silence_pymodbus
from edge_inspect.plc.register_writes import register_writes
from edge_inspect.plc.registers import CONTROL_COUNT, STATUS_COUNT, decode_control, encode_status
from edge_inspect.plc.shared import SharedHandshake
from edge_inspect.time_left import THE_END

Address = Annotated[int, Field(ge=0, le=65_535 - STATUS_COUNT)]
CLOSE_WITHIN_S = 5.0
FIRST_RETRY_S = 0.05

logger = logging.getLogger(__name__)


@contextmanager
def open_modbus_client(
    *,
    deadline_ms: float,
    host: str,
    port: Annotated[int, Field(ge=1, le=65_535)] = 502,
    unit: Annotated[int, Field(ge=0, le=255)] = 1,
    control_address: Address = 0,
    status_address: Address = 100,
    scan_ms: Annotated[int, Field(ge=1, le=1000)] = 5,
    timeout_ms: Annotated[int, Field(ge=20, le=5000)] = 300,
    reconnect_ms: Annotated[int, Field(ge=50, le=60_000)] = 1000,
) -> Iterator[ModbusClientPlc]:
    """Keep one connection to a PLC that is a Modbus server. It need not be there yet.

    Args:
        deadline_ms: time from a trigger of the PLC until FAULT is said for it [ms]; given by the station, not by the file.
        host: address of the PLC.
        port: its TCP port.
        unit: its unit (slave) number.
        control_address: its first register of the control block, zero-based.
        status_address: its first register of the status block, zero-based.
        scan_ms: longest time between two looks at the control block [ms].
        timeout_ms: longest wait for the PLC's answer to one request, and of a verdict for its way there [ms].
        reconnect_ms: longest pause before the next try to connect [ms].

    Yields:
        The wire. Ready stays off until the station says `ready(True)`.
    """
    plc = ModbusClientPlc(
        deadline_ms=deadline_ms,
        link=Link(host, port=port, unit=unit, timeout_s=timeout_ms / 1e3),
        addresses=(control_address, status_address),
        scan_s=scan_ms / 1e3,
        reconnect_s=reconnect_ms / 1e3,
    )
    try:
        yield plc
    finally:
        plc.close()


class Link:
    """One connection to a Modbus server, opened when it is first needed.

    Attributes:
        where: the server, for messages.
        timeout_s: longest wait for an answer [s].
    """

    def __init__(self, host: str, *, port: int, unit: int, timeout_s: float) -> None:
        silence_pymodbus()
        self.where = f"{host} port {port}"
        self.timeout_s = timeout_s
        self._unit = unit
        self._client = ModbusTcpClient(host, port=port, timeout=timeout_s, retries=0)

    def read(self, address: int, count: int) -> list[int]:
        """Holding registers (count,).

        Raises:
            PlcError: no answer in time, or the server refuses.
        """
        return list(self._reply(lambda: self._client.read_holding_registers(address, count=count, device_id=self._unit)).registers)

    def write(self, address: int, values: list[int]) -> None:
        """Write holding registers in one request (function 16).

        Raises:
            PlcError: no answer in time, or the server refuses.
        """
        self._reply(lambda: self._client.write_registers(address, values, device_id=self._unit))

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _reply(self, request: Callable[[], ModbusPDU]) -> ModbusPDU:
        try:
            reply = request()
        except (ModbusException, OSError) as error:
            raise PlcError(
                f"plc: modbus-client: no answer from {self.where} within {self.timeout_s:g} s; check the PLC and the cable"
            ) from error
        if reply.isError():
            raise PlcError(
                f"plc: modbus-client: {self.where} refused a request with exception {reply.exception_code}; its memory must have "
                f"{CONTROL_COUNT} registers for control and {STATUS_COUNT} for status at the addresses of the station file"
            )
        return reply


class ModbusClientPlc(SharedHandshake):
    """A `protocols.Plc` that reads and writes the memory of a PLC."""

    def __init__(self, *, deadline_ms: float, link: Link, addresses: tuple[int, int], scan_s: float, reconnect_s: float) -> None:
        super().__init__(deadline_ms=deadline_ms, wire="modbus-client")
        self._link = link
        self._control_address, self._status_address = addresses
        self._scan_s, self._reconnect_s = scan_s, reconnect_s
        self._shown: list[int] | None = None
        self._shown_news = 0
        self._trouble = f"plc: modbus-client: {link.where} has not answered yet"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="modbus-client", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the PLC answers."""
        return not self._trouble

    def poll(self, timeout_s: float) -> PlcRequest | None:
        """Wait for the next request of the PLC; None when there was none within `timeout_s` [s].

        Raises:
            PlcError: the wire is closed, or the PLC did not answer for all this time.
        """
        request = super().poll(timeout_s)
        if request is None and timeout_s > 0 and self._trouble:
            raise PlcError(self._trouble)
        return request

    def emit(self, inspection: Inspection) -> None:
        """Publish the verdict of `inspection.acquisition`; it stands in the PLC's memory when this returns.

        Raises:
            DeadlineMissed: the wire has already said FAULT for this acquisition.
            PlcError: the PLC is away, and the result waits for it; or nobody asked for this acquisition.
        """
        super().emit(inspection)
        with self._changed:
            said = self._news
            self._changed.wait_for(lambda: self._shown_news >= said or self._trouble or self._is_closed, self._link.timeout_s)
            if self._shown_news < said:
                raise PlcError(self._trouble or f"plc: modbus-client: {self._link.where} did not take a result in time; check the PLC")

    def close(self) -> None:
        """Hang up and end the thread."""
        self._stopping.set()
        super().close()
        self._thread.join(THE_END.at_most(CLOSE_WITHIN_S))

    # ---- the thread ----

    def _work(self) -> None:
        pause_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                self._scan()
                pause_s = FIRST_RETRY_S
            except PlcError as error:
                self._lost(str(error))
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, self._reconnect_s)
        self._say_goodbye()

    def _scan(self) -> None:
        """Read what the PLC wants, write what it must know; then wait for news, or for the next scan."""
        self.write(decode_control(self._link.read(self._control_address, CONTROL_COUNT)), by=Peer(self._link.where))
        until = time.monotonic() + self._scan_s
        while True:
            news = self._publish()
            if self._trouble:
                logger.info("%s answers", self._link.where)
            self._set_trouble("", news)
            left_s = until - time.monotonic()
            if left_s <= 0 or self._stopping.is_set():
                return
            self.wait_for_news(news, left_s)

    def _publish(self) -> int:
        """Write what has changed; the number of the news that stands there now."""
        with self._changed:
            news, wanted = self._news, encode_status(self.status())
        shown, self._shown = self._shown, None  # half written, where one of the writes fails
        for offset, values in register_writes(shown, wanted):
            self._link.write(self._status_address + offset, values)
        self._shown = wanted
        return news

    def _lost(self, trouble: str) -> None:
        if not self._trouble:
            logger.warning("%s", trouble)
        self._link.close()
        self._shown = None
        self._set_trouble(trouble, self._shown_news)

    def _set_trouble(self, trouble: str, news: int) -> None:
        with self._changed:
            self._trouble, self._shown_news = trouble, news
            self._changed.notify_all()

    def _say_goodbye(self) -> None:
        """The PLC sees Online off rather than a heartbeat that stops, where it still answers."""
        try:
            if not self._trouble:
                self.ready(False, "the station is stopping")
                self._publish()
        except PlcError as error:
            logger.info("%s", error)
        self._link.close()
