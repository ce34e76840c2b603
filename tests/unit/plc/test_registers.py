"""The register map: one table for server, client and document."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.datatypes import Inspection, Region, Verdict
from edge_inspect.plc.handshake import Handshake
from edge_inspect.plc.registers import (
    CONTROL,
    CONTROL_COUNT,
    STATUS,
    STATUS_COUNT,
    STATUS_START,
    Row,
    decode_control,
    decode_status,
    encode_control,
    encode_status,
)
from edge_inspect.plc.signals import Control, Result, Status, Trouble, result_from_inspection


def bits_of(row: Row) -> list[tuple[int, int]]:
    if row.bit is not None:
        return [(row.address, row.bit + step) for step in range(row.width)]
    return [(row.address + register, bit) for register in range(row.registers) for bit in range(16)]


@pytest.mark.parametrize("table", [CONTROL, STATUS], ids=["control", "status"])
def test_no_two_rows_share_a_bit_or_a_name(table: tuple[Row, ...]) -> None:
    bits = [bit for row in table for bit in bits_of(row)]
    assert len(bits) == len(set(bits))
    assert len({row.name for row in table}) == len(table)


def test_everything_fits_one_modbus_read() -> None:
    assert STATUS_COUNT <= 125
    assert 1 + max(address for row in CONTROL for address, _ in bits_of(row)) == CONTROL_COUNT
    assert CONTROL_COUNT <= STATUS_START


def test_every_row_says_what_it_means() -> None:
    assert all(row.meaning for row in (*CONTROL, *STATUS))


def test_every_control_signal_has_its_row() -> None:
    assert {row.name for row in CONTROL} == {field.name for field in fields(Control)}


controls = st.builds(Control, **{field.name: st.booleans() for field in fields(Control) if field.name != "job"}, job=st.integers(0, 65_535))


@given(controls)
def test_control_comes_back_as_it_was_written(control: Control) -> None:
    assert decode_control(encode_control(control)) == control


def test_control_bits_without_a_meaning_are_ignored() -> None:
    assert decode_control([0xFF60, 0xFFFB, 0]) == Control()


def shown(result: Result) -> dict[str, int | float]:
    status = replace(Handshake(allowed_ns=1).status(0), result=result, results_valid=True)
    return decode_status(encode_status(status))


@given(
    score=st.floats(width=32, allow_nan=False),
    threshold=st.floats(width=32, allow_nan=False),
    acquisition=st.integers(1, 65_535),
    sequence=st.integers(0, 2**32 - 1),
    verdict=st.sampled_from(Verdict),
    box=st.tuples(*[st.integers(0, 32_768)] * 4),
)
def test_a_result_comes_back_as_it_was_shown(
    score: float, threshold: float, acquisition: int, sequence: int, verdict: Verdict, box: tuple[int, int, int, int]
) -> None:
    seen = shown(
        Result(acquisition=acquisition, verdict=verdict, sequence=sequence, score=score, threshold=threshold, region_count=2, box=box)
    )
    assert (seen["score"], seen["threshold"], seen["inspection_id"], seen["sequence"]) == (score, threshold, acquisition, sequence)
    assert (seen["box_left"], seen["box_top"], seen["box_right"], seen["box_bottom"]) == box
    assert seen["result_code"] == {Verdict.OK: 1, Verdict.NG: 2, Verdict.FAULT: 3}[verdict]


def test_floats_lie_high_word_first() -> None:
    registers = encode_status(replace(Handshake(allowed_ns=1).status(0), result=Result(score=1.5)))
    assert registers[108 - STATUS_START : 110 - STATUS_START] == [0x3FC0, 0x0000]


def test_numbers_that_do_not_fit_are_shown_as_the_nearest_that_does() -> None:
    seen = shown(Result(acquisition=1, verdict=Verdict.NG, score=1e300, threshold=-1e300, region_count=70_000, box=(-3, 0, 70_000, 1)))
    assert (seen["score"], seen["threshold"]) == (math.inf, -math.inf)
    assert (seen["region_count"], seen["box_left"], seen["box_right"]) == (65_535, 0, 65_535)


def test_counts_of_two_registers_wrap_instead_of_failing() -> None:
    assert shown(Result(sequence=2**32 + 5))["sequence"] == 5


def with_bit(status: Status, row: Row, is_on: bool) -> Status:
    """The status with one of its bits, which may be one of the notices."""
    where, _, name = (row.source or row.name).rpartition(".")
    return replace(status, **({where: replace(status.notices, **{name: is_on})} if where else {name: is_on}))


def test_the_zone_of_the_worst_region_is_told_and_one_beyond_the_fifteenth_does_not_reach_into_other_bits() -> None:
    assert shown(Result(zone=3))["zone"] == 3
    assert shown(Result(zone=40)) | {"zone": 0} == pytest.approx(shown(Result()), nan_ok=True)
    assert shown(Result(zone=40))["zone"] == 15


def test_every_status_bit_lands_on_its_own_bit() -> None:
    off = Handshake(allowed_ns=1).status(0)
    for row in STATUS:
        if row.kind == "bit":
            was, now = (decode_status(encode_status(with_bit(off, row, is_on))) for is_on in (False, True))
            changed = {name for name in now if now[name] != was[name] and not (math.isnan(now[name]) and math.isnan(was[name]))}
            assert changed == {row.name}


def test_a_part_that_was_not_inspected_has_no_score(inspection_of: Callable[..., Inspection]) -> None:
    result = result_from_inspection(inspection_of(4, Verdict.FAULT))
    assert math.isnan(result.score)
    assert math.isnan(result.threshold)
    assert (result.trouble, result.region_count, result.box) == (Trouble.STATION, 0, (0, 0, 0, 0))


def test_the_box_is_the_worst_regions(inspection_of: Callable[..., Inspection], region: Region) -> None:
    result = result_from_inspection(inspection_of(4, Verdict.NG, regions=(region, replace(region, left=0))))
    assert (result.region_count, result.box, result.sequence, result.trouble) == (2, (10, 20, 30, 40), 100_004, Trouble.NONE)
