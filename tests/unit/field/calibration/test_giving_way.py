"""Beside a running station every thread of the calibration gives way, whatever it takes its parts from."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import pytest

from edge_inspect.cli.main import main
from edge_inspect.service.alone import hold_alone, is_held
from edge_inspect.service.sampling import SAMPLE_FOLDER
from edge_inspect.thresholds import read_thresholds

from .conftest import picture, store

NICENESS = 10
OWN = os.getpriority(os.PRIO_PROCESS, 0)

CHILD = """
import json, sys
from pathlib import Path
from edge_inspect.cli.main import main
from edge_inspect.cli.progress import ProgressBars

seen = set()

def look(*_):
    for task in Path("/proc/self/task").glob("*/stat"):
        seen.add(int(task.read_text().rpartition(")")[2].split()[16]))

ProgressBars.show = look
code = main(["--log", "error", "calibrate", "--false-rejects", "0.05", "--json", *sys.argv[1:]])
print()
print(json.dumps({"code": code, "seen": sorted(seen)}))
"""


def in_a_child(station, *words):
    """Exit code, and each niceness that a thread had while the engine was at work."""
    told = subprocess.run([sys.executable, "-c", CHILD, *words], cwd=station, capture_output=True, text=True, check=True)
    found = json.loads(told.stdout.splitlines()[-1])
    return found["code"], found["seen"]


@pytest.fixture
def calibrated(station, capsys):
    """The station with stored parts, stored frames, and copies of parts as a running station gives them."""
    assert main(["calibrate", "--good", "good", "--false-rejects", "0.05", "--apply", "--reason", "a test"]) == 0
    found = read_thresholds(station / "cell" / "thresholds.json")
    store(station, [2 + number % 11 for number in range(60)], calibration_id=found.calibration_id, engine_sha256=found.engine_sha256)
    (station / "data" / SAMPLE_FOLDER).mkdir()
    for number in range(1, 61):
        cv2.imwrite(str(station / "data" / SAMPLE_FOLDER / f"{number:010}.png"), picture(2 + number % 11, number))
    capsys.readouterr()
    return station


@pytest.mark.skipif(OWN >= NICENESS, reason="these tests have a low priority themselves")
@pytest.mark.parametrize("words", [["--good", "good"], ["--since", "1h"], ["--live", "60"], ["--transfer"]], ids=lambda words: words[0])
def test_every_thread_gives_way_to_a_running_station(calibrated, words):
    with hold_alone(calibrated / "data"):
        assert in_a_child(calibrated, *words) == (0, [NICENESS])


def test_where_no_station_runs_nobody_need_give_way(calibrated):
    assert in_a_child(calibrated, "--good", "good") == (0, [OWN])


def test_a_folder_is_held_while_its_station_runs_and_looking_makes_nothing(tmp_path):
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with hold_alone(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
