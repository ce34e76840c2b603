"""`tools/soak`: a minute of the whole station with everything breaking once, and short runs of its other ways."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from edge_inspect.errors import PlcError
from edge_inspect.field.soak.faults import FAULTS, Due, Fault, Saboteur
from edge_inspect.field.soak.process import StationProcess
from edge_inspect.field.soak.setting import open_setting
from edge_inspect.field.soak.soak import Plan, soak
from tests.conftest import write_part

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "soak"
ENGINE = ROOT / "systemd" / "example" / "engine"


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_minute_with_every_fault_closes_the_ledger(tmp_path):
    found = soak(Plan(engine=ENGINE, seconds=62, every_s=4.4), tmp_path)
    told = found.flat()
    assert found.accounts.closed, told
    assert told["alarms"] == {}
    assert set(found.faults) | set(found.left_out) == set(FAULTS)
    assert found.accounts.triggers > 300
    assert min(found.accounts.ok, found.accounts.ng, found.accounts.fault) > 0
    wanted = ("triggers", "ok", "ng", "fault", "plc", "database", "log", "lost", "doubled", "rss_slope_mb_per_h")
    assert [key for key in wanted if key not in told] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_station_that_is_killed_loses_nothing_that_was_reported(tmp_path):
    plan = Plan(engine=ENGINE, seconds=20, every_s=2, kills=3, faults=("thresholds", "job change", "disk full", "plc hasty"))
    found = soak(plan, tmp_path)
    assert found.accounts.closed, found.flat()
    assert found.faults["killed"] >= 1  # on a loaded machine a start takes longer than the time between two kills


@pytest.mark.slow
def test_a_taught_part_whose_camera_sees_its_parts_by_itself_is_soaked_frame_by_frame(tmp_path):
    recipe = write_part(tmp_path / "cell", extra="frame: {width: 64, height: 64}\n")
    (tmp_path / "soak").mkdir()
    words = [
        "--recipe",
        str(recipe),
        "--frames",
        "200",
        "--rate",
        "max",
        "--trigger",
        "camera",
        "--json",
        "--samples",
        str(tmp_path / "csv"),
    ]
    done = subprocess.run(
        [sys.executable, str(TOOL), *words, "--keep", str(tmp_path / "soak")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["triggers"] == told["database"] == told["log"] == told["plc"] + told["overrun"] == 200
    assert "camera killed" in told["left_out"]
    assert all(len(line.split(",")) == 6 for line in (tmp_path / "csv").read_text().splitlines())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "ledger"),
        (["--faults", "rain"], 2, "rain: not among camera killed"),
        (["--recipe", "none.yaml"], 1, "none.yaml: cannot be read"),
    ],
)
def test_what_it_is_asked_is_checked_before_it_starts(words, code, said):
    done = subprocess.run([sys.executable, str(TOOL), *words], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_station_that_does_not_start_ends_the_soak_with_what_it_said(tmp_path):
    opened = open_setting(tmp_path, engine=ENGINE, recipe=None, parts=10, rate=0, trigger="plc", own_disk=False)
    with opened as setting:
        (tmp_path / "station.yaml").write_text("name: [\n")
        with pytest.raises(PlcError, match=r"did not get Ready; it said: .*station.yaml"), StationProcess(setting):
            pass


def test_what_fails_while_something_is_broken_ends_the_soak(tmp_path):
    class Rig:
        def __init__(self):
            self.up = Event()

    def break_it(_rig):
        raise PlcError("it does not come back")

    with Saboteur(Rig(), [Due(at_s=0.0, name="killed", fault=Fault(breaks=break_it))]) as saboteur:
        saboteur._thread.join(30)
    assert str(saboteur.error) == "it does not come back"
