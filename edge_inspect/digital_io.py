"""Digital lines of this machine, by the kernel's GPIO character device (/dev/gpiochip*). Needs the extra `gpio`.

The kernel gives a line to one program at a time and takes it back when that program ends, however it ends. What level the line has
then is up to the chip's driver and to the resistor at the line: see docs/gpio.md.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.errors import PlcError, PluginError

if TYPE_CHECKING:
    from gpiod import Chip, LineRequest, LineSettings
    from gpiod.line import Value

DEVICES = Path("/dev")
CHIPS = "gpiochip*"
EVENTS_KEPT = 1024
"""Edges the kernel keeps for a program that is slow to read them: the most it allows for one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line that is wanted.

    Attributes:
        signal: what it is to the program.
        line: its name, or its offset on the chip.
        chip: path, name or label of the chip; None looks for the name on all chips.
        output: driven by us; else read, and its edges reported.
        active_low: low means on.
        bias: `as-is`, `disabled`, `pull-up` or `pull-down`, of an input.
        drive: `push-pull`, `open-drain` or `open-source`, of an output.
        debounce_us: an input must be steady for so long [us].
        rising_only: only rising edges of an input are reported. The kernel then says of a pulse however short that it rose; asked for
            both edges, it says what the level is by the time it looks.
        initially: whether an output is on as it is taken.
    """

    signal: str
    line: str | int
    chip: str | None = None
    output: bool = False
    active_low: bool = False
    bias: str = "as-is"
    drive: str = "push-pull"
    debounce_us: int = 0
    rising_only: bool = False
    initially: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An input has changed.

    Attributes:
        signal: which.
        rising: it came on (as seen past `active_low`).
        at_ns: when, by the kernel (monotonic clock) [ns].
        number: the kernel's count of this line's edges from 1; a gap are edges that nobody had read in time.
    """

    signal: str
    rising: bool
    at_ns: int
    number: int


class Lines:
    """Lines that were taken. Used by one thread at a time."""

    def __init__(self, requests: Sequence[tuple[LineRequest, Mapping[int, Line]]], who: str) -> None:
        from gpiod.line import Value

        self._requests = requests
        self._who = who
        self._on, self._off = Value.ACTIVE, Value.INACTIVE
        self._rising: Any = _rising()

    @property
    def fds(self) -> tuple[int, ...]:
        """Readable when an edge waits."""
        return tuple(request.fd for request, lines in self._requests if any(not line.output for line in lines.values()))

    def set(self, levels: Mapping[str, bool]) -> None:
        """Switch outputs by signal; those of one chip in one call.

        Raises:
            PlcError: the chip is gone.
        """
        for request, lines in self._requests:
            values: dict[int | str, Value] = {
                offset: self._on if levels[line.signal] else self._off
                for offset, line in lines.items()
                if line.output and line.signal in levels
            }
            if values:
                with self._chip():
                    request.set_values(values)

    def inputs(self) -> dict[str, bool]:
        """Whether each input is on now.

        Raises:
            PlcError: the chip is gone.
        """
        levels: dict[str, bool] = {}
        for request, lines in self._requests:
            offsets = [offset for offset, line in lines.items() if not line.output]
            with self._chip():
                values = request.get_values(offsets) if offsets else []
            levels |= {lines[offset].signal: value is self._on for offset, value in zip(offsets, values, strict=True)}
        return levels

    def edges(self) -> list[Edge]:
        """All edges that wait, oldest first; returns at once.

        Raises:
            PlcError: the chip is gone.
        """
        found = []
        for request, lines in self._requests:
            with self._chip():
                while any(not line.output for line in lines.values()) and request.wait_edge_events(0):
                    found += [self._edge(event, lines) for event in request.read_edge_events()]
        return sorted(found, key=lambda edge: edge.at_ns)

    def _edge(self, event: Any, lines: Mapping[int, Line]) -> Edge:
        return Edge(
            signal=lines[event.line_offset].signal,
            rising=event.event_type is self._rising,
            at_ns=event.timestamp_ns,
            number=event.line_seqno,
        )

    @contextmanager
    def _chip(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PlcError(f"{self._who}: the GPIO chip does not answer: {error.strerror}; check its connection and power") from error


@contextmanager
def open_lines(wanted: Sequence[Line], *, who: str) -> Iterator[Lines]:
    """Take lines from the kernel; they are given back on leaving.

    Args:
        wanted: the lines; each signal once.
        who: begins every message, as `plc: gpio`.

    Raises:
        PluginError: gpiod is not installed.
        PlcError: no such chip or line, it may not be opened, somebody else has it, or the chip cannot do what is asked.
    """
    gpiod = import_gpiod(who)
    with ExitStack() as stack:
        chips = _open_chips(stack, gpiod.Chip, who)
        placed: dict[str, dict[int, Line]] = {}
        for line in wanted:
            path, offset = _placed(line, chips, who)
            if offset in placed.setdefault(path, {}):
                raise PlcError(f"{who}: {line.signal}: line {line.line!r} is {placed[path][offset].signal} already; give each its own")
            placed[path][offset] = line
        requests = [(_requested(stack, chips[path], lines, who), lines) for path, lines in placed.items()]
        yield Lines(requests, who)


def import_gpiod(who: str) -> Any:
    """The module.

    Raises:
        PluginError: it is not installed.
    """
    try:
        import gpiod
    except ImportError as error:
        raise PluginError(f"{who}: needs gpiod; install the extra: pip install 'edge-inspect[gpio]'") from error
    return gpiod


def _open_chips(stack: ExitStack, chip: Callable[[str], Chip], who: str) -> dict[str, Chip]:
    """Every chip of this machine that may be opened, by path."""
    found, refused = {}, []
    for path in _chip_paths():
        try:
            found[path] = stack.enter_context(chip(path))
        except PermissionError:
            refused.append(path)
        except OSError:
            continue  # it went away meanwhile
    if not found and refused:
        raise PlcError(
            f"{who}: {', '.join(refused)} may not be opened; put the user who runs this into the group of the device, or install "
            "systemd/drop-ins/gpio.conf"
        )
    if not found:
        raise PlcError(f"{who}: this machine has no GPIO chip ({DEVICES / CHIPS}); load its driver, or take the block out")
    return found


def _chip_paths() -> list[str]:
    return sorted(map(str, DEVICES.glob(CHIPS)))


def _placed(line: Line, chips: Mapping[str, Chip], who: str) -> tuple[str, int]:
    """On which chip, and at which offset a line is."""
    where = _chips_named(line.chip, chips)
    if not where:
        known = ", ".join(_described(path, chip) for path, chip in chips.items())
        raise PlcError(f"{who}: {line.signal}: there is no chip {line.chip!r}; this machine has {known}")
    if isinstance(line.line, int):
        if line.chip is None:
            raise PlcError(f"{who}: {line.signal}: line {line.line} is an offset and needs its chip; give `chip`, or the line's name")
        [(path, chip)] = where.items()
        if line.line >= chip.get_info().num_lines:
            raise PlcError(f"{who}: {line.signal}: {path} has lines 0 to {chip.get_info().num_lines - 1}, and no line {line.line}")
        return path, line.line
    found = [(path, offset) for path, chip in where.items() if (offset := _offset(chip, line.line)) is not None]
    if len(found) != 1:
        what = "no line of that name" if not found else "that line on several chips"
        names = ", ".join(where)
        raise PlcError(f"{who}: {line.signal}: {line.line!r}: {what} on {names}; `gpioinfo` lists the lines, `chip` says on which")
    return found[0]


def _chips_named(name: str | None, chips: Mapping[str, Chip]) -> dict[str, Chip]:
    if name is None:
        return dict(chips)
    named = {path: chip for path, chip in chips.items() if name in {path, chip.get_info().name, chip.get_info().label}}
    return dict(list(named.items())[:1])


def _described(path: str, chip: Chip) -> str:
    return f"{path} ({chip.get_info().label})"


def _offset(chip: Chip, name: str) -> int | None:
    try:
        return chip.line_offset_from_id(name)
    except (OSError, ValueError):
        return None


def _requested(stack: ExitStack, chip: Chip, lines: Mapping[int, Line], who: str) -> LineRequest:
    config: Any = {offset: _settings(line) for offset, line in lines.items()}
    try:
        request = chip.request_lines(config, consumer="edge-inspect", event_buffer_size=EVENTS_KEPT)
    except OSError as error:
        raise PlcError(f"{who}: {_refusal(error, chip, lines)}") from error
    stack.callback(request.release)
    return request


def _refusal(error: OSError, chip: Chip, lines: Mapping[int, Line]) -> str:
    if error.errno == errno.EBUSY:
        for offset, line in lines.items():
            info = chip.get_line_info(offset)
            if info.used:
                by = info.consumer or "the kernel"
                return f"{line.signal}: line {line.line!r} of {chip.path} is taken by {by!r}; stop that one, or give another line"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{chip.path} refuses: {error.strerror}; put the user who runs this into the group of the device"
    names = ", ".join(f"{line.signal} {line.line!r}" for line in lines.values())
    return f"{chip.path} refuses {names}: {error.strerror}; perhaps it has no bias, drive or debounce of that kind: leave those out"


def _settings(line: Line) -> LineSettings:
    from gpiod import LineSettings
    from gpiod.line import Bias, Direction, Drive, Value
    from gpiod.line import Edge as Edges

    if line.output:
        drive = {"push-pull": Drive.PUSH_PULL, "open-drain": Drive.OPEN_DRAIN, "open-source": Drive.OPEN_SOURCE}[line.drive]
        value = Value.ACTIVE if line.initially else Value.INACTIVE
        return LineSettings(direction=Direction.OUTPUT, drive=drive, active_low=line.active_low, output_value=value)
    bias = {"as-is": Bias.AS_IS, "disabled": Bias.DISABLED, "pull-up": Bias.PULL_UP, "pull-down": Bias.PULL_DOWN}[line.bias]
    return LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edges.RISING if line.rising_only else Edges.BOTH,
        bias=bias,
        active_low=line.active_low,
        debounce_period=timedelta(microseconds=line.debounce_us),
    )


def _rising() -> Any:
    from gpiod import EdgeEvent

    return EdgeEvent.Type.RISING_EDGE
