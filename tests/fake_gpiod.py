"""Chips with lines that live in this process, behind the interface of gpiod 2: for the logic on top, where the kernel has no GPIO.

The real thing (gpio-sim in a virtual machine) is driven by tests/integration/gpio. Here a test sees every change of an output with its
time, gives inputs a level, takes lines away and breaks a chip.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from gpiod import EdgeEvent, LineSettings
from gpiod.line import Direction, Edge, Value

PATIENCE_S = 30.0


@dataclass(eq=False)
class FakeLine:
    """One line: its level on the wire, who has it, and what happened on it."""

    name: str
    level: bool = False
    consumer: str = ""
    settings: LineSettings | None = None
    request: FakeRequest | None = None
    edges: int = 0
    history: list[tuple[int, bool]] = field(default_factory=list)


class Board:
    """The chips of a machine.

    Attributes:
        broken: every call on a line fails, as of a USB chip that was pulled out.
        stuck: a change of outputs fails, and nothing else.
        slow_s: a change of outputs takes so long [s].
        refuse: error numbers that opening a chip, or requesting lines, ends with.
    """

    def __init__(self, **chips: list[str]) -> None:
        self.lock = threading.Condition()
        self.chips = {f"/dev/{name}": [FakeLine(line) for line in lines] for name, lines in chips.items()}
        self.broken = False
        self.stuck = False
        self.slow_s = 0.0
        self.refuse_open: int | None = None
        self.refuse_request: int | None = None

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Board:
        monkeypatch.setattr("gpiod.Chip", lambda path: FakeChip(self, path))
        monkeypatch.setattr("edge_inspect.digital_io._chip_paths", lambda: [] if self.refuse_open == errno.ENOENT else list(self.chips))
        return self

    def line(self, name: str) -> FakeLine:
        return next(line for lines in self.chips.values() for line in lines if line.name == name)

    def level(self, name: str) -> bool:
        with self.lock:
            return self.line(name).level

    def drive(self, name: str, level: bool, *, at_ns: int | None = None) -> None:
        """Give an input a level, as the wire does."""
        with self.lock:
            line = self.line(name)
            if line.level is level:
                return
            line.level = level
            if line.request is None or line.settings is None:
                return
            rising = level != line.settings.active_low
            if line.settings.edge_detection is Edge.BOTH or (line.settings.edge_detection is Edge.RISING and rising):
                line.edges += 1
                line.request.tell(line, rising, at_ns or time.monotonic_ns())

    def pulse(self, name: str, seconds: float = 0.0) -> None:
        self.drive(name, True)
        time.sleep(seconds)
        self.drive(name, False)

    def wait_for(self, name: str, level: bool) -> int:
        """When the line got this level [ns]."""
        with self.lock:
            assert self.lock.wait_for(lambda: self.line(name).level is level, PATIENCE_S), f"{name} did not become {level}"
            return self.line(name).history[-1][0] if self.line(name).history else 0

    def wait_until(self, condition: Any) -> None:
        with self.lock:
            assert self.lock.wait_for(condition, PATIENCE_S)

    def changes(self, name: str) -> list[tuple[int, bool]]:
        with self.lock:
            return list(self.line(name).history)

    def use(self) -> None:
        if self.broken:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


class FakeChip:
    """`gpiod.Chip`."""

    def __init__(self, board: Board, path: str) -> None:
        if board.refuse_open is not None:
            raise {errno.EACCES: PermissionError}.get(board.refuse_open, OSError)(board.refuse_open, os.strerror(board.refuse_open))
        board.use()
        self._board, self.path = board, path
        self._lines = board.chips[path]

    def __enter__(self) -> FakeChip:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_info(self) -> SimpleNamespace:
        name = self.path.rsplit("/", 1)[1]
        return SimpleNamespace(name=name, label=f"label of {name}", num_lines=len(self._lines))

    def line_offset_from_id(self, name: str) -> int:
        for offset, line in enumerate(self._lines):
            if line.name == name:
                return offset
        raise OSError(errno.ENOENT, "line not found")

    def get_line_info(self, offset: int) -> SimpleNamespace:
        line = self._lines[offset]
        return SimpleNamespace(used=line.request is not None or bool(line.consumer), consumer=line.consumer)

    def request_lines(self, config: dict[int, LineSettings], consumer: str, event_buffer_size: int) -> FakeRequest:
        assert event_buffer_size > 0
        with self._board.lock:
            if self._board.refuse_request is not None:
                raise OSError(self._board.refuse_request, os.strerror(self._board.refuse_request))
            if any(self._lines[offset].request or self._lines[offset].consumer for offset in config):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            return FakeRequest(self._board, {offset: self._lines[offset] for offset in config}, config, consumer)


class FakeRequest:
    """`gpiod.LineRequest`."""

    def __init__(self, board: Board, lines: dict[int, FakeLine], config: dict[int, LineSettings], consumer: str) -> None:
        self._board, self._lines = board, lines
        self._events: list[SimpleNamespace] = []
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        for offset, line in lines.items():
            line.request, line.settings, line.consumer, line.edges = self, config[offset], consumer, 0
            if line.settings.direction is Direction.OUTPUT:
                self._put(line, line.settings.output_value)

    def _put(self, line: FakeLine, value: Value) -> None:
        assert line.settings is not None
        assert line.settings.direction is Direction.OUTPUT
        level = (value is Value.ACTIVE) != line.settings.active_low
        if line.level is not level or not line.history:
            line.level = level
            line.history.append((time.monotonic_ns(), level))
            self._board.lock.notify_all()

    def set_values(self, values: dict[int, Value]) -> None:
        time.sleep(self._board.slow_s)
        if self._board.stuck:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        with self._board.lock:
            self._board.use()
            for offset, value in values.items():
                self._put(self._lines[offset], value)

    def get_values(self, offsets: list[int]) -> list[Value]:
        with self._board.lock:
            self._board.use()
            lines = [self._lines[offset] for offset in offsets]
            return [Value.ACTIVE if line.level != line.settings.active_low else Value.INACTIVE for line in lines if line.settings]

    def tell(self, line: FakeLine, rising: bool, at_ns: int) -> None:
        [offset] = [offset for offset, mine in self._lines.items() if mine is line]
        kind = EdgeEvent.Type.RISING_EDGE if rising else EdgeEvent.Type.FALLING_EDGE
        self._events.append(SimpleNamespace(line_offset=offset, event_type=kind, timestamp_ns=at_ns, line_seqno=line.edges))
        os.eventfd_write(self.fd, 1)

    def wait_edge_events(self, timeout: float) -> bool:
        assert timeout == 0
        with self._board.lock:
            self._board.use()
            return bool(self._events)

    def read_edge_events(self) -> list[SimpleNamespace]:
        with self._board.lock:
            os.eventfd_read(self.fd)
            events, self._events = self._events, []
            return events

    def release(self) -> None:
        with self._board.lock:
            for line in self._lines.values():
                line.request, line.consumer = None, ""
            os.close(self.fd)
