"""The fake PLC against the real wire, with a station thread that answers by rule."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edge_inspect.cli import fake_plc as verb
from edge_inspect.datatypes import Inspection, Latency, PlcRequest, RequestKind, Verdict
from edge_inspect.errors import DeadlineMissed, PlcError
from edge_inspect.field.fake_plc import FakePlc, Ledger, Misbehaviour
from edge_inspect.field.rule_station import is_swapped
from edge_inspect.plc.modbus import ModbusPlc, open_modbus
from edge_inspect.plc.signals import Trouble

LONG_MS = 60_000.0
Rule = Callable[[ModbusPlc, PlcRequest], None]


def verdict_of(acquisition: int) -> Verdict:
    """Every third part is NG."""
    return Verdict.NG if acquisition % 3 == 0 else Verdict.OK


def emit(plc: ModbusPlc, acquisition: int) -> None:
    plc.emit(
        Inspection(
            sequence=acquisition + 1000,
            acquisition=acquisition,
            part_id="",
            taken_at=datetime.now(timezone.utc),
            verdict=verdict_of(acquisition),
            reason="",
            score=0.5 * acquisition,
            threshold=1.25,
            regions=(),
            recipe="",
            engine_sha256="",
            calibration_id="",
            latency=Latency(),
        )
    )


def inspect(plc: ModbusPlc, request: PlcRequest) -> None:
    if request.kind is RequestKind.TRIGGER:
        emit(plc, request.acquisition)
    elif request.kind is RequestKind.JOB_CHANGE:
        plc.answer(request, job=1, error="" if request.job in {0, 1} else "no such job")


@contextmanager
def running(plc: ModbusPlc, answer: Rule = inspect) -> Iterator[ModbusPlc]:
    """A station in a thread."""
    stop = threading.Event()

    def work() -> None:
        plc.ready(True)
        while not stop.is_set():
            if (request := plc.poll(0.02)) is not None:
                answer(plc, request)

    with ThreadPoolExecutor(1) as pool:
        station = pool.submit(work)
        try:
            yield plc
        finally:
            stop.set()
        station.result()


@pytest.fixture
def station() -> Iterator[ModbusPlc]:
    with open_modbus(deadline_ms=LONG_MS, port=0) as plc, running(plc):
        yield plc


@contextmanager
def fake(plc: ModbusPlc, *misbehave: Misbehaviour, timeout_s: float = 30.0) -> Iterator[FakePlc]:
    with FakePlc(port=plc.bound_port, misbehave=frozenset(misbehave), answer_timeout_s=timeout_s) as client:
        yield client


def test_one_part_comes_back_with_everything_the_plc_can_know(station: ModbusPlc) -> None:
    with fake(station) as plc:
        answers = [plc.inspect_one() for _ in range(3)]
    assert [answer.acquisition for answer in answers] == [1, 2, 3]
    assert [answer.verdict for answer in answers] == [Verdict.OK, Verdict.OK, Verdict.NG]
    assert [(answer.score, answer.threshold, answer.sequence) for answer in answers] == [
        (0.5, 1.25, 1001),
        (1.0, 1.25, 1002),
        (1.5, 1.25, 1003),
    ]
    assert all(answer.latency_s > 0 and answer.fault is Trouble.NONE for answer in answers)


def test_the_ledger_adds_up(station: ModbusPlc) -> None:
    seen = []
    with fake(station) as plc:
        ledger = plc.drive(9, interval_s=0.001, each=seen.append)
    assert (ledger.triggers, ledger.ok, ledger.ng, ledger.fault) == (9, 6, 3, 0)
    assert (ledger.lost, ledger.doubled, ledger.unasked, ledger.overrun, ledger.clean) == (0, 0, 0, 0, True)
    assert ledger.latency_ms is not None
    assert 0 < ledger.latency_ms["p50"] <= ledger.latency_ms["p95"] <= ledger.latency_ms["p99"]
    assert [answer.acquisition for answer in seen] == list(range(1, 10))


@pytest.mark.parametrize("wrong", list(Misbehaviour))
def test_whatever_the_plc_does_wrong_each_trigger_gets_exactly_one_result(station: ModbusPlc, wrong: Misbehaviour) -> None:
    with fake(station, wrong) as plc:
        ledger = plc.drive(3)
    assert ledger.clean
    assert ledger.triggers == ledger.ok + ledger.ng + ledger.fault == station.counters.triggers
    assert ledger.unasked == 0


def test_a_plc_that_never_acknowledges_makes_the_station_count_overruns(station: ModbusPlc) -> None:
    with fake(station, Misbehaviour.NO_ACK) as plc:
        ledger = plc.drive(10)
    assert (ledger.overrun, station.counters.overrun, station.counters.delivered) == (9, 9, 0)


def test_a_double_trigger_is_a_fault_of_its_own() -> None:
    """The station answers only when both triggers have come, so the second one surely finds it busy."""

    def slow(plc: ModbusPlc, request: PlcRequest) -> None:
        while request.kind is RequestKind.TRIGGER and plc.counters.missed < request.acquisition // 2 + 1:
            time.sleep(0.001)
        inspect(plc, request)

    with open_modbus(deadline_ms=LONG_MS, port=0) as wire, running(wire, slow), fake(wire, Misbehaviour.DOUBLE_TRIGGER) as plc:
        ledger = plc.drive(2)
        missed = [answer for answer in plc.answers if answer.verdict is Verdict.FAULT]
    assert (ledger.triggers, ledger.fault, ledger.clean) == (4, 2, True)
    assert all(answer.fault is Trouble.MISSED and answer.sequence == 0 and math.isnan(answer.score) for answer in missed)


def test_a_station_that_is_too_slow_gives_fault_and_none_is_lost() -> None:
    def late(plc: ModbusPlc, request: PlcRequest) -> None:
        while plc.counters.late < request.acquisition:
            time.sleep(0.001)
        with pytest.raises(DeadlineMissed):
            emit(plc, request.acquisition)

    with open_modbus(deadline_ms=5, port=0) as wire, running(wire, late), fake(wire) as plc:
        ledger = plc.drive(2)
    assert (ledger.fault, ledger.lost, wire.counters.late) == (2, 0, 2)
    assert {answer.fault for answer in plc.answers} == {Trouble.LATE}


def test_results_that_an_earlier_plc_left_behind_are_taken_and_not_counted(station: ModbusPlc) -> None:
    with fake(station, Misbehaviour.NO_ACK) as earlier:
        earlier.drive(2)
    with fake(station) as plc:
        ledger = plc.drive(2)
    assert (ledger.triggers, ledger.lost, ledger.unasked, ledger.overrun) == (2, 0, 0, 0)


def test_a_part_that_the_camera_saw_is_counted_as_not_asked_for(station: ModbusPlc) -> None:
    with fake(station) as plc:
        emit(station, station.begin(time.monotonic_ns() + 10**12))
        ledger = plc.drive(1)
    assert (ledger.unasked, ledger.lost, ledger.doubled) == (1, 0, 0)


def test_a_station_that_is_not_ready_loses_the_part_and_says_what_was_waited_for() -> None:
    with open_modbus(deadline_ms=LONG_MS, port=0) as wire, fake(wire, timeout_s=0.05) as plc:
        with pytest.raises(PlcError, match=r"waited 0.05 s for Trigger Ready of the station at 127.0.0.1 port"):
            plc.inspect_one()
        seen = []
        ledger = plc.drive(1, each=seen.append)
    assert (ledger.triggers, ledger.lost, ledger.clean, ledger.latency_ms) == (2, 2, False, None)
    assert seen == [None]


def test_a_result_for_a_part_already_given_up_is_not_asked_for() -> None:
    given_up = threading.Event()

    def late(plc: ModbusPlc, request: PlcRequest) -> None:
        given_up.wait(30)
        inspect(plc, request)

    with open_modbus(deadline_ms=LONG_MS, port=0) as wire, running(wire, late), fake(wire, timeout_s=0.1) as plc:
        assert plc.drive(1).lost == 1
        given_up.set()
        until = time.monotonic() + 30
        while plc.ledger().unasked == 0 and time.monotonic() < until:
            plc.status()
        assert (plc.ledger().unasked, plc.ledger().lost) == (1, 1)


def test_a_result_that_comes_a_second_time_is_counted_as_doubled(station: ModbusPlc, monkeypatch: pytest.MonkeyPatch) -> None:
    """No station of ours does that, so the second showing is written into what the PLC reads."""
    with fake(station) as plc:
        answer = plc.inspect_one()
        read = plc._read
        monkeypatch.setattr(plc, "_read", lambda: {**read(), "results_valid": 1, "inspection_id": answer.acquisition, "result_code": 1})
        plc.status()
        monkeypatch.undo()
        assert (plc.ledger().doubled, plc.ledger().clean) == (1, False)


def test_a_job_change_and_clear_error_work_from_the_plc(station: ModbusPlc) -> None:
    with fake(station) as plc:
        assert plc.change_job(1)
        assert plc.status()["current_job"] == 1
        assert not plc.change_job(2)
        assert plc.status()["error"] == 1
        plc.clear_error()
        assert plc.status()["error"] == 0
        assert plc.inspect_one().verdict is Verdict.OK


def test_without_a_station_the_error_says_where_it_looked() -> None:
    with open_modbus(deadline_ms=LONG_MS, port=0) as wire, fake(wire) as plc:
        wire.close()
        ledger = plc.drive(2)
        assert (ledger.lost, ledger.overrun) == (2, 0)
    says = rf"no answer from 127.0.0.1 port {wire.bound_port}: .*is a station with plc: modbus running there"
    with pytest.raises(PlcError, match=says), FakePlc(port=wire.bound_port):
        pytest.fail("connected")


def test_a_modbus_device_that_is_no_station_is_told_apart(station: ModbusPlc) -> None:
    with pytest.raises(PlcError, match="refused a request"), FakePlc(port=station.bound_port, unit=9):
        pytest.fail("connected")


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(words)


def test_the_verb_prints_one_object_and_succeeds(station: ModbusPlc, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.run(parsed("--port", str(station.bound_port), "--parts", "3", "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["triggers"], printed["ok"], printed["ng"]) == (3, 2, 1)
    assert set(printed) == set(Ledger.__slots__)


def test_the_verb_prints_lines_for_people(station: ModbusPlc, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.run(parsed("--port", str(station.bound_port), "--parts", "2", "--misbehave", "no-ack,slow-scan")) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["2 triggers: 2 OK, 0 NG, 0 FAULT", "0 lost, 0 doubled, 0 not asked for, 1 overrun"]
    assert printed[2].startswith("trigger to result [ms]: p50 ")


def test_the_verb_fails_when_a_part_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    with open_modbus(deadline_ms=LONG_MS, port=0) as wire:
        assert verb.run(parsed("--port", str(wire.bound_port), "--parts", "1", "--timeout-s", "0.05")) == 1
    assert capsys.readouterr().out.splitlines() == ["1 triggers: 0 OK, 0 NG, 0 FAULT", "1 lost, 0 doubled, 0 not asked for, 0 overrun"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--misbehave", "shout"],
            "got 'shout'; write one or several of no-ack, double-trigger, slow-scan, disconnect, job-change, with commas, or all",
        ),
        (["--parts", "0"], "got '0'; write a whole number from 1 on"),
        (["--interval-ms", "soon"], "got 'soon'; write a number from 0 on"),
        (["--interval-ms", "nan"], "got 'nan'; write a number from 0 on"),
    ],
)
def test_a_wrong_argument_is_told_with_what_to_write(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed(*words)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_the_verb_knows_every_misbehaviour() -> None:
    assert tuple(each.value for each in Misbehaviour) == verb.MISBEHAVIOURS
    assert verb.NAME == "fake-plc"


MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
behind_a_broker = pytest.mark.skipif(
    MOSQUITTO is None or find_spec("paho") is None, reason="mosquitto (apt) or paho-mqtt (extra mqtt) is not installed"
)


needs_asyncua = pytest.mark.skipif(find_spec("asyncua") is None, reason="asyncua is not installed (extra opcua)")
SIX_SERVERS = (needs_asyncua, pytest.mark.slow, pytest.mark.timeout(400))
"""A server of OPC UA takes seconds of one core to come up, and the trial starts six."""
WRITES_IN_TIME = (pytest.mark.slow, pytest.mark.timeout(400))
"""A PLC that does not answer a write within 0.3 s is away: on a machine that is busy with other tests it is so again and again."""
NEEDS: dict[str, Any] = {"mqtt": behind_a_broker, "opcua": SIX_SERVERS, "modbus-client": WRITES_IN_TIME}


@pytest.mark.parametrize("wire", [pytest.param(wire, marks=NEEDS.get(wire, ())) for wire in verb.WIRES])
def test_a_trial_of_each_wire_with_everything_done_wrong_loses_doubles_and_swaps_nothing(
    wire: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb.run(parsed("--spawn", "--wire", wire, "--cycles", "60", "--misbehave", "all", "--json", "--timeout-s", "30")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"cycles", "ok", "ng", "fault", "lost", "doubled", "swapped", "recovered_s"} <= set(printed)
    assert (printed["cycles"], printed["lost"], printed["doubled"], printed["swapped"]) == (60, 0, 0, 0)
    assert printed["ok"] + printed["ng"] + printed["fault"] == printed["triggers"] >= 60
    assert printed["recovered_s"] > 0


@behind_a_broker
def test_who_listens_behind_a_broker_counts_copies_apart_from_second_verdicts_and_what_is_missing_as_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_inspect.field.mosquitto import Mosquitto
    from edge_inspect.field.mqtt_plc import FakeSubscriber

    mqtt = pytest.importorskip("paho.mqtt.client")
    with Mosquitto(tmp_path) as broker:
        speaker = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        speaker.connect("127.0.0.1", broker.port)
        speaker.loop_start()

        def say(sequence: int, verdict: str = "OK") -> None:
            regions = [{"box": [1, 2, 3, 4]}] if verdict == "NG" else []
            document = {"acquisition": sequence, "sequence": sequence, "verdict": verdict, "fault": 0, "regions": regions}
            said = json.dumps(document | {"score": sequence / 2, "threshold": None})
            speaker.publish("trial/cell/result", said, qos=1).wait_for_publish(30)

        with FakeSubscriber(port=broker.port, topic="trial/cell", answer_timeout_s=30.0, session=False) as plc:
            for sequence, verdict in ((1, "OK"), (1, "OK"), (2, "NG"), (2, "FAULT"), (3, "OK"), (6, "OK")):
                say(sequence, verdict)
            ledger = plc.listen(6)
        assert (ledger.cycles, ledger.ok, ledger.ng, ledger.lost, ledger.doubled, ledger.repeated) == (6, 3, 1, 2, 1, 1)
        assert not ledger.clean
        assert plc.answers[1].box == (1, 2, 3, 4)

        words = ["--wire", "mqtt", "--topic", "trial/cell", "--port", str(broker.port), "--cycles", "3", "--timeout-s", "30"]
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(verb.run, parsed(*words))
            sequence = 0
            while not running.done():
                sequence += 1
                say(sequence)
                time.sleep(0.05)
            assert running.result() == 0
        assert "0 copies of results already there" in capsys.readouterr().out

        with FakeSubscriber(port=broker.port, topic="trial/cell", answer_timeout_s=0.1, session=False) as plc:
            assert plc.listen(5).cycles == 0
            with pytest.raises(PlcError, match="nobody can be asked for a part over MQTT"):
                plc.drive(1)
            with pytest.raises(PlcError, match="no answer to a job change"):
                plc._change_job(3)
        speaker.disconnect()
        speaker.loop_stop()
    with pytest.raises(PlcError, match="no broker answers"), FakeSubscriber(port=broker.port, topic="trial/cell"):
        pytest.fail("connected")


def test_without_mosquitto_a_trial_over_mqtt_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paho.mqtt.client")
    monkeypatch.setattr("edge_inspect.field.mosquitto.shutil.which", lambda *_, **__: None)
    with pytest.raises(PlcError, match="apt install mosquitto"):
        verb.run(parsed("--spawn", "--wire", "mqtt"))


@behind_a_broker
def test_a_broker_that_does_not_start_or_does_not_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_inspect.field import mosquitto

    monkeypatch.setattr(mosquitto, "START_WITHIN_S", 0.2)
    with mosquitto.Mosquitto(tmp_path) as broker:
        monkeypatch.setattr(broker, "_saved", lambda: (0, 0))
        with pytest.raises(PlcError, match="does not write its sessions"):
            broker.kill()
    (tmp_path / "mosquitto.conf").write_text("no such word\n")
    with pytest.raises(PlcError, match="mosquitto does not listen"):
        broker.start()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--spawn", "--misbehave", "double-trigger"], "takes no trigger"),
        (["--misbehave", "no-ack"], "add --spawn"),
        ([], "needs --topic"),
    ],
)
def test_what_makes_no_sense_over_mqtt_is_told(words: list[str], says: str) -> None:
    pytest.importorskip("paho.mqtt.client")
    with pytest.raises(PlcError, match=says):
        verb.run(parsed("--wire", "mqtt", *words))


def test_over_mqtt_without_its_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "find_spec", lambda _: None)
    with pytest.raises(PlcError, match=r"edge-inspect\[mqtt\]"):
        verb.run(parsed("--wire", "mqtt"))


def test_a_result_of_another_part_is_counted_as_swapped(station: ModbusPlc) -> None:
    with fake(station) as plc:
        answer = plc.inspect_one()
    assert not is_swapped(answer)
    assert is_swapped(replace(answer, score=7.0))
    assert is_swapped(replace(answer, code=2))
    assert not is_swapped(replace(answer, code=3))
    assert not replace(plc.ledger(), swapped=1).clean


def test_a_wire_that_needs_a_station_of_its_own_says_so() -> None:
    with pytest.raises(PlcError, match="add --spawn"):
        verb.run(parsed("--wire", "modbus-client"))
