"""Where the belt's position comes from: a clock, a counter of the kernel, or the edges of an encoder on GPIO lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from edge_inspect.config import Encoder, Gate
from edge_inspect.digital_io import Edge, Line, Lines, open_lines
from edge_inspect.errors import PlcError
from edge_inspect.gate.travel import History, Quadrature, Wrapping

WHO = "gate: encoder"
POLL_S = 0.001
"""How often a counter of the kernel is read [s]."""
SECOND_NS = 1_000_000_000
JUMP_OVER_NS = 20_000_000
"""Counts are held against the most possible ones over at least this time: a thread may be late [ns]."""


class Belt(Protocol):
    """Tells where the belt is. Used by one thread."""

    fds: tuple[int, ...]
    """Readable when it has moved."""
    poll_s: float | None
    """How often it must be looked at; None where `fds` tell [s]."""
    by_clock: bool
    """Whether its position is the monotonic clock itself [ns]."""

    def read(self, now_ns: int) -> int:
        """Where it is now [steps].

        Raises:
            PlcError: what counts does not answer.
        """

    def at(self, at_ns: int) -> int | None:
        """Where it was then; None for before anything is known [steps]."""

    def speed(self, now_ns: int) -> float:
        """Steps a nanosecond."""

    def suspect(self) -> str:
        """Why what was read last cannot be believed; "" where it can. Told once."""


class Clock:
    """A belt of one speed that never stops: its position is the time."""

    fds: tuple[int, ...] = ()
    poll_s: float | None = None
    by_clock = True

    def read(self, now_ns: int) -> int:
        """The time itself."""
        return now_ns

    def at(self, at_ns: int) -> int:
        """The time itself."""
        return at_ns

    def speed(self, now_ns: int) -> float:  # noqa: ARG002 - the door's signature
        """One step is one nanosecond."""
        return 1.0

    def suspect(self) -> str:
        """A clock is believed."""
        return ""


class Encoded:
    """A belt with an encoder.

    Args:
        count: its count now, one long number.
        fds: readable when it has moved.
        backwards: the count falls as the belt runs forward.
        max_per_s: more counts in a second than this are no belt.
        lost: edges that were missed so far.
    """

    by_clock = False

    def __init__(
        self,
        count: Callable[[], int],
        *,
        fds: tuple[int, ...] = (),
        backwards: bool = False,
        max_per_s: int,
        lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self._count, self._lost = count, lost
        self._sign = -1 if backwards else 1
        self._max_per_s = max_per_s
        self.fds = fds
        self.poll_s = None if fds else POLL_S
        self._read_ns, self._position = time.monotonic_ns(), self._sign * count()
        self._history = History(self._read_ns, self._position)
        self._offset = 0
        self._told_lost = 0
        self._suspect = ""

    def read(self, now_ns: int) -> int:
        """Where it is now."""
        position = self._sign * self._count() + self._offset
        if self._jumped(position - self._position, now_ns - self._read_ns):
            self._offset += self._position - position  # the belt is where it was, as far as anybody knows
            position = self._position
        self._read_ns, self._position = now_ns, position
        self._history.note(now_ns, position)
        return position

    def at(self, at_ns: int) -> int | None:
        """Where it was then."""
        return self._history.at(at_ns)

    def speed(self, now_ns: int) -> float:
        """Over the last time."""
        return self._history.speed(now_ns)

    def suspect(self) -> str:
        """Lost edges, or more counts than a belt can make; those are not taken for movement."""
        suspect, self._suspect = self._suspect, ""
        return suspect

    def _jumped(self, moved: int, within_ns: int) -> bool:
        lost = self._lost()
        if lost > self._told_lost:
            self._told_lost = lost
            self._suspect = "edges of the encoder came faster than they could be read: use a counter of the kernel, or fewer counts"
        jumped = abs(moved) > self._max_per_s * max(within_ns, JUMP_OVER_NS) / SECOND_NS
        if jumped:
            self._suspect = f"the encoder jumped by {moved} counts in {within_ns / 1e6:.1f} ms: it was reset, or its cable picks up noise"
        return jumped


def belt_opener(settings: Gate) -> Callable[[], AbstractContextManager[Belt]]:
    """What opens the belt of a gate."""
    encoder = settings.encoder
    if encoder is None:
        return _clock
    return lambda: _counter(encoder) if encoder.kind == "counter" else _lines(encoder)


@contextmanager
def _clock() -> Iterator[Belt]:
    yield Clock()


@contextmanager
def _counter(encoder: Encoder) -> Iterator[Belt]:
    path = encoder.path
    assert path is not None
    counter = Wrapping(encoder.bits, _shown(path))
    yield Encoded(lambda: counter.take(_shown(path)), backwards=encoder.backwards, max_per_s=encoder.max_per_s)


def _shown(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except OSError as error:
        raise PlcError(
            f"{WHO}: {path}: cannot be read: {error.strerror}; check the counter's driver, its name and the permissions"
        ) from error
    except ValueError as error:
        raise PlcError(f"{WHO}: {path}: holds no number; give the file `count` of a counter") from error


@contextmanager
def _lines(encoder: Encoder) -> Iterator[Belt]:
    wanted = [
        Line(signal=signal, line=line, chip=encoder.chip, bias=encoder.bias, rising_only=encoder.b is None)
        for signal, line in (("a", encoder.a), ("b", encoder.b))
        if line is not None
    ]
    with ExitStack() as stack:
        lines = stack.enter_context(open_lines(wanted, who=WHO))
        yield _quadrature(lines, encoder) if encoder.b is not None else _single(lines, encoder)


def _quadrature(lines: Lines, encoder: Encoder) -> Belt:
    lines.edges()  # what came before the levels were read
    levels = lines.inputs()
    quadrature = Quadrature(levels["a"], levels["b"])
    numbers: dict[str, int] = {}

    def count() -> int:
        for edge in lines.edges():
            quadrature.lost += _gap(numbers, edge)
            quadrature.edge(edge.signal, edge.rising)
        return quadrature.count

    return Encoded(count, fds=lines.fds, backwards=encoder.backwards, max_per_s=encoder.max_per_s, lost=lambda: quadrature.lost)


def _gap(numbers: dict[str, int], edge: Edge) -> int:
    before, numbers[edge.signal] = numbers.get(edge.signal, edge.number - 1), edge.number
    return edge.number - before - 1


def _single(lines: Lines, encoder: Encoder) -> Belt:
    """The kernel counts the edges, and of its count none is lost when they are read late."""
    edges = Wrapping(32, 0)

    def count() -> int:
        for edge in lines.edges():
            edges.take(edge.number)
        return edges.total

    return Encoded(count, fds=lines.fds, backwards=encoder.backwards, max_per_s=encoder.max_per_s)
