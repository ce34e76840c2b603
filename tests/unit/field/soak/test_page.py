"""docs/results/soak.md is made from soak.json: what was wanted beside what was measured, and reached or not."""

from __future__ import annotations

import json
import math

import pytest

from edge_inspect.errors import OutputError
from edge_inspect.field.soak.page import BEGIN, END, filled, judgements
from edge_inspect.field.soak.record import load_recorded, look_around, record_run, record_stops, told_stops
from edge_inspect.field.soak.samples import points, usual_rate

DEVICE = {"cpu": "a processor", "usable_cores": 2, "memory": "8000000 kB", "python": "3.11.2"}
WHERE = {
    "command": "tools/soak --seconds 9",
    "device": DEVICE,
    "revision": "abc",
    "on": "2026-11-27",
    "load_before": 0.1,
    "load_after": 1.0,
}
RUN = {
    **WHERE,
    "asked": {"rate": 30.0, "frames": 1000, "kills": 2},
    **{"triggers": 1000, "ok": 890, "ng": 100, "fault": 10, "plc": 990, "overrun": 4, "unread": 6, "database": 1000, "log": 1000},
    **{"unnoted": 0, "lost": 0, "doubled": 0, "differ": 0, "unasked": 0, "closed": True, "passed": True},
    "seconds": 33.3,
    "rate_per_s": 28.0,
    "usual_rate_per_s": 29.9,
    "faults": {"killed": 2, "sighup": 1},
    "left_out": [],
    "rss_mb": 130.25,
    "rss_slope_mb_per_h": 0.5,
    "rss_slope_interval_mb_per_h": [0.1, 0.9],
    "rss_slope_over_s": 900.0,
    "descriptors": 40.0,
    "descriptors_grown": 0.0,
    "threads_grown": None,
    "latency_ms": {"first_p50": 4.0, "last_p50": 5.0, "first_p99": 9.0, "last_p99": 8.0},
    "alarms": {},
    "overload": {"images": "140 pictures dropped"},
    "stop_s": 0.4,
    "points": [
        {"s": 3.0, "parts": 90.0, "rss_mb": 128.0, "descriptors": 39.0},
        {"s": 6.0, "parts": 1000.0, "rss_mb": None, "descriptors": 40.0},
    ],
}


def test_a_run_that_reached_everything_says_so_of_every_promise():
    assert [(one.what, one.reached) for one in judgements(RUN) if not one.reached] == []
    assert len(list(judgements(RUN))) == 8


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"usual_rate_per_s": 29.6}, "parts a second"),
        ({"asked": {"rate": 0, "frames": 1001, "kills": 0}}, "parts"),
        ({"faults": {"killed": 1}}, "kills"),
        ({"database": 999}, "triggers = PLC's side"),
        ({"differ": 1}, "lost, doubled"),
        ({"alarms": {"disk": "is full"}}, "alarms left"),
        ({"rss_slope_mb_per_h": 1.1}, "memory slope"),
        ({"stop_s": 2.01}, "SIGTERM"),
    ],
)
def test_what_was_not_reached_is_told_in_bold(change, what):
    run = {**RUN, **change}
    missed = [one.what for one in judgements(run) if not one.reached]
    assert len(missed) == 1
    assert missed[0].startswith(what)
    assert filled("", {"runs": {"a": run}}).count("**not reached**") == 1


def test_memory_of_a_short_run_and_a_rate_that_nobody_asked_for_are_not_judged():
    run = {**RUN, "rss_slope_over_s": 599.0, "asked": {"rate": 0.0, "frames": None, "kills": 0}}
    assert len(list(judgements(run))) == 4


def test_a_run_and_the_stops_stand_between_the_marks_and_what_is_around_them_stays(tmp_path):
    page = tmp_path / "soak.md"
    page.write_text(f"# A soak\n\n{BEGIN}\nold\n{END}\n\nHistory.\n")
    record_run(tmp_path, "short", {**RUN, "plc": 1})
    record_run(tmp_path, "short", RUN)
    record_run(tmp_path, "broken", {**WHERE, "asked": RUN["asked"], "failed": "the station does not come back"})
    record_stops(tmp_path, {**WHERE, "outcome": "2 passed", "stop_s": {"idle": [0.4, 0.6, 2.5]}})
    text = page.read_text()
    assert text.startswith(f"# A soak\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nHistory.\n")
    assert "old" not in text
    assert text.count("## short: `tools/soak --seconds 9`") == 1
    assert "a processor, 2 cores, 8 GB of memory, Python 3.11.2; revision abc, 2026-11-27; load average 0.1 and 1.0" in text
    assert "| parts a second, median of all seconds | 30 | 29.9 | reached |" in text
    assert "| 140 pictures dropped |" in text
    assert "| parts | 90 | 1,000 |" in text
    assert "| memory [MB] | 128 | not measured |" in text
    assert "**It did not come to its end**: the station does not come back" in text
    assert "| idle | 3 | 0.60 | 2.50 | <= 2 | **not reached** |" in text
    assert load_recorded(tmp_path)["runs"]["short"] == json.loads(json.dumps(RUN))


def test_a_json_that_is_none_is_told_and_nothing_is_overwritten(tmp_path):
    (tmp_path / "soak.json").write_text("{")
    with pytest.raises(OutputError, match=r"soak\.json: cannot be read"):
        record_run(tmp_path, "a", RUN)
    assert not (tmp_path / "soak.md").exists()


def test_what_is_known_before_a_run_names_the_machine_and_the_tree(tmp_path):
    found = look_around("tools/soak", tmp_path).with_load_after()
    assert (found["command"], found["revision"]) == ("tools/soak", "unknown")
    assert {"cpu", "usable_cores", "memory", "python"} <= set(found["device"])
    assert found["load_after"] >= 0


def test_times_of_sigterm_are_brought_together_by_state():
    lines = '{"state": "idle", "stop_s": 0.5}\n{"state": "busy", "stop_s": 1}\n{"state": "idle", "stop_s": 0.25}\n'
    assert told_stops(lines) == {"idle": [0.5, 0.25], "busy": [1]}


def test_ten_points_tell_the_whole_run_and_a_process_that_was_gone_leaves_a_gap():
    samples = [(float(s), 100.0 + s, 20.0, 5.0, 1.0, 30.0 * s) for s in range(100)]
    samples[50:60] = [(float(s), math.nan, math.nan, math.nan, 1.0, 1500.0) for s in range(50, 60)]
    told = points(samples)
    assert len(told) == 10
    assert told[0] == {"s": 9.0, "parts": 270.0, "rss_mb": 104.5, "descriptors": 20.0}
    assert told[5] == {"s": 59.0, "parts": 1500.0, "rss_mb": None, "descriptors": None}
    assert points([]) == []
    assert len(points(samples[:3])) == 3


def test_the_usual_rate_is_that_of_the_median_second_which_a_plc_that_is_away_does_not_move():
    parts = [30.0 * min(s, 40) + 30.0 * max(0, s - 60) for s in range(100)]
    assert usual_rate([(float(s), 1.0, 1.0, 1.0, 1.0, parts[s]) for s in range(100)]) == 30
    assert math.isnan(usual_rate([]))
