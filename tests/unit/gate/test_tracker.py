"""What the tracker says in each case that a technician may meet; the properties are in test_tracker_properties.py."""

from __future__ import annotations

import pytest

from edge_inspect.datatypes import Verdict
from edge_inspect.gate.parts import Geometry, Why
from edge_inspect.gate.tracker import LAST_ACQUISITION, Tracker

GEOMETRY = Geometry(distance=100, pulse=15, pitch=20, lead=5, reverse=3)
SENSED = Geometry(distance=100, pulse=15, pitch=20, lead=5, reverse=3, sensor=80, window=4)


def running(geometry: Geometry = GEOMETRY) -> Tracker:
    """A tracker whose belt has run clear, at 1000."""
    tracker = Tracker(geometry, 0)
    tracker.advance(1000, 0)
    assert not tracker.unknown
    assert not tracker.output
    return tracker


def turn(tracker: Tracker, first: int, last: int) -> list[int]:
    """Positions at which the output was on, from `first` to `last`."""
    return [position for position in range(first, last + 1) if tracker.advance(position, position)]


def test_after_the_start_everything_is_rejected_until_one_belt_length_has_passed():
    tracker = Tracker(GEOMETRY, 0)
    assert tracker.output
    assert tracker.starting
    assert turn(tracker, 1, 130) == list(range(1, GEOMETRY.belt))
    assert tracker.tally.cleared == 0


def test_a_bad_part_is_rejected_from_lead_before_it_for_one_pulse():
    tracker = running()
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.NG)
    assert turn(tracker, 1001, 1150) == list(range(1095, 1110))
    [fate] = tracker.fates
    assert (fate.acquisition, fate.rejected, fate.why) == (1, True, Why.VERDICT)


@pytest.mark.parametrize(("verdict", "why"), [(Verdict.FAULT, Why.VERDICT), (None, Why.NO_VERDICT)])
def test_a_fault_and_a_missing_verdict_are_rejected(verdict: Verdict | None, why: Why):
    tracker = running()
    tracker.trigger(1, 1000)
    if verdict is not None:
        tracker.verdict(1, verdict)
    assert turn(tracker, 1001, 1150) == list(range(1095, 1110))
    assert tracker.fates[0].why is why


def test_a_good_part_passes():
    tracker = running()
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.OK)
    assert turn(tracker, 1001, 1150) == []
    assert tracker.tally.passed == 1


@pytest.mark.parametrize("late_at", [1096, 1150, 1400])
def test_a_late_verdict_changes_nothing_and_is_counted(late_at: int):
    tracker = running()
    tracker.trigger(1, 1000)
    on = turn(tracker, 1001, late_at - 1)
    tracker.verdict(1, Verdict.OK)
    on += turn(tracker, late_at, 1500)
    assert on == list(range(1095, 1110))
    assert tracker.tally.late == 1
    assert not tracker.unknown


def test_pulses_of_neighbours_merge():
    tracker = running(Geometry(distance=100, pulse=25, pitch=20, lead=10))
    for number, at in ((1, 1000), (2, 1020)):
        tracker.trigger(number, at)
        tracker.verdict(number, Verdict.NG)
    assert turn(tracker, 1021, 1200) == list(range(1090, 1135))


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([("trigger", 1, 1000), ("trigger", 3, 1030)], "acquisition 3 was triggered where 2 was next: a trigger was lost, or came twice"),
        ([("trigger", 1, 1000), ("trigger", 1, 1030)], "acquisition 1 was triggered where 2 was next"),
        ([("trigger", 1, 1000), ("trigger", 2, 1004)], "triggered 4 steps after the part before it, parts are 20 steps apart at least"),
        ([("verdict", 5, Verdict.OK)], "a verdict came for acquisition 5, whose trigger was never heard"),
        ([("trigger", 1, 1000), ("verdict", 1, Verdict.NG), ("verdict", 1, Verdict.OK)], "two verdicts came for acquisition 1"),
        ([("trigger", 1, 900)], "trigger 1 was heard of 100 steps late"),
        ([("advance", 990, 0)], "the belt ran backwards by 10 steps"),
        ([("lose", "the camera lost an exposure")], "the camera lost an exposure"),
    ],
)
def test_what_cannot_be_clears_the_belt_and_is_told(events: list[tuple[object, ...]], says: str):
    tracker = running()
    for name, *arguments in events:
        getattr(tracker, str(name))(*arguments)
    assert says in tracker.unknown
    assert not tracker.starting
    assert tracker.output
    assert tracker.tally.cleared == 1
    assert tracker.left == GEOMETRY.belt
    tracker.advance(1000 + GEOMETRY.belt, 10**9)
    assert not tracker.unknown
    assert tracker.left == 0


def test_a_good_part_on_a_cleared_belt_is_rejected_and_its_record_says_why():
    tracker = running()
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.OK)
    tracker.lose("somebody reached in")
    turn(tracker, 1001, 1120)
    assert tracker.fates[0].rejected
    assert tracker.fates[0].text == "what lay on the belt was unknown: somebody reached in"
    assert tracker.tally.unknown == 1


def test_the_count_wraps_without_an_alarm():
    tracker = running()
    tracker.trigger(LAST_ACQUISITION, 1000)
    tracker.trigger(1, 1030)
    assert not tracker.unknown


def test_what_came_first_is_told_and_all_that_followed_is_kept():
    tracker = running()
    tracker.lose("the cause")
    tracker.lose("what followed")
    assert tracker.unknown == "the cause"
    assert list(tracker.losses) == ["the cause", "what followed"]
    tracker.advance(2000, 0)
    tracker.lose("another day")
    assert tracker.unknown == "another day"


def test_play_of_the_belt_is_no_reverse_movement():
    tracker = running()
    tracker.advance(997, 0)
    assert not tracker.unknown


def test_one_way_back_clears_once():
    tracker = running()
    for position in range(999, 900, -1):
        tracker.advance(position, 0)
    assert tracker.tally.cleared == 1


def test_a_part_that_the_sensor_sees_elsewhere_is_rejected_where_it_really_is():
    tracker = running(SENSED)
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.NG)
    turn(tracker, 1001, 1083)
    tracker.sensed(1083)  # three steps late
    assert turn(tracker, 1084, 1150) == list(range(1098, 1113))
    assert not tracker.unknown


def test_a_part_that_no_trigger_announced_is_rejected_and_clears():
    tracker = running(SENSED)
    tracker.sensed(1050)
    assert "a part came to the sensor that no trigger had announced" in tracker.unknown
    turn(tracker, 1051, 1100)
    assert tracker.fates[0].rejected
    assert tracker.fates[0].acquisition == 0


def test_a_part_that_does_not_come_to_the_sensor_clears():
    tracker = running(SENSED)
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.OK)
    turn(tracker, 1001, 1084)
    assert not tracker.unknown
    turn(tracker, 1085, 1085)
    assert "part 1 did not come to the sensor" in tracker.unknown


def test_what_the_sensor_sees_of_a_cleared_belt_is_expected():
    tracker = running(SENSED)
    tracker.lose("somebody reached in")
    turn(tracker, 1001, 1060)
    tracker.sensed(1060)
    turn(tracker, 1061, 1110)
    assert tracker.unknown == "somebody reached in"
    assert tracker.tally.cleared == 1


def test_an_output_that_comes_too_late_is_told_and_still_given():
    tracker = running()
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.NG)
    assert tracker.advance(1130, 0)  # the thread was away for 130 steps
    [fate] = tracker.fates
    assert (fate.rejected, fate.why) == (False, Why.SLIPPED)
    assert tracker.tally.slipped == 1
    assert turn(tracker, 1131, 1200) == list(range(1131, 1145))


def test_an_output_that_was_on_all_the_time_was_not_too_late_and_hit_the_good_neighbour_too():
    tracker = running()
    for number, at, verdict in ((1, 1000, Verdict.NG), (2, 1025, Verdict.OK), (3, 1050, Verdict.NG)):
        tracker.trigger(number, at)
        tracker.verdict(number, verdict)
    assert tracker.advance(1100, 0)
    tracker.advance(1200, 0)
    assert [fate.why for fate in tracker.fates] == [Why.VERDICT, Why.NEIGHBOUR, Why.VERDICT]
    assert all(fate.rejected for fate in tracker.fates)


def test_mechanics_that_need_time_get_their_output_so_much_earlier():
    tracker = running()
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.NG)
    on = [position for position in range(1001, 1150) if tracker.advance(position, position, 8)]
    assert on == list(range(1087, 1110))


def test_the_shortest_time_of_the_output_is_kept_on_a_fast_belt():
    tracker = running(Geometry(distance=100, pulse=15, pitch=20, lead=5, least_on_ns=1000))
    tracker.trigger(1, 1000)
    tracker.verdict(1, Verdict.NG)
    assert tracker.advance(1095, 5000)
    assert tracker.due_ns == 6000
    assert tracker.advance(1200, 5999)
    assert not tracker.advance(1200, 6000)
    assert tracker.due_ns is None


def test_it_tells_when_something_changes_next():
    tracker = Tracker(SENSED, 0)
    assert tracker.due() == SENSED.belt
    tracker.advance(1000, 0)
    assert tracker.due() is None
    tracker.trigger(1, 1000)
    assert tracker.due() == 1085  # the last of the sensor's window is over
    tracker.sensed(1080)
    assert tracker.due() == 1095
    assert tracker.due(ahead=10) == 1085
    assert tracker.waiting == 1


def test_triggers_on_a_belt_that_stands_do_not_grow_without_end():
    tracker = running()
    for number in range(1, 1000):
        tracker.trigger(number, 1000)
    assert tracker.waiting <= 2 * (100 // 20 + 2) + 1
    assert "the encoder does not turn" in tracker.unknown
