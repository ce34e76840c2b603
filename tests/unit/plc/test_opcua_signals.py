"""The plain variables of the OPC UA wire: names, values, and an order of writes that shows no result before it is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.plc.opcua_signals import browse_name, control_rows, job_or_level, status_values, writes
from edge_inspect.plc.registers import STATUS
from edge_inspect.plc.shared import SharedHandshake
from edge_inspect.plc.signals import Control

BLOCK = [row.name for row in STATUS]


def shown_by(handshake: SharedHandshake) -> dict[str, bool | int | float]:
    return status_values(handshake.status())


def handshake() -> SharedHandshake:
    made = SharedHandshake(deadline_ms=60_000.0, wire="test")
    made.ready(True)
    return made


def test_the_names_are_those_of_the_map_as_opc_ua_writes_them() -> None:
    assert [browse_name(row) for row in STATUS][:3] == ["TriggerReady", "TriggerAck", "MissedAcquisition"]
    assert list(control_rows()) == [
        "TriggerEnable",
        "Trigger",
        "BufferResultsEnable",
        "ResultsAck",
        "ExecuteCommand",
        "SetOffline",
        "ClearError",
        "Job",
    ]


def test_levels_are_levels_and_numbers_are_numbers() -> None:
    values = shown_by(handshake())
    assert values["online"] is True
    assert values["offline_reason"] == 0
    assert values["acquisition_id"] == 0


def test_nothing_is_written_twice_and_everything_the_first_time() -> None:
    values = shown_by(handshake())
    assert [name for name, _ in writes({}, values)].count("score") == 1
    assert {name for name, _ in writes({}, values)} == set(values)
    assert list(writes(values, values)) == []


def test_a_result_is_valid_last_and_the_one_before_is_hidden_first(inspection_of) -> None:  # type: ignore[no-untyped-def]
    made = handshake()
    made.write(Control(trigger_enable=True))
    before = shown_by(made)
    order: list[str] = []
    for _ in range(2):
        made.write(Control(trigger_enable=True, trigger=True))
        made.write(Control(trigger_enable=True))
        made.poll(0)
        made.emit(inspection_of(made.status().acquisition_id))
        after = shown_by(made)
        order = [name for name, _ in writes(before, after)]
        assert order[-1] == "results_valid"
        assert order.index("result_id") > max(order.index("inspection_id"), order.index("sequence"))
        before = after
    assert order[0] == "results_valid"  # the second took the place of the first, which nobody had acknowledged


@given(
    st.dictionaries(st.sampled_from(BLOCK), st.integers(0, 1), min_size=len(BLOCK), max_size=len(BLOCK)),
    st.dictionaries(st.sampled_from(BLOCK), st.integers(0, 1), min_size=len(BLOCK), max_size=len(BLOCK)),
)
def test_whatever_was_shown_the_writes_lead_to_what_is_wanted(shown: dict[str, int], wanted: dict[str, int]) -> None:
    now = dict(shown)
    was_whole = True
    for name, value in writes(shown, wanted):
        now[name] = value
        if now["results_valid"] and now["inspection_id"] != shown["inspection_id"]:
            was_whole = was_whole and {k: v for k, v in now.items() if k != "results_valid"} == {
                k: v for k, v in wanted.items() if k != "results_valid"
            }
    assert now == wanted
    assert was_whole


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("Trigger", True, True),
        ("Trigger", 1, None),
        ("Trigger", [True], None),
        ("Job", 999, 999),
        ("Job", 1000, None),
        ("Job", -1, None),
        ("Job", True, None),
        ("Job", None, None),
    ],
)
def test_what_a_control_variable_takes(name: str, value: object, taken: object) -> None:
    assert job_or_level(control_rows()[name], value) is taken or job_or_level(control_rows()[name], value) == taken
