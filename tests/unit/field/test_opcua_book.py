"""What a fake PLC of the wire `opcua` counts, result by result."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from edge_inspect.datatypes import Verdict
from edge_inspect.field.opcua_book import Book
from edge_inspect.plc.signals import Trouble


def result(count: int, part: str | None, *, acquisition: int | None = None, verdict: str = "OK") -> Any:
    """A ResultReady event, or a ResultDataType."""
    number = float("nan") if verdict == "FAULT" else count / 2
    regions = [1.0, 2.0, 3.0, 4.0, 4.0, 9.0] if verdict == "NG" else []
    values = (verdict, "a reason", number, 7.5, count, 1 if verdict == "FAULT" else 0, len(regions) // 6, regions, "{}")
    return SimpleNamespace(
        ResultId=SimpleNamespace(Id=f"run-{count:06d}"),
        JobId=SimpleNamespace(Id=f"run-A{count if acquisition is None else acquisition:05d}"),
        PartId=None if part is None else SimpleNamespace(Id=part),
        ResultContent=[SimpleNamespace(Value=one) for one in values],
    )


def book_of(*parts: str) -> Book:
    """Parts that the station has taken, as acquisitions 1, 2, ..."""
    book = Book()
    for number, part in enumerate(parts, 1):
        book.triggers += 1
        book.ask(part)
        book.start(part, f"run-A{number:05d}")
    return book


def wrong(book: Book) -> tuple[int, int, int | None, int]:
    ledger = book.ledger()
    return ledger.lost, ledger.doubled, ledger.swapped, ledger.unasked


def test_a_result_that_came_as_an_event_and_stands_in_the_list_is_one_result():
    book = book_of("a", "b", "c")
    for heard in (True, False, False):
        for data in (result(1, "a"), result(2, "b", verdict="NG"), result(3, "c", verdict="FAULT")):
            book.note(data, heard=heard)
    assert wrong(book) == (0, 0, 0, 0)
    assert book.ledger().clean
    ok, ng, fault = book.answers
    assert (ok.acquisition, ok.verdict, ok.score, ok.threshold, ok.sequence) == (1, Verdict.OK, 0.5, 7.5, 1)
    assert (ng.verdict, ng.region_count, ng.box) == (Verdict.NG, 1, (1, 2, 3, 4))
    assert (fault.verdict, fault.fault) == (Verdict.FAULT, Trouble.LATE)
    assert math.isnan(fault.score)
    assert all(answer.latency_s > 0 for answer in book.answers)


def test_a_part_without_a_result_is_lost():
    book = book_of("a", "b")
    book.note(result(2, "b"), heard=True)
    assert wrong(book) == (1, 0, 0, 0)
    assert book.answer_of("a") is None


def test_an_event_that_comes_twice_is_doubled():
    book = book_of("a")
    book.note(result(1, "a"))
    book.note(result(1, "a"), heard=True)
    assert wrong(book) == (0, 0, 0, 0)
    book.note(result(1, "a"), heard=True)
    assert wrong(book) == (0, 1, 0, 0)


def test_one_result_that_says_two_things_is_doubled():
    book = book_of("a")
    book.note(result(1, "a"), heard=True)
    book.note(result(1, "a", verdict="NG"))
    assert wrong(book) == (0, 1, 0, 0)
    assert not book.ledger().clean


def test_two_results_of_one_part_are_doubled():
    book = book_of("a")
    book.note(result(1, "a"), heard=True)
    book.note(result(2, "a"), heard=True)
    assert wrong(book) == (0, 1, 0, 0)


def test_a_result_under_the_name_of_another_part_is_swapped_whichever_comes_first():
    book = book_of("a", "b")
    book.note(result(1, "b"), heard=True)
    book.note(result(2, "a"), heard=True)
    assert wrong(book) == (0, 0, 2, 0)
    early = Book()
    early.triggers = 1
    early.ask("a")
    early.note(result(2, "a"), heard=True)
    early.start("a", "run-A00001")
    assert wrong(early) == (0, 0, 1, 0)


def test_what_was_not_asked_for_is_told_apart_from_what_was_there_before():
    book = book_of("a")
    book.leave_alone(result(7, "x"))
    for data in (result(7, "x"), result(1, "a"), result(8, "y"), result(9, None)):
        book.note(data)
    assert wrong(book) == (0, 0, 0, 2)


def test_a_part_that_was_given_up_stays_lost_when_its_result_comes_after_all():
    book = book_of("a")
    book.withdraw("a")
    book.note(result(1, "a"), heard=True)
    assert wrong(book) == (1, 0, 0, 1)
