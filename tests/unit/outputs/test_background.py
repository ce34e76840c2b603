from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_inspect.datatypes import Inspection
from edge_inspect.errors import OutputError
from edge_inspect.outputs.background import run_in_background
from edge_inspect.outputs.jsonl import open_jsonl
from edge_inspect.testing import check_output

LONG_S = 30.0


class SlowOutput:
    """An output that waits for the test before each record; `refused` and `defective` sequences fail."""

    def __init__(self, *, refused: tuple[int, ...] = (), defective: tuple[int, ...] = ()) -> None:
        self.may_go_on = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.recorded: list[int] = []
        self.closed = False
        self._refused = refused
        self._defective = defective

    @contextmanager
    def opened(self) -> Iterator[SlowOutput]:
        try:
            yield self
        finally:
            self.closed = True

    def emit(self, inspection: Inspection) -> None:
        self.begun.release()
        assert self.may_go_on.acquire(timeout=LONG_S)
        if inspection.sequence in self._refused:
            raise OutputError(f"inspection {inspection.sequence} was not written: the disk is full")
        if inspection.sequence in self._defective:
            raise ZeroDivisionError
        self.recorded.append(inspection.sequence)


@pytest.fixture
def quick() -> SlowOutput:
    """Never waits."""
    output = SlowOutput()
    output.may_go_on.release(1000)
    return output


def test_a_background_output_keeps_the_promise_of_an_output(tmp_path):
    def read_back() -> list[int]:
        return [json.loads(line)["sequence"] for line in (tmp_path / "inspections.jsonl").read_text().splitlines()]

    check_output(lambda: run_in_background(open_jsonl(station="a", path=tmp_path), queue=10, name="log"), read_back=read_back)


def test_everything_queued_is_written_in_order_before_the_output_is_closed(quick, inspection):
    with run_in_background(quick.opened(), queue=100, name="images") as background:
        for sequence in range(50):
            background.emit(inspection(sequence))
    assert quick.recorded == list(range(50))
    assert quick.closed
    assert (background.queued, background.written, background.failed, background.dropped) == (50, 50, 0, 0)


def test_emit_does_not_wait_for_the_output(inspection):
    slow = SlowOutput()
    with run_in_background(slow.opened(), queue=2, name="images") as background:
        background.emit(inspection(1))
        background.emit(inspection(2))
        assert slow.recorded == []
        assert background.waiting == 2
        slow.may_go_on.release(2)
    assert slow.recorded == [1, 2]


def test_the_newest_is_dropped_and_told_when_the_queue_is_full(inspection):
    slow = SlowOutput()
    with run_in_background(slow.opened(), queue=2, name="images") as background:
        background.emit(inspection(1))
        assert slow.begun.acquire(timeout=LONG_S)
        background.emit(inspection(2))
        background.emit(inspection(3))
        with pytest.raises(OutputError, match="images: inspection 4 was dropped: 2 are waiting already, 1 dropped so far"):
            background.emit(inspection(4))
        with pytest.raises(OutputError, match="inspection 5 was dropped: 2 are waiting already, 2 dropped so far"):
            background.emit(inspection(5))
        slow.may_go_on.release(3)
    assert slow.recorded == [1, 2, 3]
    assert background.dropped == 2


def test_frames_that_wait_take_no_more_memory_than_they_may_whatever_their_number(inspection):
    slow = SlowOutput()
    frame_mb = inspection(1).evidence.frame.pixels.nbytes / 1e6
    with run_in_background(slow.opened(), queue=100, name="images", queue_mb=2.9 * frame_mb) as background:
        background.emit(inspection(1))
        background.emit(inspection(2))
        with pytest.raises(OutputError, match=r"images: inspection 3 was dropped: frames of \d+ MB are waiting already, 1 dropped so far"):
            background.emit(inspection(3))
        background.emit(inspection(4, evidence=None))
        slow.may_go_on.release(3)
        wait_until_all_is_dealt_with(background)
        background.emit(inspection(5))
        slow.may_go_on.release(1)
    assert slow.recorded == [1, 2, 4, 5]


def test_a_frame_that_is_larger_than_what_may_wait_waits_alone(inspection):
    slow = SlowOutput()
    with run_in_background(slow.opened(), queue=100, name="images", queue_mb=1e-6) as background:
        background.emit(inspection(1))
        with pytest.raises(OutputError, match="inspection 2 was dropped"):
            background.emit(inspection(2))
        slow.may_go_on.release(1)
    assert slow.recorded == [1]


def wait_until_all_is_dealt_with(background) -> None:
    give_up = time.monotonic() + LONG_S
    while background.waiting and time.monotonic() < give_up:
        time.sleep(0.001)


def test_an_error_of_the_output_is_raised_at_the_next_emit_which_is_queued_all_the_same(inspection):
    slow = SlowOutput(refused=(1, 2))
    slow.may_go_on.release(1000)
    with run_in_background(slow.opened(), queue=9, name="images") as background:
        for sequence in (1, 2):
            background._queue.put(inspection(sequence))
            background.queued += 1
        wait_until_all_is_dealt_with(background)
        with pytest.raises(
            OutputError, match=r"images: 2 earlier inspections were not written, 2 so far; the last: inspection 2 was not written"
        ):
            background.emit(inspection(3))
        background.emit(inspection(4))
    assert slow.recorded == [3, 4]
    assert (background.written, background.failed) == (2, 2)


def test_an_error_after_the_last_emit_goes_to_the_log(inspection, caplog):
    slow = SlowOutput(refused=(1,))
    slow.may_go_on.release(1)
    with caplog.at_level(logging.ERROR), run_in_background(slow.opened(), queue=9, name="images") as background:
        background.emit(inspection(1))
    assert "images: 1 inspections could not be written; the last: inspection 1 was not written" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_of_the_output_is_told_and_costs_one_inspection(inspection):
    slow = SlowOutput(defective=(1,))
    slow.may_go_on.release(1000)
    with run_in_background(slow.opened(), queue=9, name="images") as background:
        background.emit(inspection(1))
        background._thread.join(LONG_S)
        with pytest.raises(OutputError, match=r"images: the output has a defect: .* 1 not written so far; the thread was started again"):
            background.emit(inspection(2))
        background.emit(inspection(3))
    assert slow.recorded == [2, 3]


@pytest.mark.parametrize("queued", [1, 3])
def test_leaving_does_not_wait_for_ever_and_leaves_a_hanging_output_open(inspection, caplog, queued):
    hanging = SlowOutput()
    with run_in_background(hanging.opened(), queue=2, name="images", drain_s=0.01) as background:
        background.emit(inspection(1))
        assert hanging.begun.acquire(timeout=LONG_S)
        for sequence in range(2, queued + 1):
            background.emit(inspection(sequence))
    assert f"images: stopped; {queued} inspections were not written within 0.01 s" in caplog.text
    assert not hanging.closed
    hanging.may_go_on.release(1000)
    wait_until_all_is_dealt_with(background)
    background._thread.join(LONG_S)
    assert not background._thread.is_alive()
    assert hanging.recorded == [1]


def test_an_output_that_cannot_be_opened_is_told_at_once(tmp_path):
    (tmp_path / "log").touch()
    with (
        pytest.raises(OutputError, match="the log cannot be opened"),
        run_in_background(open_jsonl(station="a", path=tmp_path / "log"), queue=1, name="log"),
    ):
        pytest.fail("opened")


def test_what_is_queued_is_written_when_the_station_fails(quick, inspection):
    def fail() -> None:
        with run_in_background(quick.opened(), queue=9, name="images") as background:
            background.emit(inspection(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert quick.recorded == [1]
