"""What a wire tells the gate, and what it shows of it: each acquisition with its time, before its result; two bits for the PLC."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace

from edge_inspect.datatypes import GateShown, Verdict
from edge_inspect.plc.handshake import Handshake
from edge_inspect.plc.registers import decode_status, encode_status
from edge_inspect.plc.several import Wire, open_several
from edge_inspect.plc.shared import SharedHandshake
from edge_inspect.plc.signals import Control
from edge_inspect.plc.unwired import Unwired
from edge_inspect.protocols import Announces, AnnouncesTriggers, ShowsGate
from edge_inspect.testing.samples import sample_inspections

ALLOWED_NS = 1000


def heard_of() -> tuple[Handshake, list[tuple[object, ...]]]:
    handshake, heard = Handshake(allowed_ns=ALLOWED_NS), []
    handshake.announce_trigger = lambda acquisition, at_ns: heard.append((acquisition, at_ns))
    handshake.announce = lambda acquisition, verdict, _: None if verdict is None else heard.append((acquisition, verdict))
    return handshake, heard


def test_a_trigger_of_the_plc_is_told_with_its_time():
    handshake, heard = heard_of()
    handshake.ready(True)
    handshake.write(Control(trigger_enable=True, trigger=True), 50)
    assert heard == [(1, 50)]
    assert handshake.due_ns == 50 + ALLOWED_NS


def test_a_missed_trigger_is_a_part_too_and_is_told_before_its_fault():
    handshake, heard = heard_of()
    handshake.write(Control(trigger_enable=True, trigger=True), 50)
    assert heard == [(1, 50), (1, Verdict.FAULT)]
    assert handshake.due_ns is None


def test_a_part_that_the_camera_saw_is_told_with_the_time_of_its_exposure():
    handshake, heard = heard_of()
    handshake.begin(5000, 4500)
    handshake.emit(replace(sample_inspections()[0], acquisition=1, verdict=Verdict.OK), 4600)
    assert heard == [(1, 5000 - ALLOWED_NS), (1, Verdict.OK)]


def test_the_plc_sees_two_bits_of_the_gate():
    plc = SharedHandshake(deadline_ms=1000, wire="test")
    for shown in (GateShown(), GateShown(reject=True), GateShown(reject=True, clearing=True)):
        plc.show_gate(shown)
        values = decode_status(encode_status(plc.status()))
        assert (values["reject_gate"], values["gate_clearing"]) == (shown.reject, shown.clearing)
    assert plc.due_ns is None


def test_every_wire_of_several_shows_the_gate_and_one_that_cannot_is_left_alone():
    following, other = SharedHandshake(deadline_ms=1000, wire="second"), Unwired()
    wires = [Wire(name="second", opener=lambda: nullcontext(following)), Wire(name="third", opener=lambda: nullcontext(other))]
    with open_several(Wire(name="first", opener=lambda: nullcontext(Unwired())), wires) as several:
        several.show_gate(GateShown(reject=True))
        until = time.monotonic() + 30
        while not following.status().reject_gate:
            assert time.monotonic() < until
            time.sleep(0.005)
    master = SharedHandshake(deadline_ms=1000, wire="first")
    with open_several(Wire(name="first", opener=lambda: nullcontext(master)), []) as several:
        several.show_gate(GateShown(reject=True))
        assert master.status().reject_gate


def test_every_wire_of_ours_has_the_doors_that_a_gate_needs():
    plc = SharedHandshake(deadline_ms=1000, wire="test")
    assert isinstance(plc, Announces)
    assert isinstance(plc, AnnouncesTriggers)
    assert isinstance(plc, ShowsGate)
    assert not isinstance(Unwired(), AnnouncesTriggers)
