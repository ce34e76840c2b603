"""What the PLC saw counted is recorded after kill -9, once; `tools/measure-service kills N` does the same hundreds of times."""

from __future__ import annotations

from collections import Counter

from .kills import Killing, Life, Row


def test_what_the_plc_saw_counted_is_recorded_once_whenever_the_process_is_killed(cell):
    station = cell / "station.yaml"
    station.write_text(station.read_text().replace("pace: trigger", "pace: trigger, loop: true"))
    toll = Killing(cell, port=int((cell / "port").read_text()), seed=20261126).go(6)
    assert (toll.missing, toll.lost, toll.doubled, toll.log_differs, toll.unnamed, toll.intact) == (0, 0, 0, 0, 0, True)
    assert toll.while_starting == 2
    assert 4 < toll.reported <= toll.counted <= toll.recorded


ROWS = (Row(10, 1, "OK"), Row(11, 2, "NG"), Row(12, 3, "FAULT"))


def test_a_part_that_was_counted_and_has_no_record_is_missing_although_the_plc_read_no_result_of_it():
    life = Life(counted=(1, 2, 3), reported=((1, "OK"),), rows=ROWS[:2])
    assert (life.missing(Counter(ROWS[:2])), life.lost, life.doubled) == (1, 0, 0)
    assert Life((1, 2, 3), ((1, "OK"),), ROWS).missing(Counter(ROWS)) == 0


def test_a_part_that_one_record_lacks_or_has_twice_is_missing_too():
    life = Life(counted=(1, 2, 3), reported=(), rows=ROWS)
    assert life.missing(Counter(ROWS[1:])) == 1
    assert life.missing(Counter([*ROWS, ROWS[0]])) == 1
    twice = Life(counted=(1, 2, 3), reported=(), rows=(*ROWS, Row(13, 3, "FAULT")))
    assert (twice.missing(Counter(twice.rows)), twice.doubled) == (1, 1)


def test_a_result_that_stands_with_another_verdict_is_lost():
    assert Life(counted=(1,), reported=((1, "NG"),), rows=ROWS[:1]).lost == 1
