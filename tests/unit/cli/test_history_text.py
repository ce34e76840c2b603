"""The history as a person reads it: by the clock on the wall, with everything that was promised, and no line too long."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone

import pytest

from edge_inspect.challenges import CHALLENGE_FILE, Challenge, GoldenPart, bound_to, write_challenge
from edge_inspect.cli.history_text import COLUMNS, difference_lines, entry_lines
from edge_inspect.cli.main import main
from edge_inspect.cli.words import local
from edge_inspect.config import PluginBlock
from edge_inspect.datatypes import Verdict
from edge_inspect.inspector import open_inspector
from edge_inspect.thresholds.history import Change, Entry
from tests.unit.thresholds.test_record import ENGINE, MADE, RECIPE

WHEN = datetime(2026, 7, 1, 22, 30, 15, tzinfo=timezone.utc)
PROMISED = MADE.model_copy(
    update={"false_reject_bound": 0.0487, "confidence": 0.95, "rule": "k-th largest score " * 8, "promise": "With 95 % confidence " * 8}
)


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def entry(number, thresholds, **said):
    change = Change(**{"action": "calibrated", "by": "anna", "reason": "new lamp", **said})
    return Entry(number=number, previous="", at=WHEN, change=change, thresholds=thresholds)


def test_an_entry_says_who_when_and_why_and_what_was_put_in_force_by_which_rule_how_surely_and_for_what():
    told = list(entry_lines(entry(2, PROMISED, defective_frames=("a", "b"))))
    text = " ".join(" ".join(told).split())
    assert told[0] == "#2    2026-07-02 00:30 anna: calibrated, new lamp"
    assert f"in force {PROMISED.calibration_id}: image {MADE.image_threshold:.4g}, pixel {MADE.pixel_threshold:.4g}; from " in text
    assert f"from {MADE.sample.images} good parts and 2 defective" in text
    assert f"rule {PROMISED.rule.strip()} bound" in text
    assert "bound at most 4.87% of good parts rejected, with 95 % confidence" in text
    assert f"made for engine {ENGINE[:12]}, recipe {RECIPE[:12]}" in text


@pytest.mark.parametrize(
    ("changes", "bound"),
    [({"false_reject_bound": None, "confidence": None}, "bound     none"), ({"confidence": None, "promise": "Old words."}, "Old words.")],
)
def test_without_a_promise_it_says_none_and_of_an_older_version_the_sentence_that_has_it(changes, bound):
    assert any(bound in line for line in entry_lines(entry(1, PROMISED.model_copy(update=changes))))


def test_a_difference_says_who_and_why_of_both_and_shortens_hashes():
    other = PROMISED.model_copy(update={"engine_sha256": "d" * 64, "false_reject_bound": None, "made_at": WHEN, "promise": "None. " * 30})
    told = list(difference_lines(entry(1, PROMISED), entry(2, other, by="ben", reason="another engine")))
    assert told[:2] == ["#1    2026-07-02 00:30 anna: calibrated, new lamp", "#2    2026-07-02 00:30 ben: calibrated, another engine"]
    assert f"{'engine_sha256':24} {ENGINE[:12]} -> dddddddddddd" in told
    assert f"{'false_reject_bound':24} 0.0487 -> -" in told
    assert any(line.startswith("made_at") and line.endswith("-> 2026-07-02 00:30:15") for line in told)


def test_the_same_thresholds_are_said_to_be():
    assert list(difference_lines(entry(1, MADE), entry(2, MADE)))[-1] == "the same thresholds"


def test_no_line_is_longer_than_a_terminal():
    long = entry(12, PROMISED, reason="the lamp over the belt flickered and was changed " * 6)
    assert max(map(len, [*entry_lines(long), *difference_lines(long, entry(1, MADE))])) <= COLUMNS


def test_a_challenge_is_told_by_the_clock_on_the_wall_and_its_json_is_in_utc(recipe_file, capsys):
    with open_inspector(recipe_file, PluginBlock(kind="reference"), base=recipe_file.parent) as inspector:
        bound = bound_to(inspector.binding, inspector.recipe, recipe_sha256=inspector.recipe.sha256)
    ok, ng = Verdict.OK, Verdict.NG
    made = Challenge(
        passed=True,
        how="stored pictures",
        part="cell",
        by="anna",
        made_at=WHEN,
        boot="",
        uptime_s=0.0,
        bound=bound,
        software="test",
        parts=tuple(GoldenPart(name=one, expected=one, verdict=one, reason="", score=None) for one in (ok, ng)),
    )
    write_challenge(recipe_file.parent / CHALLENGE_FILE, made)
    assert main(["challenge", "--recipe", str(recipe_file), "--history"]) == 0
    assert "2026-07-02 00:30 anna: stored" in capsys.readouterr().out
    assert main(["challenge", "--recipe", str(recipe_file), "--history", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["made_at"] == "2026-07-01T22:30:15Z"


def test_json_of_the_history_stays_in_utc():
    assert json.loads(entry(1, MADE).model_dump_json())["at"] == "2026-07-01T22:30:15Z"
    assert local(WHEN) == "2026-07-02 00:30"
