from __future__ import annotations

import dataclasses
import json
import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect import __version__
from edge_inspect.datatypes import Latency, Region
from edge_inspect.outputs.records import record_from_inspection, utc_text
from edge_inspect.testing import sample_inspections

KEYS = [
    *("station", "sequence", "acquisition", "part_id", "taken_at", "verdict", "reason", "score", "threshold"),
    *("recipe", "engine_sha256", "calibration_id", "recipe_sha256", "software", "latency_ms", "regions"),
]


def test_the_keys_of_a_record_are_stable(every_kind):
    assert list(record_from_inspection(every_kind, station="a")) == KEYS


def test_a_record_survives_json_unchanged(every_kind):
    record = record_from_inspection(every_kind, station="a")
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_record_never_holds_the_evidence(inspection):
    assert len(json.dumps(record_from_inspection(inspection(), station="a"))) < 2000


def test_a_record_says_what_decided(inspection):
    record = record_from_inspection(inspection(7, acquisition=3), station="press 2")
    assert (record["station"], record["sequence"], record["acquisition"], record["verdict"]) == ("press 2", 7, 3, "NG")
    assert (record["score"], record["threshold"], record["software"]) == (3.25, 1.0, __version__)
    assert type(record["score"]) is float
    of_a_part = inspection(engine_sha256="e", calibration_id="c", recipe_sha256="r", software="0.8")
    record = record_from_inspection(of_a_part, station="press 2")
    assert [record[key] for key in ("engine_sha256", "calibration_id", "recipe_sha256", "software")] == ["e", "c", "r", "0.8"]


def test_regions_are_objects_worst_first(inspection):
    worst, small = record_from_inspection(inspection(), station="a")["regions"]
    assert list(worst) == [field.name for field in dataclasses.fields(Region)]
    assert (worst["peak"], worst["area_mm2"], small["area_mm2"]) == (3.25, 0.64, None)


def test_latencies_are_milliseconds_to_three_places_by_stage(inspection):
    latency = Latency(wait=1_234_567, place=499, infer=9_000_000, find=2_000, decide=1_500, emit=800_400)
    record = record_from_inspection(inspection(latency=latency), station="a")
    stages = {"wait": 1.235, "place": 0.0, "infer": 9.0, "find": 0.002, "decide": 0.002, "emit": 0.8, "verdict": 10.239}
    assert record["latency_ms"] == stages


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_score_that_is_not_finite_is_null(inspection, odd):
    record = record_from_inspection(inspection(score=odd), station="a")
    assert record["score"] is None


def test_a_numpy_score_becomes_a_float_of_the_same_value(inspection):
    score = np.float32(0.1)
    recorded = record_from_inspection(inspection(score=score), station="a")["score"]
    assert type(recorded) is float
    assert recorded == score


def test_a_part_named_in_an_old_encoding_can_be_recorded(inspection):
    named = b"Geh\xe4use.png".decode("utf-8", errors="surrogateescape")
    assert record_from_inspection(inspection(part_id=named), station="a")["part_id"] == "Geh\\udce4use.png"


def test_times_are_told_in_utc_and_sort_as_text():
    late = datetime(2026, 11, 21, 1, 0, 0, tzinfo=timezone(timedelta(hours=2)))
    assert utc_text(late) == "2026-11-20T23:00:00.000000+00:00"
    assert utc_text(late) < utc_text(late + timedelta(microseconds=1))


@given(st.text(), st.text(), st.floats(), st.integers(0, 10**12))
def test_any_text_and_number_makes_a_line_of_json(part_id, reason, score, stage_ns):
    sample = dataclasses.replace(sample_inspections()[0], part_id=part_id, reason=reason, score=score, latency=Latency(infer=stage_ns))
    line = json.dumps(record_from_inspection(sample, station=part_id), allow_nan=False)
    assert line.isascii()
    assert len(line.splitlines()) == 1
