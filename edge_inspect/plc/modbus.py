"""The Modbus TCP wire: the station as a server, the PLC as its client. The map is in registers.py and docs/modbus.md.

Two threads meet here in one lock: the station's (`poll`, `emit`) and the server's (each request of the PLC). Both pass the
time to the handshake, which does first what is due, so FAULT is there for whoever looks at or after the deadline, also
while the station's thread is inside the engine.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from edge_inspect.datatypes import Inspection, PlcRequest
from edge_inspect.errors import DeadlineMissed, PlcError
from edge_inspect.plc.handshake import Emitted, Handshake
from edge_inspect.plc.modbus_server import ModbusServer
from edge_inspect.plc.registers import decode_control, encode_status
from edge_inspect.plc.signals import Counters
from edge_inspect.protocols import Told

MS_NS = 1_000_000
Port = Annotated[int, Field(ge=0, le=65_535)]
Unit = Annotated[int, Field(ge=0, le=247)]

logger = logging.getLogger(__name__)


@contextmanager
def open_modbus(*, deadline_ms: float, host: str = "127.0.0.1", port: Port = 502, unit: Unit = 1) -> Iterator[ModbusPlc]:
    """Listen for the PLC.

    Args:
        deadline_ms: time from a trigger of the PLC until FAULT is said for it [ms]; given by the station, not by the file.
        host: address of this machine to listen on; 0.0.0.0 for all of them. Modbus has no password: use the PLC's network.
        port: TCP port; 0 takes a free one (`bound_port` tells it). Ports below 1024 need a privilege.
        unit: unit (slave) number to answer to; 0 answers to every one.

    Yields:
        The wire. Ready stays off until the station says `ready(True)`.

    Raises:
        PlcError: the address or port cannot be listened on.
    """
    plc = ModbusPlc(deadline_ms=deadline_ms, host=host, port=port, unit=unit)
    try:
        yield plc
    finally:
        plc.close()


class ModbusPlc:
    """A `protocols.Plc` on Modbus TCP.

    Attributes:
        bound_port: the port it listens on.
    """

    def __init__(self, *, deadline_ms: float, host: str, port: int, unit: int) -> None:
        self._deadline_ms = deadline_ms
        self._handshake = Handshake(allowed_ns=round(deadline_ms * MS_NS), now_ns=time.monotonic_ns())
        self._changed = threading.Condition()
        self._is_ready: bool | None = None
        self._server = ModbusServer(host=host, port=port, unit=unit, read=self._status_registers, write=self._control_registers)
        self.bound_port = self._server.port

    @property
    def counters(self) -> Counters:
        """Triggers, results delivered, overrun, missed, late and waiting since the wire was opened."""
        with self._changed:
            self._handshake.tick(time.monotonic_ns())
            return self._handshake.counters

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._server.clients

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say whether the station can take a trigger now; `reason` is why not and goes to the log."""
        with self._changed:
            self._handshake.ready(is_ready)
        if is_ready is not self._is_ready:
            logger.info("ready" if is_ready else "not ready: %s", *() if is_ready else (reason or "no reason given",))
        self._is_ready = is_ready

    def announce_to(self, told: Told) -> None:
        """Call `told` for each result from here on, before the PLC can read it."""
        with self._changed:
            self._handshake.announce = told

    def poll(self, timeout_s: float) -> PlcRequest | None:
        """Wait for the next request of the PLC; None when there was none within `timeout_s` [s].

        Calling it says that the station has finished with the trigger it took before.

        Raises:
            PlcError: the wire is closed.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                self._must_be_open()
                request = self._handshake.take(time.monotonic_ns())
                left_s = until - time.monotonic()
                if request is not None or left_s <= 0:
                    return request
                self._changed.wait(left_s)

    def begin(self, deadline_ns: int) -> int:
        """Tell the wire that the camera saw a part by itself; FAULT is said for it at `deadline_ns` (monotonic clock) [ns].

        An acquisition of the camera that is still open gets FAULT now.

        Returns:
            The acquisition count to put into the inspection.
        """
        with self._changed:
            return self._handshake.begin(deadline_ns, time.monotonic_ns())

    def exposed(self, acquisition: int) -> None:
        """Tell the PLC that the part of this acquisition may move; otherwise it is told with the result."""
        with self._changed:
            self._handshake.exposed(acquisition)

    def emit(self, inspection: Inspection) -> None:
        """Publish the verdict of `inspection.acquisition`; the PLC's next read shows it.

        Raises:
            DeadlineMissed: the wire has already said FAULT for this acquisition.
            PlcError: the wire is closed, or nobody asked for this acquisition or it has its verdict already.
        """
        with self._changed:
            self._must_be_open()
            emitted = self._handshake.emit(inspection, time.monotonic_ns())
        part = f"plc: modbus: acquisition {inspection.acquisition}: verdict {inspection.verdict.value}"
        if emitted is Emitted.LATE:
            raise DeadlineMissed(
                f"{part} came too late, the PLC was told FAULT already; raise deadline_ms ({self._deadline_ms:g}) or use a faster engine"
            )
        if emitted is Emitted.UNKNOWN:
            raise PlcError(f"{part} refused: the acquisition was never asked for or has its verdict; emit once for each trigger or begin()")

    def answer(self, request: PlcRequest, *, job: int, error: str = "") -> None:
        """Finish a job change: `job` is the one that runs now; `error` is why the wanted one does not."""
        if error:
            logger.warning("job %d does not run, job %d goes on: %s", request.job, job, error)
        with self._changed:
            self._handshake.answer(job, failed=bool(error))

    def close(self) -> None:
        """Stop listening and wake whoever waits in `poll`."""
        self._server.close()
        with self._changed:
            self._changed.notify_all()

    def _must_be_open(self) -> None:
        if not self._server.serving:
            raise PlcError(f"plc: modbus: the wire on port {self.bound_port} is closed; open it again")

    def _status_registers(self) -> list[int]:
        with self._changed:
            return encode_status(self._handshake.status(time.monotonic_ns()))

    def _control_registers(self, registers: list[int]) -> None:
        with self._changed:
            self._handshake.write(decode_control(registers), time.monotonic_ns())
            self._changed.notify_all()
