"""`tools/soak` says by its exit code whether the ledger closes and no alarm is left, and records a run where that is asked for."""

from __future__ import annotations

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from edge_inspect.errors import PlcError
from edge_inspect.field.soak.accounts import Accounts
from edge_inspect.field.soak.process import StationProcess
from edge_inspect.field.soak.setting import Setting
from edge_inspect.field.soak.slopes import Slope
from edge_inspect.field.soak.soak import Soaked

TOOL = Path(__file__).parents[4] / "tools" / "soak"
KEYS = ("triggers", "ok", "ng", "fault", "plc", "database", "log", "lost", "doubled", "rss_slope_mb_per_h")
NOTHING = {"overrun": 0, "unread": 0, "unnoted": 0, "lost": 0, "doubled": 0, "differ": 0, "unasked": 0}


def soaked(*, alarms=(), lost=0):
    return Soaked(
        accounts=Accounts(triggers=9, ok=8, ng=1, fault=0, plc=9, database=9, log=9, **{**NOTHING, "lost": lost}),
        seconds=3.0,
        faults={},
        left_out=(),
        rss_mb=100.0,
        rss=Slope(per_hour=0.0, lowest=0.0, highest=0.0),
        rss_over_s=0.0,
        descriptors=9.0,
        descriptors_grown=0.0,
        threads_grown=0.0,
        latency_ms={},
        samples=((1.0, 100.0, 9.0, 4.0, 1.0, 9.0),),
        alarms=dict(alarms),
        overload={},
        stop_s=0.1,
    )


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """The tool, which calls what its `found` gives instead of a station, and records beside the test."""
    loader = SourceFileLoader("tools_soak", str(TOOL))
    module = module_from_spec(spec_from_loader("tools_soak", loader))
    loader.exec_module(module)
    module.found = soaked
    monkeypatch.setattr(module, "soak", lambda *_, **__: module.found())
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def call(tool, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", [str(TOOL), *words])
    return tool.main()


@pytest.mark.parametrize(
    ("found", "code"),
    [({}, 0), ({"lost": 1}, 1), ({"alarms": {"camera": "is away"}}, 1)],
)
def test_the_code_is_1_where_the_ledger_does_not_close_or_an_alarm_is_left(tool, monkeypatch, capsys, found, code):
    tool.found = lambda: soaked(**found)
    assert call(tool, monkeypatch, "--json") == code
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is (code == 0)
    assert [key for key in KEYS if key not in told] == []


def test_a_run_is_recorded_under_its_name_with_how_it_was_called(tool, monkeypatch, tmp_path):
    assert call(tool, monkeypatch, "--seconds", "3", "--record", "three seconds", "--faults", "camera killed,sighup") == 0
    run = json.loads((tmp_path / "soak.json").read_text())["runs"]["three seconds"]
    assert run["command"] == "tools/soak --seconds 3 --faults 'camera killed,sighup'"
    assert run["asked"] == {"rate": 30.0, "frames": None, "kills": 0}
    assert [key for key in KEYS if key not in run] == []
    assert "## three seconds: `tools/soak --seconds 3" in (tmp_path / "soak.md").read_text()


def test_nothing_is_recorded_where_that_is_not_asked_for(tool, monkeypatch, tmp_path):
    call(tool, monkeypatch, "--seconds", "3")
    assert list(tmp_path.iterdir()) == []


def test_a_station_that_did_not_come_back_is_recorded_too(tool, monkeypatch, tmp_path, capsys):
    def gone():
        raise PlcError("it does not come back")

    tool.found = gone
    assert call(tool, monkeypatch, "--record=gone") == 1
    assert capsys.readouterr().err == "soak: it does not come back\n"
    run = json.loads((tmp_path / "soak.json").read_text())["runs"]["gone"]
    assert (run["failed"], run["command"]) == ("it does not come back", "tools/soak")


def test_a_results_file_that_is_none_is_told_before_the_soak(tool, monkeypatch, tmp_path, capsys):
    tool.found = lambda: pytest.fail("it soaked")
    (tmp_path / "soak.json").write_text("{")
    assert call(tool, monkeypatch, "--record", "a") == 1
    assert "soak.json: cannot be read" in capsys.readouterr().err


def test_stops_are_told_by_the_tests_and_recorded(tool, monkeypatch, tmp_path):
    tests = tmp_path / "test_stops.py"
    tests.write_text(
        "import os\nfrom pathlib import Path\n\n"
        "def test_idle():\n"
        '    with Path(os.environ["EDGE_INSPECT_TELL_STOPS"]).open("a") as file:\n'
        '        file.write(\'{"state": "idle", "stop_s": 0.5}\\n\')\n'
    )
    monkeypatch.setattr(tool, "STOPS", str(tests))
    assert call(tool, monkeypatch, "--stops", "2") == 0
    stops = json.loads((tmp_path / "soak.json").read_text())["stops"]
    assert stops["stop_s"] == {"idle": [0.5, 0.5]}
    assert stops["outcome"].count("1 passed") == 2
    assert "| idle | 2 | 0.50 | 0.50 | <= 2 | reached |" in (tmp_path / "soak.md").read_text()


def test_a_station_whose_alarms_cannot_be_read_has_one(tmp_path):
    setting = Setting(folder=tmp_path, data=tmp_path, port=0, thresholds=(), higher=None, is_disk=False)
    assert "status.json" in StationProcess(setting).alarms()["status"]
