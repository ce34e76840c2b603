"""Opens what a station file names: every mistake in the options is told before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.camera_opening import prepare_camera
from edge_inspect.config import OutputBlock, PluginBlock, WireBlock, load_station
from edge_inspect.config import Station as Settings
from edge_inspect.errors import ConfigError
from edge_inspect.inspector import open_inspector
from edge_inspect.outputs.background import run_in_background
from edge_inspect.outputs.database import last_sequence
from edge_inspect.plc.several import Wire, open_several
from edge_inspect.plc.unwired import Unwired
from edge_inspect.plugins import Door, prepare
from edge_inspect.protocols import Announces, Plc
from edge_inspect.service.alone import hold_alone
from edge_inspect.service.live import open_status
from edge_inspect.service.metrics import serve_metrics
from edge_inspect.service.sequence import Sequence
from edge_inspect.station.loop import Station
from edge_inspect.station.promised import Promised, promised_path
from edge_inspect.station.recovery import record_what_was_left

Opener = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Openers:
    """What a station file names, with its options checked; nothing is opened yet."""

    camera: Opener
    wires: tuple[Wire, ...]
    outputs: tuple[tuple[str, Opener], ...]


@contextmanager
def open_station(path: Path) -> Iterator[Station]:
    """Open everything a station file names; the engine is warm and accepted, and the PLC is not told Ready yet.

    Raises:
        ConfigError: the files are wrong or do not belong together.
        PluginError: a kind is not installed.
        CameraError, EngineError, PlcError, OutputError: a device, the engine or a record cannot be opened.
    """
    settings = load_station(path)
    base = path.resolve().parent
    openers = prepare_station(settings, base=base)
    status = open_status(settings.data, station=settings.name)
    with ExitStack() as stack:
        stack.enter_context(hold_alone(settings.data))
        status.state("starting")
        plc = stack.enter_context(open_several(openers.wires[0], openers.wires[1:]))
        outputs = [(name, stack.enter_context(opener())) for name, opener in openers.outputs]
        stack.enter_context(serve_metrics(settings.metrics, status, station=settings.name, data=settings.data, outputs=dict(outputs)))
        sequence = Sequence(settings.data / "sequence", recorded=_highest_recorded(settings, base))
        stack.callback(sequence.close)
        note = promised_path(settings.data)
        record_what_was_left(note, outputs=outputs, sequence=sequence, station=settings.name)
        promised = Promised(note, station=settings.name)
        stack.callback(promised.close)
        _note_what_is_told(plc.master, promised)
        yield Station(
            settings=settings,
            camera=stack.enter_context(openers.camera()),
            inspector=open_inspector(
                settings.recipe,
                settings.runtime,
                base=base,
                accepted_before=settings.acceptance == "required",
                public_key=settings.public_key,
            ),
            plc=plc,
            outputs=[*((wire.name, wire) for wire in plc.followers), *outputs],
            status=status,
            sequence=sequence,
            promised=promised,
        )


def _note_what_is_told(plc: Plc, promised: Promised) -> None:
    promised.begin(wire_tells=isinstance(plc, Announces))
    if isinstance(plc, Announces):
        plc.announce_to(promised.told)


def prepare_station(settings: Settings, *, base: Path) -> Openers:
    """Find every plugin and check its options.

    Raises:
        ConfigError: all that is wrong with the options, a line each.
        PluginError: a kind is not installed.
    """
    problems: list[str] = []

    def kept(prepared: Callable[[], Opener]) -> Opener:
        try:
            return prepared()
        except ConfigError as error:
            problems.append(str(error))
            return nullcontext

    def checked(door: Door, block: PluginBlock, **given: object) -> Opener:
        return kept(lambda: prepare(door, block, base=base, given=given))

    openers = Openers(
        camera=kept(lambda: prepare_camera(settings.camera, base=base, follows=settings.trigger == "camera")),
        wires=tuple(_wires(settings.plc, lambda block: checked("plc", block, deadline_ms=settings.deadline_ms))),
        outputs=tuple(_opener(block, checked("outputs", block, station=settings.name)) for block in settings.outputs),
    )
    if problems:
        raise ConfigError("\n".join(problems))
    return openers


def _highest_recorded(settings: Settings, base: Path) -> int:
    """The highest count in the station's databases: a count file that was deleted or restored from a backup repeats none of them."""
    databases = [block.options["path"] for block in settings.outputs if block.kind == "database"]
    return max((last_sequence(base / path) for path in databases), default=0)


def _wires(blocks: tuple[WireBlock, ...], checked: Callable[[WireBlock], Opener]) -> Iterator[Wire]:
    """The master, then the others; two of one kind are told apart by their place in the file."""
    if not blocks:
        yield Wire(name="plc", opener=lambda: nullcontext(Unwired()))
    kinds = [block.kind for block in blocks]
    for place, block in enumerate(blocks, start=1):
        name = f"plc {block.kind}" if kinds.count(block.kind) == 1 else f"plc {place} {block.kind}"
        yield Wire(name=name, opener=checked(block), may_change_job=block.may_change_job)


def _opener(block: OutputBlock, opener: Opener) -> tuple[str, Opener]:
    if block.background is None:
        return block.kind, opener
    queue = block.background.queue
    return block.kind, lambda: run_in_background(opener(), queue=queue, name=block.kind)
