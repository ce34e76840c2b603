"""The check of outputs passes an honest one, finds each broken promise, and says which."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from edge_inspect.datatypes import Verdict
from edge_inspect.testing import check_output, sample_inspections


class Listed:
    """An output as a third party would write it."""

    def __init__(self, record):
        self.record = record

    def emit(self, inspection):
        self.record.append(inspection.sequence)


def opening(make):
    @contextmanager
    def open_it():
        yield make()

    return open_it


def test_a_third_partys_output_passes():
    record = []
    check_output(opening(lambda: Listed(record)), read_back=lambda: record)
    assert len(record) == len(sample_inspections())


def test_an_output_that_cannot_be_read_back_passes_by_emitting():
    record = []
    check_output(opening(lambda: Listed(record)))
    assert record


def test_the_samples_are_of_every_kind():
    samples = sample_inspections()
    assert {sample.verdict for sample in samples} == set(Verdict)
    assert {sample.evidence is None for sample in samples} == {True, False}
    assert {bool(sample.regions) for sample in samples} == {True, False}
    assert len({sample.sequence for sample in samples}) == len(samples)


def test_no_door_is_found():
    with pytest.raises(AssertionError, match="has no emit"):
        check_output(opening(object))


def test_an_output_that_loses_one_is_found():
    record = []

    class Forgetful(Listed):
        def emit(self, inspection):
            if inspection.verdict is not Verdict.FAULT:
                super().emit(inspection)

    with pytest.raises(AssertionError, match=r"emit returned for \[1, 2, 3, 4, 5, .*\], but the record holds \[1, 2, 5, "):
        check_output(opening(lambda: Forgetful(record)), read_back=lambda: record)


def test_an_output_that_starts_over_when_it_is_opened_again_is_found():
    record = []

    def start_over():
        record.clear()
        return Listed(record)

    with pytest.raises(AssertionError, match=r"the record holds \[4, 5, "):
        check_output(opening(start_over), read_back=lambda: record)
