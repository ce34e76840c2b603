"""Opens what a station file names: every mistake in the options is told before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.audit import open_audit
from edge_inspect.camera_opening import prepare_camera
from edge_inspect.config import OutputBlock, PluginBlock, WireBlock, load_station
from edge_inspect.config import Station as Settings
from edge_inspect.datatypes import Verdict
from edge_inspect.errors import ConfigError
from edge_inspect.gate.driver import Gate, open_gate
from edge_inspect.inspector import open_inspector
from edge_inspect.outputs.background import run_in_background
from edge_inspect.outputs.catching_up import open_catching_up
from edge_inspect.plc.several import SeveralWires, Wire, open_several
from edge_inspect.plc.shared import SharedHandshake
from edge_inspect.plc.unwired import Unwired
from edge_inspect.plugins import Door, prepare
from edge_inspect.protocols import Announces, AnnouncesTriggers, CatchesUp, Output, Plc, Told
from edge_inspect.service.alone import hold_alone
from edge_inspect.service.live import open_status
from edge_inspect.service.metrics import serve_metrics
from edge_inspect.service.sequence import Sequence
from edge_inspect.station.counting import highest_count, shown_count
from edge_inspect.station.deeds import noted_start
from edge_inspect.station.gate_watch import GateWatch
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
        shown = shown_count(settings.data)
        audit = stack.enter_context(open_audit(settings.data, settings.audit))
        status.beside("audit", audit.summary)
        stack.enter_context(noted_start(audit.note, path))
        status.state("starting")
        plc = stack.enter_context(open_several(openers.wires[0], openers.wires[1:]))
        plc.audit_to(audit.note)
        gate = stack.enter_context(_opened_gate(settings, plc))
        gate_watch = GateWatch(gate, data=settings.data, status=status)
        outputs = [(name, stack.enter_context(opener())) for name, opener in openers.outputs]
        stack.enter_context(
            serve_metrics(
                settings.metrics,
                status,
                station=settings.name,
                data=settings.data,
                outputs=dict(outputs),
                plc=plc.master,
                gate=None if gate is None else gate_watch.counts,
            )
        )
        note = promised_path(settings.data)
        sequence = Sequence(settings.data / "sequence", recorded=highest_count(settings, base=base, note=note, shown=shown))
        stack.callback(sequence.close)
        record_what_was_left(note, outputs=outputs, sequence=sequence, station=settings.name)
        promised = Promised(note, station=settings.name)
        stack.callback(promised.close)
        owed = any(isinstance(output, CatchesUp) and output.waiting for _, output in outputs)
        _tell_what_is_told(plc.master, promised, gate, owed=owed)
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
            audit=audit,
            gate=gate_watch,
        )


def _tell_what_is_told(plc: Plc, promised: Promised, gate: Gate | None, *, owed: bool) -> None:
    """Each result as the wire makes it: to the note, and to the gate."""
    promised.begin(wire_tells=isinstance(plc, Announces), owed=owed)
    if isinstance(plc, Announces):
        plc.announce_to(promised.told if gate is None else _to_both(promised.told, gate.told))
    if gate is not None and isinstance(plc, AnnouncesTriggers):
        plc.triggers_to(gate.triggered)


def _to_both(first: Told, second: Callable[[int, Verdict, str], None]) -> Told:
    def told(acquisition: int, verdict: Verdict | None, why: str) -> None:
        first(acquisition, verdict, why)
        if verdict is not None:  # None: it is only counted, which the gate hears as a trigger
            second(acquisition, verdict, why)

    return told


@contextmanager
def _opened_gate(settings: Settings, plc: SeveralWires) -> Iterator[Gate | None]:
    """The gate hears of triggers and verdicts from the first wire itself, in the moment it does."""
    if settings.gate is None:
        yield None
        return
    if not (isinstance(plc.master, Announces) and isinstance(plc.master, AnnouncesTriggers)):
        raise ConfigError(
            f"gate: the wire {settings.plc[0].kind!r} does not say when a part is triggered (protocols.AnnouncesTriggers); "
            "put another one first in `plc`, or take `gate` out"
        )
    with open_gate(settings.gate, show=plc.show_gate) as gate:
        yield gate


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
        wires=tuple(_wires(settings, lambda block: checked("plc", block, deadline_ms=settings.deadline_ms))),
        outputs=tuple(_opener(block, checked("outputs", block, station=settings.name)) for block in settings.outputs),
    )
    if problems:
        raise ConfigError("\n".join(problems))
    return openers


def _wires(settings: Settings, checked: Callable[[WireBlock], Opener]) -> Iterator[Wire]:
    """The master, then the others; two of one kind are told apart by their place in the file.

    A gate without a PLC has a handshake that nobody reads: it counts the parts, and says FAULT at the deadline.
    """
    blocks = settings.plc
    if not blocks:
        deadline_ms, alone = settings.deadline_ms, settings.gate is None
        yield Wire(name="plc", opener=lambda: nullcontext(Unwired() if alone else SharedHandshake(deadline_ms=deadline_ms, wire="gate")))
    kinds = [block.kind for block in blocks]
    for place, block in enumerate(blocks, start=1):
        name = f"plc {block.kind}" if kinds.count(block.kind) == 1 else f"plc {place} {block.kind}"
        yield Wire(name=name, opener=checked(block), may_change_job=block.may_change_job)


def _opener(block: OutputBlock, opener: Opener) -> tuple[str, Opener]:
    def catching_up() -> AbstractContextManager[Output]:
        return open_catching_up(opener(), name=block.kind)

    if block.background is None:
        return block.kind, catching_up
    behind = block.background
    return block.kind, lambda: run_in_background(catching_up(), queue=behind.queue, queue_mb=behind.queue_mb, name=block.kind)
