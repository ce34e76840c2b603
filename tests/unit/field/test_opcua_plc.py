"""The fake PLC of the wire `opcua` against the real one, signed and encrypted, with a station thread that answers by rule."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("asyncua", reason="asyncua is not installed (extra opcua)")

from edge_inspect.cli import fake_plc as verb
from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import Misbehaviour
from edge_inspect.field.opcua_link import OpcUaLink, Way
from edge_inspect.field.opcua_plc import FakeOpcUaPlc
from edge_inspect.plc.opcua_pki import Pki
from tests.opcua_lab import PASSWORD, SCORE, UP_WITHIN_S, USER, WITHIN_S, Laboratory, laboratory, verdict_of

pytestmark = pytest.mark.timeout(UP_WITHIN_S + 2 * WITHIN_S)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("station")) as lab:
        yield lab


@pytest.fixture(scope="module")
def way(lab: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Way:
    """Both sides trust each other."""
    pki = Pki(tmp_path_factory.mktemp("client"))
    way = Way(port=lab.plc.bound_port, pki=pki, username=USER, password=PASSWORD, timeout_s=WITHIN_S)
    Pki(lab.pki).trust(way.own())
    pki.trust(Pki(lab.pki).own(names=()))
    return way


def test_parts_come_back_with_what_the_station_says_of_them(lab: Laboratory, way: Way) -> None:
    seen = []
    with FakeOpcUaPlc(way) as plc:
        ledger = plc.drive(4, interval_s=0.001, each=seen.append)
    assert (ledger.cycles, ledger.triggers, ledger.ok, ledger.ng, ledger.fault) == (4, 4, 2, 2, 0)
    assert ledger.clean
    assert (ledger.unasked, ledger.refused) == (0, 0)
    assert seen == plc.answers
    assert all(answer.verdict is verdict_of(answer.acquisition) and answer.score == SCORE for answer in plc.answers)
    assert {(answer.region_count, answer.box) for answer in plc.answers} == {(1, (11, 22, 33, 44))}
    assert ledger.latency_ms is not None
    assert PASSWORD not in repr(way)


@pytest.mark.parametrize("wrong", list(Misbehaviour))
def test_whatever_the_client_does_wrong_each_trigger_gets_exactly_one_result(lab: Laboratory, way: Way, wrong: Misbehaviour) -> None:
    before = lab.plc.counters.triggers
    with FakeOpcUaPlc(way, misbehave=frozenset({wrong}), jobs=4) as plc:
        ledger = plc.drive(3)
    assert ledger.clean
    assert ledger.triggers == ledger.ok + ledger.ng + ledger.fault == lab.plc.counters.triggers - before
    assert ledger.unasked == 0
    wants_refusals = wrong in {Misbehaviour.DOUBLE_TRIGGER, Misbehaviour.JOB_CHANGE}
    assert (ledger.refused or 0) >= (3 if wants_refusals else 0)


def test_everything_wrong_at_once_is_still_one_result_each(lab: Laboratory, way: Way) -> None:
    with FakeOpcUaPlc(way, misbehave=frozenset(Misbehaviour)) as plc:
        ledger = plc.drive(3)
    assert (ledger.clean, ledger.cycles, ledger.unasked) == (True, 3, 0)


def test_a_trigger_that_never_left_is_given_once_more_and_one_that_did_is_not(
    lab: Laboratory, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before the trigger is out, the station has counted nothing; cut after it, the station has."""
    counted = []
    is_counted = FakeOpcUaPlc._is_counted

    async def spy(plc: FakeOpcUaPlc, part: str) -> bool:
        counted.append(await is_counted(plc, part))
        return counted[-1]

    monkeypatch.setattr(FakeOpcUaPlc, "_is_counted", spy)
    with FakeOpcUaPlc(way, misbehave=frozenset({Misbehaviour.DISCONNECT})) as plc:
        assert plc.drive(2).clean
    assert counted == [False, True]


def test_a_job_change_is_answered_by_the_event_whether_it_runs_or_not(way: Way) -> None:
    with FakeOpcUaPlc(way) as plc:
        assert plc.change_job(2)
        assert plc.change_job(2)
        assert not plc.change_job(3)
        assert plc.change_job(0)
        with pytest.raises(PlcError, match="job 1000 was answered with -4"):
            plc.change_job(1000)


def test_a_station_that_is_not_ready_loses_the_part_and_the_next_one_comes(lab: Laboratory, way: Way) -> None:
    with FakeOpcUaPlc(replace(way, timeout_s=2.0)) as plc:
        lab.plc.ready(False, "a test")
        try:
            seen: list[object] = []
            assert plc.drive(1, each=seen.append).lost == 1
            assert seen == [None]
        finally:
            lab.plc.ready(True)
        ledger = plc.drive(1)
    assert (ledger.triggers, ledger.ok + ledger.ng, ledger.lost, ledger.clean) == (2, 1, 1, False)


def test_a_trigger_that_the_station_takes_although_it_must_not_is_one_nobody_asked_for(
    lab: Laboratory, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No station of ours does that, so here the mode stays on."""
    call = FakeOpcUaPlc._call

    async def without_stop(plc: FakeOpcUaPlc, path: str, *words: object) -> None:
        if not path.endswith(".Stop"):
            await call(plc, path, *words)

    monkeypatch.setattr(FakeOpcUaPlc, "_call", without_stop)
    with FakeOpcUaPlc(way, misbehave=frozenset({Misbehaviour.DOUBLE_TRIGGER})) as plc:
        plc.drive(1)
        until_told = plc.drive(1)
    assert until_told.unasked >= 1


def test_neither_side_lets_a_stranger_in_and_both_say_what_to_do(lab: Laboratory, way: Way, tmp_path: Path) -> None:
    stranger = replace(way, pki=Pki(tmp_path / "client"))
    with pytest.raises(PlcError, match=r"station's certificate is not trusted; compare it, and move .*rejected.*to trusted"):
        FakeOpcUaPlc(stranger).__enter__()
    (shown,) = (stranger.pki.folder / "rejected").iterdir()
    shown.rename(stranger.pki.folder / "trusted" / shown.name)
    with pytest.raises(PlcError, match=r"refuses: .*docs/opcua.md"):
        FakeOpcUaPlc(stranger).__enter__()
    assert any("edge-inspect-fake-plc" in one.name for one in (lab.pki / "rejected").iterdir())
    with pytest.raises(PlcError, match="refuses"):
        FakeOpcUaPlc(replace(way, password="wrong")).__enter__()
    assert way.own().uri != Pki(lab.pki).own(names=()).uri


def test_without_a_station_the_error_says_where_it_looked(way: Way) -> None:
    with pytest.raises(PlcError, match=r"no OPC UA server answers at opc.tcp://127.0.0.1:1/"):
        FakeOpcUaPlc(replace(way, port=1, timeout_s=0.2)).__enter__()
    with pytest.raises(PlcError, match="not connected to opc"):
        asyncio.run(OpcUaLink(way, lambda _: None).status("TriggerReady"))


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(["--wire", "opcua", *words])


def test_the_verb_drives_a_running_station(lab: Laboratory, way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    words = [
        "--port",
        str(way.port),
        "--pki",
        str(way.pki.folder),
        "--username",
        USER,
        "--password-file",
        str(password),
        "--timeout-s",
        "30",
    ]
    assert verb.run(parsed(*words, "--parts", "2", "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["triggers"], printed["ok"] + printed["ng"], printed["swapped"], printed["refused"]) == (2, 2, 0, 0)
    assert verb.run(parsed(*words, "--parts", "1", "--misbehave", "double-trigger")) == 0
    assert "triggers that the station refused" in capsys.readouterr().out


def test_what_the_verb_needs_over_opcua_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlcError, match="needs --pki"):
        verb.run(parsed())
    monkeypatch.setattr(verb, "find_spec", lambda _: None)
    with pytest.raises(PlcError, match=r"edge-inspect\[opcua\]"):
        verb.run(parsed("--spawn"))
