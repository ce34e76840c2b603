"""A station that asks for golden parts: not Ready until they have had their verdicts, over real Modbus; and no part slips."""

from __future__ import annotations

import json
import threading

import pytest

from edge_inspect.challenges import CHALLENGE_FILE, read_challenges
from edge_inspect.challenges.showing import ASKED_FILE
from edge_inspect.cli.main import main
from edge_inspect.errors import PlcError
from edge_inspect.field.fake_plc import FakePlc
from edge_inspect.plc.signals import Trouble
from edge_inspect.thresholds import read_thresholds
from edge_inspect.thresholds.history import Change, put_in_force

from .conftest import picture, running
from .test_new_thresholds import moving, status_of, thresholds_file  # noqa: F401 - a fixture
from .test_station_process import _wait_for, log_of, port_of


def ask_for_golden_parts(folder, rule="{every_h: 8}"):
    station = folder / "station.yaml"
    station.write_text(station.read_text() + f"challenge: {rule}\n")
    golden = folder / "calibration" / "cell" / "challenge"
    picture(golden / "good" / "1.png")
    picture(golden / "bad" / "1.png", spot=(16, 8, 8, 250))


@pytest.fixture
def asking(cell, monkeypatch):
    monkeypatch.chdir(cell)
    ask_for_golden_parts(cell)
    return cell


def is_state(folder, state):
    return lambda: (folder / "data" / "status.json").exists() and status_of(folder)["state"] == state


def wait_for_state(folder, state):
    _wait_for(is_state(folder, state))
    assert status_of(folder)["state"] == state


def bits(plc):
    status = plc.status()
    return {name: status[name] for name in ("trigger_ready", "online", "challenge_due", "challenge_running", "error_code")}


DUE = {"trigger_ready": 0, "online": 0, "challenge_due": 1, "challenge_running": 0, "error_code": Trouble.CHALLENGE}
OPEN = {"trigger_ready": 1, "online": 1, "challenge_due": 0, "challenge_running": 0, "error_code": 0}


def test_a_station_is_not_ready_until_it_has_passed_and_becomes_ready_without_a_restart(asking, capsys):
    with running(asking, wait=False) as process:
        wait_for_state(asking, "challenge due")
        assert "no challenge has been made here; show golden parts" in status_of(asking)["alarms"]["challenge"]["text"]
        assert main(["status"]) == 1
        with FakePlc(port=port_of(asking), answer_timeout_s=0.3) as plc:
            assert bits(plc) == DUE
            with pytest.raises(PlcError, match="Trigger Ready"):
                plc.inspect_one()
        assert main(["challenge"]) == 0
        wait_for_state(asking, "ready")
        assert not status_of(asking)["alarms"]
        with FakePlc(port=port_of(asking)) as plc:
            assert bits(plc) == OPEN
            assert [plc.inspect_one().verdict.value for _ in range(3)] == ["OK", "OK", "NG"]
        assert process.poll() is None
    assert status_of(asking)["challenge"]["until"] is not None
    capsys.readouterr()


def test_a_pass_from_before_a_restart_counts_and_new_thresholds_take_it_back(asking, capsys):
    assert main(["challenge"]) == 0
    with running(asking), FakePlc(port=port_of(asking)) as plc:
        assert plc.inspect_one().verdict.value == "OK"
        path = thresholds_file(asking)
        new = read_thresholds(path).model_copy(update={"image_threshold": 25.0})
        put_in_force(path, new, Change(action="calibrated", by="a test", reason="a test"))
        wait_for_state(asking, "challenge due")
        assert f"the thresholds are others ({new.calibration_id})" in status_of(asking)["alarms"]["challenge"]["text"]
        assert bits(plc) == DUE
        assert main(["challenge"]) == 0
        wait_for_state(asking, "ready")
        assert bits(plc) == OPEN
        assert plc.inspect_one().verdict.value == "OK"
    capsys.readouterr()


def test_a_challenge_that_fails_closes_a_running_station(asking, capsys):
    assert main(["challenge"]) == 0
    with running(asking), FakePlc(port=port_of(asking)) as plc:
        assert plc.inspect_one().verdict.value == "OK"
        picture(asking / "calibration" / "cell" / "challenge" / "bad" / "2.png")
        assert main(["challenge"]) == 1
        wait_for_state(asking, "challenge due")
        assert "the last challenge failed: bad/2.png was OK, expected NG" in status_of(asking)["alarms"]["challenge"]["text"]
        assert bits(plc) == DUE
    assert main(["challenge", "--history"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["passed", "FAILED"]
    assert main(["challenge", "--history", "--json"]) == 0
    assert [one["passed"] for one in json.loads(capsys.readouterr().out)] == [True, False]


def test_golden_parts_before_the_camera_pass_and_the_plc_is_told_fault_for_each(asking, capsys):
    found = []
    with running(asking, wait=False):
        wait_for_state(asking, "challenge due")
        verb = threading.Thread(target=lambda: found.append(main(["challenge", "--live", "--show", "good", "good", "bad"])))
        verb.start()
        wait_for_state(asking, "challenge")
        with FakePlc(port=port_of(asking)) as plc:
            assert bits(plc) == {
                "trigger_ready": 1,
                "online": 1,
                "challenge_due": 1,
                "challenge_running": 1,
                "error_code": Trouble.CHALLENGE,
            }
            answers = [plc.inspect_one() for _ in range(3)]
            assert [answer.verdict.value for answer in answers] == ["FAULT", "FAULT", "FAULT"]
            verb.join(30)
            wait_for_state(asking, "ready")
            assert bits(plc) == OPEN
            assert plc.inspect_one().verdict.value == "OK"
    assert found == [0]
    assert "passed: 3 of 3 golden parts" in capsys.readouterr().out
    [kept] = read_challenges(asking / "data" / CHALLENGE_FILE)
    assert (kept.how, [part.verdict.value for part in kept.parts]) == ("live parts", ["OK", "OK", "NG"])
    assert not (asking / "data" / ASKED_FILE).exists()
    said = [line["reason"] for line in log_of(asking)]
    assert said[2].startswith("not judged: golden parts are being shown; it would have been NG: score 122")


def test_a_golden_part_with_the_wrong_verdict_keeps_the_station_closed(asking, capsys):
    found = []
    with running(asking, wait=False):
        wait_for_state(asking, "challenge due")
        verb = threading.Thread(target=lambda: found.append(main(["challenge", "--live", "--show", "bad", "good"])))
        verb.start()
        wait_for_state(asking, "challenge")
        with FakePlc(port=port_of(asking)) as plc:
            assert [plc.inspect_one().verdict.value for _ in range(2)] == ["FAULT", "FAULT"]
            verb.join(30)
            wait_for_state(asking, "challenge due")
            assert bits(plc) == DUE
    assert found == [1]
    assert "FAILED: 1 of 2" in capsys.readouterr().out


def test_golden_parts_can_be_shown_to_a_station_that_does_not_ask_for_them(cell, monkeypatch, capsys):
    monkeypatch.chdir(cell)
    with running(cell):
        assert main(["challenge", "--live", "--patience", "1"]) == 1
        assert "no part came for 1 s; nothing was written" in capsys.readouterr().err
        wait_for_state(cell, "ready")
        with FakePlc(port=port_of(cell)) as plc:
            assert plc.inspect_one().verdict.value == "OK"
    assert not (cell / "data" / CHALLENGE_FILE).exists()


def test_without_a_running_station_nothing_can_be_shown(asking, capsys):
    assert main(["challenge", "--live"]) == 1
    assert "has the station ever run" in capsys.readouterr().err
    assert main(["challenge", "--live", "--show", "good", "good"]) == 78
    assert "must be of both kinds" in capsys.readouterr().err
    assert main(["challenge", "--live", "--folder", "x"]) == 78
    assert main(["challenge", "--live", "--recipe", "calibration/cell/recipe.yaml"]) == 78
    assert main(["challenge", "--history"]) == 0
    assert "none yet" in capsys.readouterr().out
    with running(asking, wait=False) as process:
        wait_for_state(asking, "challenge due")
        process.terminate()
        process.wait(30)
    assert main(["challenge", "--live"]) == 1
    assert "the station is stopped" in capsys.readouterr().err


def decided(cell):
    """How many parts got a verdict of the engine."""
    counts = status_of(cell)["counts"]
    return counts["OK"] + counts["NG"]


def test_a_camera_that_triggers_by_itself_gets_fault_for_every_part_until_the_challenge(moving, monkeypatch, capsys):  # noqa: F811
    monkeypatch.chdir(moving)
    ask_for_golden_parts(moving)
    with running(moving, wait=False):
        wait_for_state(moving, "challenge due")
        _wait_for(lambda: status_of(moving)["counts"]["FAULT"] > 20)
        assert not decided(moving)
        assert main(["challenge"]) == 0
        wait_for_state(moving, "ready")
        _wait_for(lambda: decided(moving))
    lines = log_of(moving)
    first = next(number for number, line in enumerate(lines) if line["verdict"] != "FAULT")
    assert {line["verdict"] for line in lines[:first]} == {"FAULT"}
    assert all(
        "golden parts are due: no challenge has been made here" in line["reason"] for line in lines[:first] if "late" not in line["reason"]
    )
    capsys.readouterr()
