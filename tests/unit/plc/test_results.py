"""Results wait, are shown one at a time, and none goes without being counted."""

from __future__ import annotations

from edge_inspect.datatypes import Verdict
from edge_inspect.plc.results import BUFFER, ResultQueue
from edge_inspect.plc.signals import Result


def put(queue: ResultQueue, *acquisitions: int, buffered: bool = True) -> None:
    for acquisition in acquisitions:
        queue.put(Result(acquisition=acquisition, verdict=Verdict.NG), buffered=buffered)


def read_all(queue: ResultQueue) -> list[int]:
    read = []
    while queue.valid:
        read.append(queue.shown.acquisition)
        queue.acknowledge(True)
        queue.acknowledge(False)
    return read


def test_results_come_in_order_and_each_needs_its_own_acknowledgement() -> None:
    queue = ResultQueue()
    put(queue, 1, 2, 3)
    assert read_all(queue) == [1, 2, 3]
    assert (queue.delivered, queue.thrown_away, len(queue)) == (3, 0, 0)


def test_an_acknowledgement_that_stays_on_shows_no_next_result() -> None:
    queue = ResultQueue()
    put(queue, 1, 2)
    queue.acknowledge(True)
    queue.acknowledge(True)
    assert (queue.valid, queue.shown.acquisition, len(queue)) == (False, 1, 1)
    queue.acknowledge(False)
    assert (queue.valid, queue.shown.acquisition) == (True, 2)


def test_a_result_that_comes_while_the_acknowledgement_is_on_waits_for_it_to_fall() -> None:
    queue = ResultQueue()
    queue.acknowledge(True)
    put(queue, 1)
    assert not queue.valid
    queue.acknowledge(False)
    assert queue.valid


def test_eight_results_wait_and_the_ninth_throws_away_the_oldest_that_is_not_shown() -> None:
    queue = ResultQueue()
    put(queue, *range(1, BUFFER + 1))
    assert (len(queue), queue.overrun) == (BUFFER, False)
    put(queue, 9)
    assert (queue.overrun, queue.thrown_away, queue.shown.acquisition) == (True, 1, 1)
    assert read_all(queue) == [1, 3, 4, 5, 6, 7, 8, 9]


def test_the_overrun_bit_goes_out_with_a_result_that_throws_away_none() -> None:
    queue = ResultQueue()
    put(queue, *range(1, BUFFER + 2))
    read_all(queue)
    assert queue.overrun
    put(queue, 10)
    assert not queue.overrun


def test_without_a_buffer_the_newest_replaces_the_one_nobody_acknowledged() -> None:
    queue = ResultQueue()
    put(queue, 1, 2, 3, buffered=False)
    assert (queue.shown.acquisition, queue.overrun, queue.thrown_away, len(queue)) == (3, True, 2, 1)


def test_without_a_buffer_an_acknowledged_result_is_replaced_without_overrun() -> None:
    queue = ResultQueue()
    put(queue, 1, buffered=False)
    read_all(queue)
    put(queue, 2, buffered=False)
    assert (queue.shown.acquisition, queue.overrun, queue.thrown_away) == (2, False, 0)


def test_switching_the_buffer_off_counts_what_was_waiting_as_thrown_away() -> None:
    queue = ResultQueue()
    put(queue, 1, 2, 3)
    put(queue, 4, buffered=False)
    assert (read_all(queue), queue.thrown_away, queue.delivered) == ([4], 3, 1)
