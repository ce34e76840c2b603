"""What the guard says of a line, on the PLC's wire, in status and log: bits that rise with the alarm and fall with new thresholds."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from edge_inspect.cli.main import main
from edge_inspect.field.fake_plc import FakePlc
from tests.unit.field.calibration.conftest import picture, write_pictures

from .conftest import running
from .test_new_thresholds import status_of
from .test_station_process import _wait_for, port_of


@pytest.fixture
def calibrated(cell, monkeypatch):
    """The station with thresholds and frames of sixty good parts, scores 2 to 12, and a folder camera whose folder is empty."""
    monkeypatch.chdir(cell)
    write_pictures(cell / "good", [2 + number % 11 for number in range(60)])
    assert main(["calibrate", "--good", "good", "--false-rejects", "0.05", "--apply", "--reason", "a test"]) == 0
    for path in (cell / "parts").iterdir():
        path.unlink()
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("pace: trigger}", "pace: trigger, loop: true}") + "guard: true\n")
    return cell


@pytest.fixture
def guarded(calibrated):
    """The camera shows the same parts with less light."""
    for number in range(60):
        dim = (picture(2 + number % 11, number) * 0.93).astype(np.uint8)
        cv2.imwrite(str(calibrated / "parts" / f"{number:03}.png"), dim)
    return calibrated


@pytest.fixture
def drifted(calibrated):
    """The camera shows parts that are all as the worst of the calibration; they still pass, and the light is the same."""
    write_pictures(calibrated / "parts", [12] * 60)
    return calibrated


def test_scores_that_have_moved_are_the_bit_recalibrate_and_status_and_log_name_it(drifted):
    with running(drifted) as process:
        with FakePlc(port=port_of(drifted)) as plc:
            assert plc.status()["recalibrate"] == 0
            parts = 0
            while not plc.status()["recalibrate"] and parts < 200:
                assert plc.inspect_one().verdict.value == "OK"
                parts += 1
            found = plc.status()
            assert (found["recalibrate"], found["check_light"], found["error"]) == (1, 0, 0)
            said = "scores of accepted parts are higher than at the calibration"
            _wait_for(lambda: said in status_of(drifted)["alarms"].get("guard", {}).get("text", ""))
            assert said in status_of(drifted)["alarms"]["guard"]["text"]
        process.terminate()
        _, log = process.communicate(timeout=30)
    assert f"alarm: guard: {said}" in log


def test_less_light_is_a_bit_of_its_own_and_new_thresholds_clear_it(guarded, capsys):
    with running(guarded), FakePlc(port=port_of(guarded)) as plc:
        before = plc.status()
        assert (before["check_light"], before["recalibrate"]) == (0, 0)
        until = time.monotonic() + 60
        while not plc.status()["check_light"] and time.monotonic() < until:
            plc.inspect_one()
            time.sleep(0.05)
        assert plc.status()["check_light"] == 1
        said = "check the light: brightness of the picture is"  # the status file is up to half a second behind the wire
        _wait_for(lambda: said in status_of(guarded)["alarms"].get("guard", {}).get("text", ""))
        assert said in status_of(guarded)["alarms"]["guard"]["text"]
        assert plc.status()["error"] == 0
        assert main(["calibrate", "--good", "parts", "--false-rejects", "0.05", "--apply", "--reason", "less light"]) == 0
        _wait_for(lambda: not plc.status()["check_light"])
        assert plc.status()["check_light"] == 0
    capsys.readouterr()
