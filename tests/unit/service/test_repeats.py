"""Lines that repeat: a few at once, then sums, and the last word is always told."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from edge_inspect.service import repeats as module
from edge_inspect.service.repeats import FREE, LONGEST_WINDOW_S, Repeats


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines, self.came = [], threading.Event()

    def emit(self, record):
        self.lines.append(record.getMessage())
        self.came.set()


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept():
    return Kept()


def line(text, *values, level=logging.WARNING):
    return logging.LogRecord("station", level, "", 0, text, values, None)


def limited(kept, clock):
    return Repeats(kept, clock=clock, timer=False)


def test_a_fault_of_every_part_is_three_lines_and_a_sum(kept, clock):
    handler = limited(kept, clock)
    for part in range(300):
        clock.now_s = part / 30
        handler.handle(line("part %d FAULT: no frame within %d ms", part, part % 7))
    clock.now_s = 11.0
    handler.handle(line("alarm: camera: over"))
    assert kept.lines[:FREE] == [f"part {part} FAULT: no frame within {part} ms" for part in range(FREE)]
    assert kept.lines[FREE] == "part 299 FAULT: no frame within 5 ms (297 like it in 11 s)"
    assert kept.lines[FREE + 1] == "alarm: camera: over"


def test_while_it_goes_on_windows_grow_and_when_it_has_stopped_it_is_told_at_once_again(kept, clock):
    handler = limited(kept, clock)
    for second in range(4 * 3600):
        clock.now_s = float(second)
        handler.handle(line("the disk is full"))
    assert len(kept.lines) < 40
    clock.now_s += 2 * LONGEST_WINDOW_S
    handler.handle(line("something else"))
    before = len(kept.lines)
    clock.now_s += LONGEST_WINDOW_S
    handler.handle(line("the disk is full"))
    assert kept.lines[before:] == ["the disk is full"]


def test_a_fault_that_comes_and_goes_ends_with_its_last_word(kept, clock):
    handler = limited(kept, clock)
    for tick in range(100):
        clock.now_s = tick / 20
        record = line("alarm: camera: %s", "away" if tick % 2 == 0 else "over")
        record.created = clock.now_s
        handler.handle(record)
    handler.flush()
    assert kept.lines[-2:] == ["alarm: camera: away (47 like it in 5 s)", "alarm: camera: over (47 like it in 5 s)"]


def test_lines_of_another_level_or_text_are_not_held_back(kept, clock):
    handler = limited(kept, clock)
    for _ in range(FREE):
        handler.handle(line("a"))
    handler.handle(line("a", level=logging.ERROR))
    handler.handle(line("b"))
    assert kept.lines == ["a"] * (FREE + 1) + ["b"]


def test_the_end_of_a_window_is_told_without_another_line(kept, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WINDOW_S", 0.1)
    handler = Repeats(kept)
    for _ in range(FREE):
        handler.handle(line("again"))
    kept.came.clear()
    handler.handle(line("again"))
    assert kept.came.wait(30)
    assert kept.lines[-1].startswith("again (once more in ")
    handler.close()


def test_what_was_held_back_is_told_at_the_end(kept, clock):
    handler = Repeats(kept, clock=clock)
    for _ in range(FREE + 2):
        handler.handle(line("again"))
    clock.now_s = 2.0
    handler.close()
    assert kept.lines[-1] == "again (2 like it in 2 s)"


def test_kinds_without_end_take_no_memory_without_end(kept, clock):
    handler = limited(kept, clock)
    for number in range(2 * module.MOST_KINDS):
        handler.handle(line("".join(chr(ord("a") + int(digit)) for digit in str(number))))
    assert len(handler._windows) <= module.MOST_KINDS + 1


def test_several_windows_end_one_after_the_other(kept, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WINDOW_S", 0.2)
    handler = Repeats(kept)
    for text in ("one", "another"):
        for _ in range(FREE + 1):
            handler.handle(line(text))
        time.sleep(0.1)
    until = time.monotonic() + 30
    while sum("once more" in told for told in kept.lines) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert sum("once more" in told for told in kept.lines) == 2
    handler.close()
