"""Inspections to record: `inspection(sequence, **fields)` changes the defective sample of `edge_inspect.testing`."""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from edge_inspect.datatypes import Inspection, Verdict
from edge_inspect.testing import sample_inspections

MakeInspection = Callable[..., Inspection]


@pytest.fixture
def inspection() -> MakeInspection:
    defective = next(sample for sample in sample_inspections() if sample.verdict is Verdict.NG and sample.evidence)

    def make(sequence: int = 1, **fields: Any) -> Inspection:
        return dataclasses.replace(defective, sequence=sequence, **fields)

    return make


@pytest.fixture(params=sample_inspections(), ids=lambda sample: f"{sample.verdict.value}-{sample.sequence}")
def every_kind(request: pytest.FixtureRequest) -> Inspection:
    return request.param


def blocks_kept(work: Callable[[], object]) -> int:
    """How many blocks of memory are kept of what `work` took.

    Not their bytes: a table of the interpreter's own that happens to grow meanwhile is one block, of megabytes.
    """
    tracemalloc.start()
    try:
        work()
        gc.collect()
        return sum(statistic.count for statistic in tracemalloc.take_snapshot().statistics("filename"))
    finally:
        tracemalloc.stop()
