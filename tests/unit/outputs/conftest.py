"""Inspections to record: `inspection(sequence, **fields)` changes the defective sample of `edge_inspect.testing`."""

from __future__ import annotations

import dataclasses
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
