"""What the station itself says for the audit record."""

from __future__ import annotations

from threading import Event

import pytest

from edge_inspect.datatypes import Action, Deed, Outcome
from edge_inspect.login import who
from edge_inspect.station.deeds import guarded, noted_start, reload_asked


def said(action: Action) -> tuple[Deed, Outcome, str]:
    return action.deed, action.outcome, action.reason


def test_the_guards_alarm_is_one_action_when_it_is_raised_and_one_when_it_is_over():
    alarms = ["", "the light is off by 9 %", "the light is off by 12 %", "", ""]
    stood, actions = "", []
    for alarm in alarms:
        actions += guarded(alarm, stood=bool(stood))
        stood = alarm
    assert [said(action) for action in actions] == [
        (Deed.GUARD, Outcome.REFUSED, "the light is off by 9 %"),
        (Deed.GUARD, Outcome.DONE, "the line is again as it was calibrated"),
    ]


def test_a_reload_is_an_action_only_where_it_was_asked_for():
    asked = Event()
    assert list(reload_asked(asked)) == []
    asked.set()
    assert [said(action) for action in reload_asked(asked)] == [(Deed.RELOAD, Outcome.WANTED, "SIGHUP")]


def test_a_station_says_its_start_with_its_file_and_its_end_with_the_error(tmp_path):
    file = tmp_path / "station.yaml"
    file.write_text("name: cell-3\n")
    actions: list[Action] = []
    with noted_start(actions.append, file):
        pass
    with pytest.raises(RuntimeError, match="a defect"), noted_start(actions.append, file):
        raise RuntimeError("a defect")
    assert [(action.outcome, action.subject, action.by.user) for action in actions] == [
        (Outcome.WANTED, "start", who()),
        (Outcome.DONE, "stop", who()),
        (Outcome.WANTED, "start", who()),
        (Outcome.FAILED, "run", who()),
    ]
    assert "station.yaml sha256 " in actions[0].reason
    assert actions[3].reason == "a defect"
