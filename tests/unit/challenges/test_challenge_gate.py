"""How long a challenge counts, and what the station may say of a part until one does."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from datetime import time as time_of_day
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.challenges import CHALLENGE_FILE, Challenge, GoldenPart, bound_to, read_challenges, record, write_challenge
from edge_inspect.challenges.schedule import EARLY, counts_until
from edge_inspect.challenges.showing import ANSWERS_FILE, ASKED_FILE, answers
from edge_inspect.config import ChallengeRule, PluginBlock
from edge_inspect.datatypes import Inspection, Latency, Verdict
from edge_inspect.errors import ConfigError, OutputError
from edge_inspect.inspector import open_inspector
from edge_inspect.service import asked
from edge_inspect.service.asked import Request
from edge_inspect.station import challenge_gate
from edge_inspect.station.challenge_gate import ChallengeGate, Gate

NOON = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
EVERY_8_H = ChallengeRule(every_h=8)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    """Shifts begin by the machine's own time zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def inspector(recipe_file, tmp_path):
    with open_inspector(recipe_file, PluginBlock(kind="reference"), base=tmp_path) as opened:
        yield opened


class Machine:
    """A machine whose clock can be set and that can be started anew."""

    def __init__(self):
        self.now, self.boot, self.uptime_s = NOON, "first", 1000.0

    def wait(self, hours):
        self.now += timedelta(hours=hours)
        self.uptime_s += 3600 * hours

    def start_anew(self):
        self.boot, self.uptime_s = self.boot + "'", 0.0


@pytest.fixture
def machine(monkeypatch):
    found = Machine()
    monkeypatch.setattr(challenge_gate, "boot_id", lambda: found.boot)
    monkeypatch.setattr(challenge_gate, "uptime_s", lambda: found.uptime_s)
    return found


def part(kind="good", verdict="OK"):
    expected = {"good": "OK", "bad": "NG"}[kind]
    return GoldenPart(name=f"{kind}/1.png", expected=expected, verdict=verdict, reason="as it is", score=1.0)


def challenge(inspector, machine, *parts, how="stored pictures"):
    return Challenge(
        passed=all(one.right for one in parts),
        how=how,
        part="cell",
        by="a test",
        made_at=machine.now,
        boot=machine.boot,
        uptime_s=machine.uptime_s,
        bound=bound_to(inspector.binding, inspector.recipe, recipe_sha256=inspector.recipe.sha256),
        software="test",
        parts=parts,
    )


def passed(inspector, machine, **how):
    return challenge(inspector, machine, part(), part("bad", "NG"), **how)


def due(machine, inspector, data, rule=EVERY_8_H):
    return ChallengeGate(rule, data, now=lambda: machine.now).look(inspector, at_once=True).due


def test_without_a_rule_nothing_is_asked_for(machine, inspector, tmp_path):
    gate = ChallengeGate(None, tmp_path)
    assert gate.look(inspector, at_once=True) == Gate()
    assert gate.gate.open


def test_a_station_that_was_never_challenged_says_so_and_what_to_do(machine, inspector, tmp_path):
    said = due(machine, inspector, tmp_path)
    assert said.startswith("no challenge has been made here; show golden parts: edge-inspect challenge --station FILE")


def test_a_passed_challenge_counts_for_its_hours_and_not_longer(machine, inspector, tmp_path):
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    assert due(machine, inspector, tmp_path) == ""
    machine.wait(7.99)
    assert due(machine, inspector, tmp_path) == ""
    machine.wait(0.02)
    assert "the last challenge counted until 2026-11-27 20:00" in due(machine, inspector, tmp_path)


def test_a_failed_one_takes_back_the_one_that_was_passed_before(machine, inspector, tmp_path):
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    write_challenge(tmp_path / CHALLENGE_FILE, challenge(inspector, machine, part(), part("bad", "OK")))
    said = due(machine, inspector, tmp_path)
    assert "the last challenge failed: bad/1.png was OK, expected NG; find out why" in said
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    assert due(machine, inspector, tmp_path) == ""
    assert [one.passed for one in read_challenges(tmp_path / CHALLENGE_FILE)] == [True, False, True]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"engine": {"calibration_id": "000000000000"}}, "the thresholds are others"),
        ({"engine": {"file_sha256": "f" * 64}}, "engine, device, recipe or the way of showing is another"),
        ({"engine": {"precision": "int8"}}, "engine, device, recipe"),
        ({"engine": {"device": {"processor": "another"}}}, "engine, device, recipe"),
        ({"recipe_sha256": "r" * 64}, "engine, device, recipe"),
        ({"decision_sha256": "d" * 64}, "engine, device, recipe"),
    ],
)
def test_a_challenge_of_something_else_does_not_count(machine, inspector, tmp_path, what, says):
    made = passed(inspector, machine)
    bound = made.bound
    if "engine" in what:
        bound = bound.model_copy(update={"engine": bound.engine.model_copy(update=what["engine"])})
    else:
        bound = bound.model_copy(update=what)
    write_challenge(tmp_path / CHALLENGE_FILE, made.model_copy(update={"bound": bound}))
    assert says in due(machine, inspector, tmp_path)


def test_where_live_parts_are_asked_for_stored_pictures_do_not_count(machine, inspector, tmp_path):
    rule = ChallengeRule(every_h=8, live=True)
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    assert "challenge --station FILE --live" in due(machine, inspector, tmp_path, rule)
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine, how="live parts"))
    assert due(machine, inspector, tmp_path, rule) == ""


def test_a_clock_that_is_set_while_the_machine_runs_changes_nothing(machine, inspector, tmp_path):
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    machine.wait(4)
    for hours in (-10_000, -3, 3, 10_000):
        machine.now = NOON + timedelta(hours=hours)
        assert due(machine, inspector, tmp_path) == ""
    machine.uptime_s += 3600 * 4.01
    assert "counted until" in due(machine, inspector, tmp_path)


def test_a_challenge_survives_a_restart_of_the_machine_and_ages_meanwhile(machine, inspector, tmp_path):
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    machine.wait(4)
    machine.start_anew()
    assert due(machine, inspector, tmp_path) == ""
    machine.wait(4.01)
    assert "counted until" in due(machine, inspector, tmp_path)


def test_after_a_restart_with_a_dead_clock_golden_parts_are_due_until_it_is_set(machine, inspector, tmp_path):
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    machine.start_anew()
    machine.now = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert "made in the future: set the clock" in due(machine, inspector, tmp_path)
    machine.now = NOON + timedelta(hours=1)
    assert due(machine, inspector, tmp_path) == ""


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 2}'])
def test_a_damaged_record_is_no_pass(machine, inspector, tmp_path, content):
    (tmp_path / CHALLENGE_FILE).write_bytes(content)
    assert "not challenges of this version" in due(machine, inspector, tmp_path)


def test_a_record_that_cannot_be_read_is_no_pass_and_is_not_overwritten(machine, inspector, tmp_path):
    (tmp_path / CHALLENGE_FILE).mkdir()
    assert "cannot be read: Is a directory" in due(machine, inspector, tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))


SHIFTS = (time_of_day(6), time_of_day(14), time_of_day(22))


@pytest.mark.parametrize(
    ("made", "until"),
    [("05:29", "06:00"), ("05:31", "14:00"), ("06:10", "14:00"), ("13:29", "14:00"), ("21:40", "06:00+1"), ("23:59", "06:00+1")],
)
def test_a_challenge_counts_until_the_next_shift_and_half_an_hour_before_one_for_that(made, until):
    clock, _, days = until.partition("+")
    expected = datetime.combine(NOON.date() + timedelta(days=int(days or 0)), time_of_day.fromisoformat(clock), timezone.utc)
    made_at = datetime.combine(NOON.date(), time_of_day.fromisoformat(made), timezone.utc)
    assert counts_until(ChallengeRule(at=SHIFTS), made_at) == expected


@given(
    st.floats(0, 366 * 24),
    st.lists(st.times(), min_size=1, max_size=4, unique=True),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]),
)
def test_the_next_shift_is_after_the_challenge_at_a_time_of_the_list_and_none_lies_between(hours, at, zone):
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        made_at = NOON + timedelta(hours=hours)
        until = counts_until(ChallengeRule(at=tuple(at)), made_at)
        assert made_at + EARLY < until <= made_at + EARLY + timedelta(hours=26)
        assert all(counts_until(ChallengeRule(at=(one,)), made_at) >= until for one in at)
    finally:
        os.environ["TZ"] = before
        time.tzset()


def inspection(verdict, sequence=1):
    return Inspection(
        sequence=sequence,
        acquisition=1,
        part_id="",
        taken_at=NOON,
        verdict=verdict,
        reason="score 3.0 not above 20.0",
        score=3.0,
        threshold=20.0,
        regions=(),
        recipe="cell",
        engine_sha256="",
        calibration_id="",
        latency=Latency(),
    )


@given(st.sampled_from(Verdict), st.booleans(), st.booleans())
def test_no_part_gets_a_verdict_while_golden_parts_are_due_or_shown(verdict, is_due, is_shown):
    gate = ChallengeGate(None, Path())
    gate.gate = Gate(due="nobody has shown any" if is_due else "", showing="one" if is_shown else "")
    told = gate.told(inspection(verdict))
    assert told.verdict is (verdict if not is_due and not is_shown else Verdict.FAULT)
    if told.verdict is not verdict:
        assert f"it would have been {verdict.value}: score 3.0" in told.reason
        assert (told.score, told.threshold) == (None, None)


def test_what_is_said_of_golden_parts_is_written_for_the_one_who_asked_and_for_nobody_else(machine, inspector, tmp_path):
    gate = ChallengeGate(None, tmp_path)
    gate.answer(inspection(Verdict.OK), inspector)
    assert not (tmp_path / ANSWERS_FILE).exists()
    for name, count in (("first", 2), ("second", 1)):
        request = Request(tmp_path / ASKED_FILE, {"asked": name})
        gate.gate = gate.look(inspector, at_once=True)
        assert gate.gate.showing == name
        for number in range(count):
            gate.answer(inspection(Verdict.NG, number), inspector)
        assert [said.sequence for said in answers(tmp_path, name)] == list(range(count))
    assert list(answers(tmp_path, "first")) == []
    request.withdraw()
    assert gate.look(inspector, at_once=True).showing == ""
    (tmp_path / ANSWERS_FILE).write_text('{"half a li')
    assert list(answers(tmp_path, "second")) == []


def test_an_answer_that_cannot_be_written_is_told(inspector, tmp_path):
    gate = ChallengeGate(None, tmp_path)
    gate.gate = Gate(showing="one")
    (tmp_path / ANSWERS_FILE).mkdir()
    with pytest.raises(OutputError, match=r"challenge-answers\.jsonl: cannot be written"):
        gate.answer(inspection(Verdict.OK), inspector)


def test_whoever_cannot_write_into_the_stations_data_cannot_ask(tmp_path):
    with pytest.raises(OutputError, match="run this as the station's user"):
        Request(tmp_path / "nowhere" / ASKED_FILE, {"asked": "one"})


def test_a_verb_that_died_is_noticed_and_one_that_died_before_the_station_began_at_once(machine, inspector, tmp_path, monkeypatch):
    Request(tmp_path / ASKED_FILE, {"asked": "one"})
    gate = ChallengeGate(None, tmp_path)
    assert gate.look(inspector, at_once=True).showing == "one"
    later = time.monotonic() + 11
    monkeypatch.setattr(asked.time, "monotonic", lambda: later)
    assert gate.look(inspector, at_once=True).showing == ""
    os.utime(tmp_path / ASKED_FILE)
    assert gate.look(inspector, at_once=True).showing == "one"
    os.utime(tmp_path / ASKED_FILE, (1, 1))
    left_behind = ChallengeGate(None, tmp_path)
    assert left_behind.look(inspector, at_once=True).showing == ""
    os.utime(tmp_path / ASKED_FILE)
    assert left_behind.look(inspector, at_once=True).showing == "one"


def test_a_request_that_is_no_request_shows_nothing(machine, inspector, tmp_path):
    (tmp_path / ASKED_FILE).write_text("[]")
    assert ChallengeGate(None, tmp_path).look(inspector, at_once=True).showing == ""


def test_the_gate_looks_twice_a_second_at_most(machine, inspector, tmp_path):
    gate = ChallengeGate(EVERY_8_H, tmp_path, now=lambda: machine.now)
    gate.gate = gate.look(inspector)
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    assert gate.look(inspector) is gate.gate
    assert gate.look(inspector, at_once=True) == replace(gate.gate, due="", until=NOON + timedelta(hours=8))


def test_where_the_kernel_names_no_boot_the_clock_counts(machine, inspector, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "_BOOT_ID", tmp_path / "none")
    assert record.boot_id() == ""
    machine.boot = ""
    write_challenge(tmp_path / CHALLENGE_FILE, passed(inspector, machine))
    machine.now += timedelta(hours=9)
    assert "counted until" in due(machine, inspector, tmp_path)


def test_a_boot_has_a_name_and_an_age():
    assert record.boot_id() == record.boot_id() != ""
    assert record.uptime_s() > 0


def test_a_request_is_kept_up_once_a_second_and_made_again_where_it_was_removed(tmp_path, monkeypatch):
    path = tmp_path / ASKED_FILE
    request = Request(path, {"asked": "one"})
    os.utime(path, (1, 1))
    request.keep_up()
    assert path.stat().st_mtime == 1
    later = time.monotonic() + 2
    monkeypatch.setattr(asked.time, "monotonic", lambda: later)
    request.keep_up()
    assert path.stat().st_mtime > 1
    path.unlink()
    later += 2
    request.keep_up()
    assert path.exists()
